use std::net::SocketAddr;

use super::{
    super::{listen, tree::Directive},
    Translation,
    listener::{REDIRECT, take},
    restrictions::refuses_all,
};

/// A server that leads clients to https, in whose place `socket` answers 308 to everything: what
/// becomes of what stands in it.
pub(super) fn server(translation: &mut Translation<'_>, server: &Directive, socket: SocketAddr) {
    translation.draft.translated(server, REDIRECT);
    translation.draft.note(server, "it answers 308");
    for listen in listen::of(server) {
        take(translation, &listen, socket, REDIRECT);
    }
    for inner in server.inner() {
        let draft = &mut translation.draft;
        match inner.name.as_str() {
            "location" if leads_to_https(inner) => draft.translated(inner, REDIRECT),
            "location" if refuses_all(inner) => draft.not_needed(inner, NOTHING),
            "location" => {
                let text = format!("{REDIRECT} answers 308 to everything; {}", instead(inner));
                draft.not_translated(inner, text);
            }
            "if" | "return" | "rewrite" => draft.not_needed(inner, LEADS),
            _ => draft.not_needed(inner, NOTHING),
        }
    }
}

/// Whether anything in a block sends clients to https.
pub(super) fn leads_to_https(block: &Directive) -> bool {
    block.any(&|inner| {
        (inner.is("return") || inner.is("rewrite"))
            && inner.args.iter().any(|arg| arg.starts_with("https://"))
    })
}

/// Whether certificates are renewed by way of a location.
pub(super) fn renews(location: &Directive) -> bool {
    location
        .args
        .iter()
        .any(|arg| arg.contains("/acme-challenge"))
}

fn instead(location: &Directive) -> String {
    let what = if renews(location) {
        "renew by DNS-01, or "
    } else {
        ""
    };
    format!("{what}leave the port to nginx and take {REDIRECT} out")
}

pub(super) const LEADS: &str = "server.redirect_listen leads clients to https://";
const NOTHING: &str = "nothing is there but the way to https://";
