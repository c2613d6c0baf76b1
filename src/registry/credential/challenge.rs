use http::{HeaderMap, header};

/// What an answer 401 asks for, the first scheme of it that we can do
/// (RFC 9110 §11.6.1; Docker token specification, "How to authenticate").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        /// Space-separated scopes.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads every `WWW-Authenticate` header; Bearer is preferred, for a registry that offers
    /// both means Basic for its token service.
    pub(in crate::registry) fn read(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let schemes: Vec<Scheme> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(parse)
            .collect();
        let bearer = schemes.iter().find_map(Scheme::bearer);
        bearer.or_else(|| {
            let basic = schemes
                .iter()
                .find(|scheme| scheme.name.eq_ignore_ascii_case("basic"));
            basic.map(|_basic| Self::Basic)
        })
    }
}

struct Scheme {
    name: String,
    parameters: Vec<(String, String)>,
}

impl Scheme {
    fn bearer(&self) -> Option<Challenge> {
        if !self.name.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Some(Challenge::Bearer {
            realm: self.parameter("realm")?,
            service: self.parameter("service"),
            scope: self.parameter("scope"),
        })
    }

    /// `None` also for an empty value, which some registries send for "no scope".
    fn parameter(&self, name: &str) -> Option<String> {
        let found = self
            .parameters
            .iter()
            .find(|(key, _value)| key.eq_ignore_ascii_case(name));
        found
            .map(|(_key, value)| value.clone())
            .filter(|value| !value.is_empty())
    }
}

/// Schemes with their parameters; stops at what it cannot read.
fn parse(value: &str) -> Vec<Scheme> {
    let mut schemes: Vec<Scheme> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return schemes;
        }
        let after = after.trim_start_matches([' ', '\t']);
        let Some(assigned) = after.strip_prefix('=') else {
            schemes.push(Scheme {
                name: word.to_owned(),
                parameters: Vec::new(),
            });
            rest = after;
            continue;
        };
        let (Some(scheme), Some((text, after))) = (schemes.last_mut(), parse_value(assigned))
        else {
            return schemes;
        };
        scheme.parameters.push((word.to_owned(), text));
        rest = after;
    }
}

/// A token or a quoted string, and what follows it.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// A token character (RFC 9110 §5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::read(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        }
    }

    #[test]
    fn challenges_of_registries_are_read() {
        let distribution = r#"Bearer realm="https://a/token",service="s",scope="repository:x:pull,push repository:y:pull",error="insufficient_scope""#;
        for (values, expected) in [
            (
                vec![distribution],
                bearer(
                    "https://a/token",
                    Some("s"),
                    Some("repository:x:pull,push repository:y:pull"),
                ),
            ),
            (vec![r#"Basic realm="Registry Realm""#], Challenge::Basic),
            (vec!["basic"], Challenge::Basic),
            (
                vec![r#"Basic realm="x", Bearer realm="https://a/t""#],
                bearer("https://a/t", None, None),
            ),
            (
                vec![
                    r#"Basic realm="x""#,
                    r#"BEARER Realm = "https://a/t" , Scope="""#,
                ],
                bearer("https://a/t", None, None),
            ),
            (
                vec![r#"Negotiate, Bearer realm=https://a/t,service="a\"b""#],
                bearer("https://a/t", Some("a\"b"), None),
            ),
        ] {
            assert_eq!(read(&values), Some(expected), "{values:?}");
        }
    }

    #[test]
    fn what_is_no_usable_challenge_is_none() {
        for value in [
            "",
            "Bearer",
            r#"Bearer service="s""#,
            r#"Bearer realm="unterminated"#,
            "Digest x=y",
            "=,=",
        ] {
            assert_eq!(read(&[value]), None, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in r#"[a-z ,="\\éB]{0,60}"#) {
            parse(&text);
        }

        #[test]
        fn parameters_survive_quoting(realm in r"[ -~]{1,40}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Basic realm=\"x\", Bearer realm=\"{quoted}\"");
            proptest::prop_assert_eq!(read(&[&header]), Some(bearer(&realm, None, None)));
        }
    }
}
