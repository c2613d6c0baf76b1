use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use url::form_urlencoded;

use super::refusal::{OauthError, Refusal};
use crate::{oci::Scope, secret::Secret};

/// What a client asks the token service for, by either method.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) credentials: Credentials,
    /// The one they are meant for; absent means ours.
    pub(super) service: Option<String>,
    /// Malformed scopes are left out: the token is made without them.
    pub(super) scopes: Vec<Scope>,
    /// A refresh token is wanted too.
    pub(super) offline: bool,
    pub(super) form: Form,
}

/// How the request was written, which is how its errors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `GET`, Docker registry token specification.
    Query,
    /// `POST`, its OAuth2 variant.
    Oauth,
}

#[derive(Debug)]
pub(super) enum Credentials {
    Anonymous,
    Password { name: String, password: Secret },
    Refresh(Secret),
}

impl Asked {
    /// `GET`: the question in the query, the credentials in `Authorization`.
    pub(super) fn from_query(query: &str, headers: &HeaderMap) -> Result<Self, Refusal> {
        let fields = Fields::parse(query.as_bytes());
        let credentials = basic(headers)?;
        if let (Some(account), Credentials::Password { name, .. }) = (&fields.account, &credentials)
            && account != name
        {
            return Err(Refusal::unauthorized(
                "the account asked for is not the one of the credentials",
            ));
        }
        Ok(Self {
            credentials,
            service: fields.service,
            scopes: fields.scopes,
            offline: fields.offline_token.as_deref() == Some("true"),
            form: Form::Query,
        })
    }

    /// `POST`: everything in the form.
    pub(super) fn from_form(body: &[u8], headers: &HeaderMap) -> Result<Self, Refusal> {
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = content_type
            .and_then(|text| text.split(';').next())
            .map(str::trim);
        if !media_type.is_some_and(|text| text.eq_ignore_ascii_case(FORM_MEDIA_TYPE)) {
            let message = format!("the body must be {FORM_MEDIA_TYPE}");
            return Err(Refusal::oauth(OauthError::InvalidRequest, message));
        }
        let fields = Fields::parse(body);
        let credentials = match fields.grant_type.as_deref() {
            Some("password") => Credentials::Password {
                name: required("username", fields.username)?,
                password: Secret::new(required("password", fields.password)?),
            },
            Some("refresh_token") => Credentials::Refresh(Secret::new(required(
                "refresh_token",
                fields.refresh_token,
            )?)),
            Some(_) => {
                let message = "grant_type must be password or refresh_token";
                return Err(Refusal::oauth(OauthError::UnsupportedGrantType, message));
            }
            None => return Err(missing("grant_type")),
        };
        Ok(Self {
            credentials,
            service: fields.service,
            scopes: fields.scopes,
            offline: fields.access_type.as_deref() == Some("offline"),
            form: Form::Oauth,
        })
    }
}

/// The fields of both forms; of a repeated one, scopes aside, the first counts.
#[derive(Default)]
struct Fields {
    service: Option<String>,
    scopes: Vec<Scope>,
    account: Option<String>,
    offline_token: Option<String>,
    grant_type: Option<String>,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
    access_type: Option<String>,
}

impl Fields {
    fn parse(encoded: &[u8]) -> Self {
        let mut fields = Self::default();
        for (key, value) in form_urlencoded::parse(encoded) {
            let field = match &*key {
                "scope" => {
                    fields.add_scopes(&value);
                    continue;
                }
                "service" => &mut fields.service,
                "account" => &mut fields.account,
                "offline_token" => &mut fields.offline_token,
                "grant_type" => &mut fields.grant_type,
                "username" => &mut fields.username,
                "password" => &mut fields.password,
                "refresh_token" => &mut fields.refresh_token,
                "access_type" => &mut fields.access_type,
                _unknown => continue,
            };
            field.get_or_insert_with(|| value.into_owned());
        }
        fields
    }

    fn add_scopes(&mut self, list: &str) {
        for text in list.split(' ').filter(|text| !text.is_empty()) {
            match Scope::parse(text) {
                Some(scope) if text.len() <= MAX_SCOPE_BYTES && self.scopes.len() < MAX_SCOPES => {
                    self.scopes.push(scope);
                }
                _ => tracing::debug!(scope = text, "a scope is malformed and is left out"),
            }
        }
    }
}

