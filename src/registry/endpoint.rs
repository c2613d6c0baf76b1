use std::{fmt, str::FromStr};

use http::{
    HeaderValue, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use url::Url;

use super::{Error, Provider, Proxies};
use crate::secret::Secret;

/// A remote registry: where it is, how to sign in there, what to trust.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub provider: Provider,
    pub url: EndpointUrl,
    pub credential: Option<Credential>,
    /// Accept any certificate.
    pub insecure: bool,
    /// PEM certificates trusted besides the system's.
    pub ca_certificate: Option<String>,
    /// How to get there; directly by default.
    pub proxies: Proxies,
}

impl Endpoint {
    /// A plain registry without credential that trusts what the system trusts.
    pub fn new(url: EndpointUrl) -> Self {
        Self {
            provider: Provider::default(),
            url,
            credential: None,
            insecure: false,
            ca_certificate: None,
            proxies: Proxies::default(),
        }
    }
}

/// Who the gateway is at a remote registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    Basic {
        username: String,
        password: Secret,
    },
    /// A refresh token of the registry's token service (Docker's "identity token").
    IdentityToken(Secret),
}

/// An access key of a cloud's own identity service, and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub key: String,
    pub secret: Secret,
}

/// The address of a registry: scheme, host, port and a path prefix before `/v2/`.
///
/// Text without a scheme means `https`; only `http://` means plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    scheme: Scheme,
    authority: Authority,
    /// Empty, or begins and does not end with `/`.
    prefix: String,
    host_header: HeaderValue,
}

impl EndpointUrl {
    pub fn is_plain(&self) -> bool {
        self.scheme == Scheme::HTTP
    }

    /// Host and port as written, for logs and messages.
    pub fn address(&self) -> &str {
        self.authority.as_str()
    }

    pub(super) fn host(&self) -> &str {
        self.authority.host()
    }

