use super::{
    super::{location, site, tree::Directive},
    Translation, clients,
    redirects::{LEADS, leads_to_https},
};

/// `if`: known ones of registries' sites; others hold for some requests only, which nothing in
/// Tidegate does.
pub(super) fn conditions<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let condition = by.args.join(" ");
        let about = |variable: &str| condition.contains(variable);
        let answers = by.children("return").next().is_some();
        let redirects = leads_to_https(by);
        let sets_only = by.inner().iter().all(|inner| inner.is("set"));
        let draft = &mut translation.draft;
        if is_of_old_clients(by) && answers {
            draft.not_needed(
                by,
                "clients from before the registry API version 2 are gone",
            );
        } else if (about("$scheme") || about("$https") || about("$server_port")) && redirects {
            draft.not_needed(by, LEADS);
        } else if about("$http_x_forwarded_proto") && redirects {
            draft.not_translated(by, "let the proxy in front lead clients to https://");
        } else if about("$http_x_forwarded_proto") && sets_only {
            draft.not_needed(
                by,
                "X-Forwarded-Proto of server.trusted_proxies is believed",
            );
        } else if about("$host") && (answers || redirects) {
            draft.not_translated(
                by,
                "Tidegate answers by every name; the certificate says which",
            );
        } else if about("$request_method") && by.find("proxy_pass").is_some() {
            draft.not_translated(by, BY_METHOD);
        } else if about("$request_method") {
            draft.not_translated(by, METHODS);
        } else {
            draft.not_translated(
                by,
                "there are no conditions; projects and roles say who may what",
            );
        }
    }
}

/// Whether a condition is about the docker clients that knew the registry API version 1 only.
fn is_of_old_clients(by: &Directive) -> bool {
    let is_negated = by.args.iter().any(|arg| arg.starts_with('!'));
    let condition = by.args.join(" ").replace('\\', "");
    condition.contains("$http_user_agent") && condition.contains("docker/1.") && !is_negated
}

pub(super) fn limit_except<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let users = clients::users_of(translation, by);
        let text = format!("{METHODS}{users}");
        translation.draft.not_translated(by, text);
    }
}

/// `map`: what a request's header becomes.
pub(super) fn map<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let draft = &mut translation.draft;
        match by.arg(0) {
            "$http_x_forwarded_proto" | "$http_x_forwarded_port" | "$http_x_forwarded_host" => {
                draft.not_needed(by, "X-Forwarded-* of server.trusted_proxies is believed");
            }
            "$upstream_http_docker_distribution_api_version" => {
                draft.not_needed(by, "the header is always sent");
            }
            "$http_upgrade" => draft.not_needed(by, "registries do not upgrade connections"),
            _ => draft.not_translated(
                by,
                "values do not depend on the request; write what is meant to the keys",
            ),
        }
    }
}

/// `set`, `rewrite`, `return`, `break` and `try_files`, which were followed to find the registry.
pub(super) fn rewriting<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let was_used = translation
            .site
            .route
            .steps
            .iter()
            .any(|step| step.id == by.id);
        let renames = translation.site.route.renames(site::SAMPLE);
        let draft = &mut translation.draft;
        if was_used && by.is("rewrite") && renames {
            draft.not_translated(by, RENAMES);
        } else if was_used && by.is("rewrite") {
            draft.translated(by, "upstream.url");
        } else if was_used {
            draft.not_needed(by, "what it says stands where it is used");
        } else if by.is("rewrite") && location::compile(by.arg(0), false).is_none() {
            draft.not_translated(by, "the pattern is not understood; see where it sends /v2/");
        } else {
            draft.not_needed(by, "requests to /v2/ do not come there");
        }
    }
}

/// Of what asks the registry for another repository than the client has asked for.
pub(super) const RENAMES: &str = "nginx changes the names of repositories; Tidegate asks for those \
                                  that clients say";
/// Of what sends requests to another registry by their method.
pub(super) const BY_METHOD: &str = "requests go to different places by their method; all of /v2/ \
                                    goes to upstream.url, which must take pushes too";
const METHODS: &str = "who may push and who may only pull, roles in projects say: guests pull, \
                       developers push, and everybody pulls from public projects";
