use url::Url;

/// Where targets in an answer may lead to mean the registry behind: what we told it we are
/// called, and what it calls itself.
pub(in crate::proxy) struct Origins<'a> {
    /// `https://registry.example.com`
    pub(in crate::proxy) public: Option<String>,
    /// A path of it stands before `/v2/` there.
    pub(in crate::proxy) upstream: Option<&'a Url>,
}

/// What a `Location` or `Link` target means.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Target<'t> {
    /// The registry behind: the path under `/v2/` and the query, byte for byte. The query holds
    /// signed state that must not be written anew.
    Registry(&'t str),
    /// Somewhere else, such as an object store.
    Foreign,
}

impl Origins<'_> {
    pub(in crate::proxy) fn classify<'t>(&self, target: &'t str) -> Target<'t> {
        let path = if target.starts_with('/') && !target.starts_with("//") {
            Some(target)
        } else {
            self.path_at_known_host(target)
        };
        let path = path.map(|path| self.without_prefix(path));
        match path {
            Some(path) if path.starts_with("/v2/") => Target::Registry(path),
            _ => Target::Foreign,
        }
    }

    /// The scheme does not count: a registry behind plain HTTP does not know that we speak TLS.
    fn path_at_known_host<'t>(&self, target: &'t str) -> Option<&'t str> {
        let (scheme, rest) = target.split_once("://")?;
        let slash = rest.find('/')?;
        let (authority, path) = rest.split_at(slash);
        let host = Host::parse(scheme, authority)?;
        let public = self
            .public
            .as_deref()
            .and_then(|origin| origin.split_once("://"));
        let public = public
            .and_then(|(scheme, rest)| Host::parse(scheme, rest.split('/').next().unwrap_or(rest)));
        let upstream = self
            .upstream
            .and_then(|url| Host::parse(url.scheme(), url.authority()));
        let known = public.is_some_and(|known| known.is(&host))
            || upstream.is_some_and(|known| known.is(&host));
        known.then_some(path)
    }

    fn without_prefix<'t>(&self, path: &'t str) -> &'t str {
        let prefix = self
            .upstream
            .map_or("", |url| url.path().trim_end_matches('/'));
        path.strip_prefix(prefix)
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(path)
    }
}

/// A host and its port, where the scheme's own port goes without saying.
struct Host<'a> {
    name: &'a str,
    port: Option<&'a str>,
}

impl<'a> Host<'a> {
    fn parse(scheme: &str, authority: &'a str) -> Option<Self> {
        let default_port = match scheme {
            "http" => "80",
            "https" => "443",
            _ => return None,
        };
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
            _ => (authority, None),
        };
        Some(Self {
            name,
            port: port.filter(|port| *port != default_port),
        })
    }

    fn is(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.port == other.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_at_the_registry_become_paths_and_others_stay_foreign() {
        let upstream = Url::parse("http://10.0.0.5:5000").unwrap();
        let origins = Origins {
            public: Some("https://reg.example".into()),
            upstream: Some(&upstream),
        };
        let state = "/v2/a/blobs/uploads/1?_state=x%3D%3D&y=a+b";
        for own in [
            state.to_owned(),
            format!("http://10.0.0.5:5000{state}"),
            format!("https://10.0.0.5:5000{state}"),
            format!("https://reg.example{state}"),
            format!("http://REG.example{state}"),
            format!("https://reg.example:443{state}"),
        ] {
            assert_eq!(origins.classify(&own), Target::Registry(state), "{own}");
        }
        for foreign in [
            "https://bucket.s3.example/v2/a?sig=1",
            "https://reg.example:8443/v2/a",
            "https://10.0.0.5/v2/a",
            "https://reg.example.evil/v2/a",
            "https://reg.example@evil.example/v2/a",
            "//evil.example/v2/a",
            "ftp://reg.example/v2/a",
            "https://reg.example/admin",
            "/admin",
            "relative",
            "",
        ] {
            assert_eq!(origins.classify(foreign), Target::Foreign, "{foreign}");
        }
    }

    #[test]
    fn the_path_before_v2_of_the_registry_behind_is_not_shown() {
        let upstream = Url::parse("https://nexus.example/repository/docker/").unwrap();
        let origins = Origins {
            public: None,
            upstream: Some(&upstream),
        };
        for location in [
            "/repository/docker/v2/a/blobs/x",
            "https://nexus.example/repository/docker/v2/a/blobs/x",
            "/v2/a/blobs/x",
        ] {
            assert_eq!(
                origins.classify(location),
                Target::Registry("/v2/a/blobs/x")
            );
        }
    }
}
