use super::{
    super::{tree::Directive, units},
    Translation, listener,
};

pub(super) fn keep_alive<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        if units::time(by.arg(0)).is_some_and(|time| time.is_zero()) {
            let text = "connections are kept for the next request; server.keep_alive_seconds \
                        says how long";
            translation.draft.not_translated(by, text);
            continue;
        }
        translation.raise_seconds(by, "server.keep_alive_seconds");
    }
}

pub(super) fn header_timeout<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        translation.raise_seconds(by, "server.header_timeout_seconds");
    }
}

/// `client_body_timeout` and `send_timeout`: the longer of both.
pub(super) fn body_timeout<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        translation.raise_seconds(by, "server.body_idle_timeout_seconds");
    }
}

pub(super) fn auth_basic<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let text = if by.arg(0) == "off" {
            "who may do what, projects and roles say"
        } else {
            "everybody signs in at the gateway"
        };
        translation.draft.not_needed(by, text);
    }
}

pub(super) fn user_file<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let text = format!("users are in the database; {}", import_of(translation, by));
        translation.draft.not_translated(by, text);
    }
}

/// How the users of a block come over, as the end of a sentence; empty where it has none.
pub(super) fn users_of(translation: &Translation<'_>, block: &Directive) -> String {
    let found = block.find("auth_basic_user_file");
    let import = |file| format!("; {}", import_of(translation, file));
    found.map(import).unwrap_or_default()
}

fn import_of(translation: &Translation<'_>, file: &Directive) -> String {
    let path = translation.path(file.arg(0));
    format!("`tidegate import htpasswd {}` makes them", path.display())
}

/// `allow` and `deny`, in their order.
pub(super) fn access<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        add_rule(translation, by, &["access.listener"]);
    }
}

/// An `allow` or `deny` becomes a rule in these keys.
pub(super) fn add_rule(translation: &mut Translation<'_>, by: &Directive, keys: &[&'static str]) {
    let is_alternative = translation
        .nearest("satisfy")
        .is_some_and(|satisfy| satisfy.arg(0) == "any");
    let draft = &mut translation.draft;
    match rule(by) {
        _ if is_alternative => draft.not_translated(
            by,
            "with `satisfy any` an address stands for a password; make the projects public, \
             or write access.listener",
        ),
        Some(rule) => {
            for key in keys {
                draft.add(by, key, rule.clone());
            }
        }
        None => draft.not_translated(by, "it is neither an address nor a network"),
    }
}

/// An `allow` or `deny` as `[access]` has it.
pub(super) fn rule(by: &Directive) -> Option<String> {
    let network = match by.arg(0) {
        "all" => Some("all".to_owned()),
        text => listener::network(text),
    };
    network.map(|network| format!("{} {network}", by.name))
}