    pub(super) fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }

    /// The full URI of a path and query of this registry's API.
    pub(super) fn uri(&self, path_and_query: &PathAndQuery) -> Result<Uri, http::Error> {
        let prefixed = if self.prefix.is_empty() {
            path_and_query.clone()
        } else {
            format!("{}{path_and_query}", self.prefix).parse()?
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(prefixed);
        Ok(Uri::from_parts(parts)?)
    }

    /// What a `Location` or `Link` target in the answer to `request` means: path and query of
    /// this registry's API when it stays here, the absolute URL when it leads elsewhere.
    ///
    /// A registry that names itself with the wrong scheme (behind a TLS terminator it does not
    /// know of) is still itself; it is spoken to with the scheme of this URL.
    pub(super) fn localize(&self, request: &Uri, target: &str) -> Option<String> {
        if self.prefix.is_empty() && target.starts_with('/') && !target.starts_with("//") {
            return Some(target.to_owned());
        }
        let absolute = Url::parse(&request.to_string()).ok()?.join(target).ok()?;
        if !self.is_origin_of(&absolute) {
            return Some(absolute.into());
        }
        let path = absolute.path();
        let path = path
            .strip_prefix(&self.prefix)
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(path);
        Some(match absolute.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }

    fn is_origin_of(&self, other: &Url) -> bool {
        let is_http = matches!(other.scheme(), "http" | "https");
        let same_host = other
            .host_str()
            .is_some_and(|host| host.eq_ignore_ascii_case(self.host()));
        let own_port = self.authority.port_u16();
        let default_port = if self.is_plain() { 80 } else { 443 };
        let same_port = own_port == other.port()
            || Some(own_port.unwrap_or(default_port)) == other.port_or_known_default();
        is_http && same_host && same_port
    }
}

impl FromStr for EndpointUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |reason: &'static str| Error::InvalidUrl {
            url: text.chars().take(200).collect(),
            reason,
        };
        let text = text.trim();
        let url = if text.contains("://") {
            Url::parse(text)
        } else {
            Url::parse(&format!("https://{text}"))
        };
        let url = url.map_err(|_malformed| invalid("write it as https://host[:port]"))?;
        let scheme = match url.scheme() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err(invalid("the scheme must be https or http")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("credentials do not belong in the URL"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it must end with the host or a path"));
        }
        let host = url.host().ok_or_else(|| invalid("the host is missing"))?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let authority: Authority = authority
            .parse()
            .map_err(|_malformed| invalid("the host is malformed"))?;
        let host_header = HeaderValue::from_str(authority.as_str())
            .map_err(|_malformed| invalid("the host is malformed"))?;
        let mut prefix = url.path().trim_end_matches('/');
        // However often: the URL as it is printed must be this one again.
        while let Some(rest) = prefix.strip_suffix("/v2") {
            prefix = rest.trim_end_matches('/');
        }
        Ok(Self {
            scheme,
            authority,
            prefix: prefix.to_owned(),
            host_header,
        })
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

/// The port of an `http` or `https` URI, be it written or not.
pub(super) fn port(uri: &Uri) -> u16 {
    let is_https = uri.scheme() == Some(&Scheme::HTTPS);
    uri.port_u16().unwrap_or(if is_https { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> EndpointUrl {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_parse_as_people_write_them() {
        for (text, printed) in [
            (
                "https://registry.example.com",
                "https://registry.example.com",
            ),
            ("registry.example.com", "https://registry.example.com"),
            (
                "registry.example.com:5000",
                "https://registry.example.com:5000",
            ),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
            (
                "https://EXAMPLE.com:443/mirror/",
                "https://example.com/mirror",
            ),
            ("https://[::1]:5000/v2/", "https://[::1]:5000"),
            ("https://a/mirror//v2/", "https://a/mirror"),
            ("https://a/v2/v2", "https://a"),
        ] {
            assert_eq!(url(text).to_string(), printed, "{text}");
            assert_eq!(url(printed), url(text), "{text}");
        }
        for bad in [
            "",
            "ftp://a",
            "https://",
            "https://u:p@h",
            "https://h/?a=b",
            "http://h#x",
            "https://a b",
        ] {
            assert!(bad.parse::<EndpointUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn locations_become_targets_of_this_registry_or_stay_absolute() {
        let request: Uri = "https://reg.example/p/v2/a/blobs/uploads/".parse().unwrap();
        let prefixed = url("https://reg.example/p");
        for (location, expected) in [
            (
                "/p/v2/a/blobs/uploads/1?_state=x%3D%3D",
                "/v2/a/blobs/uploads/1?_state=x%3D%3D",
            ),
            ("https://reg.example/p/v2/a", "/v2/a"),
            ("https://reg.example:443/p/v2/a", "/v2/a"),
            ("http://reg.example/p/v2/a", "/v2/a"),
            ("1?x=y", "/v2/a/blobs/uploads/1?x=y"),
            (
                "https://storage.example/b?sig=1",
                "https://storage.example/b?sig=1",
            ),
            ("//storage.example/b", "https://storage.example/b"),
            (
                "https://reg.example:8443/v2/a",
                "https://reg.example:8443/v2/a",
            ),
        ] {
            let localized = prefixed.localize(&request, location);
            assert_eq!(localized.as_deref(), Some(expected), "{location}");
        }
        let bare = url("https://reg.example");
        assert_eq!(
            bare.localize(&request, "/v2/x?a=%3D").as_deref(),
            Some("/v2/x?a=%3D")
        );
        assert_eq!(
            bare.localize(&request, "//evil.example/v2/x").as_deref(),
            Some("https://evil.example/v2/x")
        );
    }

    proptest::proptest! {
        #[test]
        fn a_location_elsewhere_never_becomes_a_path_here(host in "[a-z]{1,8}", rest in "[a-z/.@:?#%-]{0,20}") {
            let request: Uri = "https://reg.example/v2/a".parse().unwrap();
            let location = format!("https://{host}.other{rest}");
            if let Some(target) = url("https://reg.example").localize(&request, &location) {
                proptest::prop_assert!(target.starts_with("https://"), "{}", target);
            }
        }
    }
}
