//! Requests for tokens, `Authorization` on the first line and the query or form behind it: nobody
//! is taken for somebody that the credentials do not name.

#![no_main]

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use libfuzzer_sys::fuzz_target;
use tidegate::{
    oci::Scope,
    token::fuzzing::{Question, form, query},
};
use url::form_urlencoded;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (first, fields) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let pairs: Vec<(String, String)> = form_urlencoded::parse(fields).into_owned().collect();
    let field = |name: &str| {
        let found = pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let scopes: Vec<Scope> = pairs
        .iter()
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, list)| list.split(' ').filter_map(Scope::parse))
        .collect();

    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(first)
        && !first.is_empty()
    {
        headers.insert(AUTHORIZATION, value);
    }
    let is_anonymous = headers.is_empty();
    if let Ok(text) = str::from_utf8(fields)
        && let Some(question) = query(text, &headers)
    {
        check(&question, &scopes);
        assert_eq!(question.name.is_none(), is_anonymous);
        assert!(question.refresh_token.is_none());
        let account = field("account").filter(|_| !is_anonymous);
        assert!(account.is_none() || account == question.name.as_deref());
    }
    let urlencoded = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, urlencoded);
    if let Some(question) = form(fields, &headers) {
        check(&question, &scopes);
        match field("grant_type") {
            Some("password") => {
                assert_eq!(question.name.as_deref(), field("username"));
                assert_eq!(question.password.as_deref(), field("password"));
                assert!(question.refresh_token.is_none());
            }
            Some("refresh_token") => {
                assert_eq!(question.refresh_token.as_deref(), field("refresh_token"));
                assert!(question.name.is_none());
            }
            other => panic!("{other:?} was accepted"),
        }
    }
});

fn check(question: &Question, scopes: &[Scope]) {
    assert!(question.scopes.len() <= 64);
    let mut asked = scopes.iter();
    for scope in &question.scopes {
        // In their order.
        assert!(asked.any(|one| one == scope), "{scope}");
    }
}