fn basic(headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(Credentials::Anonymous);
    };
    let decode = || {
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        Some(Credentials::Password {
            name: name.to_owned(),
            password: Secret::new(password),
        })
    };
    decode().ok_or_else(|| {
        Refusal::unauthorized("the Authorization header is not Basic with base64 of name:password")
    })
}

fn required(name: &str, value: Option<String>) -> Result<String, Refusal> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Refusal {
    Refusal::oauth(OauthError::InvalidRequest, format!("the form lacks {name}"))
}

const FORM_MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// A type, a host with port, a name of 255 bytes and some actions.
const MAX_SCOPE_BYTES: usize = 640;
/// A push with a mount from every repository a client remembers; it keeps the token under 8 KiB.
const MAX_SCOPES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::ActionSet;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn scopes_are_read_as_every_client_writes_them() {
        let two = "repository:a/b:pull|repository:c/d:pull,push";
        let cases = [
            (
                "scope=repository:a/b:pull&scope=repository:c/d:pull,push",
                two,
            ),
            (
                "scope=repository%3Aa%2Fb%3Apull+repository%3Ac%2Fd%3Apush%2Cpull",
                two,
            ),
            (
                "scope=repository:a/b:pull%20repository:c/d:pull,push&service=x",
                two,
            ),
            (
                "scope=&scope=repository:a/b:pull&scope=nonsense&scope=repository:c/d:pull,push",
                two,
            ),
            (
                "scope=repository:a:*&scope=registry:catalog:*",
                "repository:a:*|registry:catalog:*",
            ),
            ("account=alice&client_id=docker&offline_token=true", ""),
        ];
        for (query, expected) in cases {
            let asked = Asked::from_query(query, &HeaderMap::new()).unwrap();
            let scopes: Vec<_> = asked.scopes.iter().map(ToString::to_string).collect();
            assert_eq!(scopes.join("|"), expected, "{query}");
            assert_eq!(asked.offline, query.contains("offline"));
        }
    }

    #[test]
    fn the_number_of_scopes_is_bounded() {
        let query = "scope=repository:a:pull&".repeat(100);
        let asked = Asked::from_query(&query, &HeaderMap::new()).unwrap();
        assert_eq!(asked.scopes.len(), MAX_SCOPES);
        assert_eq!(asked.scopes[0].actions, ActionSet::PULL);
    }

    #[test]
    fn an_account_must_be_the_one_of_the_credentials() {
        let alice = headers(&[(
            "authorization",
            &format!("basic {}", STANDARD.encode("alice:p:w")),
        )]);
        let asked = Asked::from_query("account=alice", &alice).unwrap();
        let Credentials::Password { name, password } = asked.credentials else {
            panic!("credentials are lost");
        };
        assert_eq!((name.as_str(), password.expose()), ("alice", "p:w"));
        assert!(Asked::from_query("account=bob", &alice).is_err());
        for wrong in ["Basic", "Basic !", "Bearer x", "Basic YWxpY2U="] {
            assert!(
                Asked::from_query("", &headers(&[("authorization", wrong)])).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn forms_are_read_with_and_without_parameters_of_their_media_type() {
        let body = b"client_id=docker&grant_type=refresh_token&refresh_token=RT&scope=repository%3Aother%2Fcopy%3Apush%2Cpull+repository%3Aproj%2Fapp%3Apull&service=regsvc";
        for media_type in [
            FORM_MEDIA_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8",
        ] {
            let asked = Asked::from_form(body, &headers(&[("content-type", media_type)])).unwrap();
            assert!(
                matches!(&asked.credentials, Credentials::Refresh(token) if token.expose() == "RT")
            );
            assert_eq!(
                (asked.scopes.len(), asked.service.as_deref()),
                (2, Some("regsvc"))
            );
        }
    }

    #[test]
    fn forms_that_lack_something_are_refused() {
        let form = headers(&[("content-type", FORM_MEDIA_TYPE)]);
        for body in [
            "",
            "grant_type=password",
            "grant_type=password&username=a",
            "grant_type=refresh_token&refresh_token=",
            "grant_type=client_credentials",
        ] {
            assert!(Asked::from_form(body.as_bytes(), &form).is_err(), "{body}");
        }
        let json = headers(&[("content-type", "application/json")]);
        assert!(Asked::from_form(b"grant_type=password&username=a&password=b", &json).is_err());
        assert!(Asked::from_form(b"", &HeaderMap::new()).is_err());
    }
}
