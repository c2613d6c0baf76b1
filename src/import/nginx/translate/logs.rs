use super::{
    super::{draft::Value, tree::Directive},
    Translation,
};

/// `access_log`: off, or a file in nginx's own format, or JSON where the format is one.
pub(super) fn access_log<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for (index, by) in given.iter().enumerate() {
        if index > 0 {
            let text = "there is one access log; the first is taken";
            translation.draft.not_translated(by, text);
            continue;
        }
        if by.arg(0) == "off" {
            let off = Value::Text("off".to_owned());
            translation.draft.set(by, KEY, off);
            continue;
        }
        let name = by.args.iter().skip(1).find(|arg| !arg.contains('='));
        let format = name.and_then(|name| format_named(translation, name));
        let is_json = format.is_some_and(|format| {
            format
                .args
                .iter()
                .skip(1)
                .any(|arg| arg.trim_start().starts_with('{'))
        });
        let chosen = if is_json { "json" } else { "combined" };
        let draft = &mut translation.draft;
        draft.set(by, KEY, Value::Text(chosen.to_owned()));
        let path = by.arg(0);
        // Relative ones begin where nginx was built to have them.
        if path.starts_with('/') && !path.starts_with("/dev/") && !path.contains('$') {
            let is_nginxs = path.starts_with("/var/log/nginx/");
            let path = Value::Text(path.to_owned());
            draft.set(by, "telemetry.access_log_path", path);
            if is_nginxs {
                let text = "nginx and its logrotate go on writing there, and the folder is not \
                            Tidegate's: give it a file of its own";
                draft.leave(by, text);
            }
        } else {
            draft.note(by, "it is written to standard output");
        }
    }
}

/// `log_format`: the formats of Tidegate are fixed.
pub(super) fn format<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    let log = translation.nearest("access_log");
    for by in given {
        let is_used = log.is_some_and(|log| log.args.iter().skip(1).any(|arg| arg == by.arg(0)));
        let draft = &mut translation.draft;
        if is_used {
            let text =
                "lines are nginx's combined or JSON with fixed fields; adapt what reads them";
            draft.not_translated(by, text);
        } else {
            draft.not_needed(by, "the site's access log does not use it");
        }
    }
}

fn format_named<'t>(translation: &Translation<'t>, name: &str) -> Option<&'t Directive> {
    let mut formats = translation.site.http.iter();
    formats.find(|one| one.is("log_format") && one.arg(0) == name)
}

const KEY: &str = "telemetry.access_log";
