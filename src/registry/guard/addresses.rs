use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{Uri, uri::PathAndQuery};

use super::place::{Place, is_beneath, is_internal, literal};
use crate::{
    network::{Networks, is_public},
    registry::{Config, Endpoint, EndpointUrl, endpoint::port, error::words},
    wire::BoxError,
};

/// Finds the addresses to connect to on behalf of one registry. Host and port that the
/// configuration names are connected to wherever they are; others, which the registry has named,
/// only at addresses that it may lead to: those that the whole internet can reach, and those that
/// the registry is near to itself. Its own host at another port is one of the others, unless the
/// configuration has it as an address.
///
/// What a name means is asked once for a connection, and what is connected to is what was
/// checked: a name that means another address the next time gains nothing.
#[derive(Debug)]
pub(in crate::registry) struct Guard {
    registry: EndpointUrl,
    /// The registry's own URI, and that of an API beside it which the registry has not named.
    configured: Vec<Uri>,
    allowed: Networks,
    names: Arc<dyn Names>,
    /// The farthest place at which the registry was connected to: who was at a public address once
    /// comes no nearer by saying that its name now means an inner one. Addresses that its name
    /// means as well do not count, as an inner registry may have a public one that is not reached
    /// from here: what an inner address says is not an attacker's.
    seen: Mutex<Option<Seen>>,
}

/// Where the registry was; the nearer the less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    place: Place,
    /// Unknown behind a proxy, and of `localhost`.
    at: Option<IpAddr>,
}

/// Looks names up.
pub(in crate::registry) trait Names: fmt::Debug + Send + Sync {
    /// All addresses that a name means now, those to be tried first in front; with any port.
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// What the system says: its hosts file, DNS.
#[derive(Debug)]
pub(in crate::registry) struct SystemNames;

/// Why a host that a registry has named is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{registry} leads to {host}, which is at {address}{}; {reason}{besides}", and_itself(.seen))]
pub(in crate::registry) struct Forbidden {
    registry: String,
    host: Box<str>,
    address: IpAddr,
    seen: Seen,
    reason: &'static str,
    /// What happened at the host's other addresses.
    besides: Box<str>,
}

impl Guard {
    /// A registry that a proxy leads to counts as public, unless its URL has an address: its
    /// name is the proxy's to look up.
    pub(in crate::registry) fn new(
        endpoint: &Endpoint,
        config: &Config,
        names: Arc<dyn Names>,
    ) -> Self {
        let registry = endpoint.provider.registry_url(&endpoint.url);
        let uri = registry.uri(&PathAndQuery::from_static("/"));
        let configured: Vec<Uri> = uri.into_iter().collect();
        let is_proxied = configured.iter().any(|uri| endpoint.proxies.lead_to(uri));
        let at = literal(registry.host());
        let place = Place::of_host(registry.host()).or(is_proxied.then_some(Place::Public));
        Self {
            registry,
            configured,
            allowed: config.allowed_networks.clone(),
            names,
            seen: Mutex::new(place.map(|place| Seen { place, at })),
        }
    }

    /// Lets what answers at this URI, too, be wherever it is.
    pub(in crate::registry) fn with_api(mut self, uri: Option<&Uri>) -> Self {
        self.configured.extend(uri.cloned());
        self
    }

    /// Whether the configuration names host and port of `uri`.
    pub(in crate::registry) fn is_configured(&self, uri: &Uri) -> bool {
        self.configured.iter().any(|own| {
            let (host, own_host) = (uri.host().unwrap_or_default(), own.host());
            own_host.is_some_and(|own| own.eq_ignore_ascii_case(host)) && port(own) == port(uri)
        })
    }

    /// All addresses of a name that the configuration names.
    pub(in crate::registry) async fn configured_addresses(
        &self,
        name: &str,
    ) -> io::Result<Vec<SocketAddr>> {
        self.names.addresses(name).await
    }

    /// Takes in that `uri`, which the configuration names, was connected to at this address.
    pub(in crate::registry) fn note_connection(&self, uri: &Uri, address: IpAddr) {
        let host = uri.host().unwrap_or_default();
        if host.eq_ignore_ascii_case(self.registry.host()) {
            self.note(address);
        }
    }

    /// Takes in that the registry was at this address.
    pub(in crate::registry) fn note(&self, address: IpAddr) {
        let mut seen = self.lock();
        *seen = (*seen).max(Some(Seen::at(address)));
    }

    /// The addresses that may be connected to of a name that the registry names, and why others
    /// of it may not; an error when there are only others.
    pub(in crate::registry) async fn named_addresses(
        &self,
        name: &str,
    ) -> Result<(Vec<SocketAddr>, Option<Forbidden>), BoxError> {
        let found = self.names.addresses(name).await?;
        if found.iter().all(|address| is_public(address.ip())) {
            return Ok((found, None));
        }
        let seen = self.seen().await?;
        let (mut permitted, mut refusal) = (Vec::new(), None);
        for address in found {
            match self.permit(name, address.ip(), seen) {
                Ok(()) => permitted.push(address),
                Err(forbidden) => refusal = Some(forbidden),
            }
        }
        match refusal {
            Some(forbidden) if permitted.is_empty() => Err(forbidden.into()),
            refusal => Ok((permitted, refusal)),
        }
    }

    /// Whether the host of `uri`, which the registry names, may be connected to if it is an
    /// address; a name may be looked up.
    pub(in crate::registry) async fn permit_literal(&self, uri: &Uri) -> Result<(), BoxError> {
        let host = uri.host().unwrap_or_default();
        match literal(host) {
            Some(address) if !is_public(address) => {
                let seen = self.seen().await?;
                Ok(self.permit(host, address, seen)?)
            }
            _ => Ok(()),
        }
    }

    fn permit(&self, host: &str, address: IpAddr, seen: Seen) -> Result<(), Forbidden> {
        let address = address.to_canonical();
        if is_public(address) || literal(self.registry.host()) == Some(address) {
            return Ok(());
        }
        let reason = match seen.place {
            _ if is_beneath(address) => BENEATH,
            Place::Inner | Place::Public if is_internal(address) => INTERNAL,
            Place::Here | Place::Inner => return Ok(()),
            Place::Public if self.allowed.contains(address) => return Ok(()),
            Place::Public => NOT_PUBLIC,
        };
        Err(Forbidden {
            registry: self.registry.address().to_owned(),
            host: host.into(),
            address,
            seen,
            reason,
            besides: Box::default(),
        })
    }

    /// Where the registry was. What its name means counts only until it was connected to, as when
    /// an upload of an earlier process goes on at a storage: then the farthest of all addresses.
    async fn seen(&self) -> io::Result<Seen> {
        let known = *self.lock();
        if let Some(seen) = known {
            return Ok(seen);
        }
        let name = self.registry.host();
        let explain = |error: &dyn fmt::Display| format!("where {name} is: {error}");
        let found = self.names.addresses(name).await;
        let found = found.map_err(|error| io::Error::new(error.kind(), explain(&error)))?;
        let farthest = found.iter().map(|address| Seen::at(address.ip())).max();
        farthest.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, explain(&"no address")))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forbidden {
    /// Says, too, why the host's other addresses were of no use.
    pub(in crate::registry) fn besides(mut self, error: &(dyn Error + 'static)) -> Self {
        self.besides = format!("; at its other addresses: {}", words(error)).into();
        self
    }
}

impl Seen {
    fn at(address: IpAddr) -> Self {
        let (place, at) = (Place::of(address), Some(address.to_canonical()));
        Self { place, at }
    }
}

/// The part of a refusal that says where the registry was.
fn and_itself(seen: &Seen) -> String {
    match (seen.at, seen.place) {
        (Some(address), _) => format!(", and was at {address} itself"),
        (None, Place::Public) => ", and is behind a proxy itself".to_owned(),
        (None, _) => String::new(),
    }
}

impl Names for SystemNames {
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed()
    }
}

const BENEATH: &str = "no registry may lead to link-local and cloud metadata addresses; have the \
     registry name another one";
const INTERNAL: &str = "only a registry on this machine may lead to loopback addresses; have the \
     registry name another one";
const NOT_PUBLIC: &str = "a registry at a public address, or behind a proxy, may lead to public \
     addresses only; to allow it, list its network in upstream.connections.allowed_networks";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::Told;

    fn guard(registry: &str, allowed: &[&str]) -> Guard {
        let allowed: Vec<String> = allowed.iter().map(|text| (*text).to_owned()).collect();
        let config = Config {
            allowed_networks: allowed.try_into().unwrap(),
            ..Config::default()
        };
        let endpoint = Endpoint::new(registry.parse().unwrap());
        Guard::new(&endpoint, &config, names())
    }

    fn names() -> Arc<Told> {
        Told::new([
            ("public.example", &[&["1.1.1.1", "2600::1"]]),
            ("inner.example", &[&["10.0.0.1", "fd00::1"]]),
            ("both.example", &[&["10.0.0.1", "1.1.1.1"]]),
            ("here.example", &[&["127.0.0.1", "::1"]]),
            ("mixed.example", &[&["127.0.0.1", "10.0.0.9", "8.8.8.8"]]),
            ("link.example", &[&["169.254.169.254"]]),
            ("unspecified.example", &[&["::"]]),
            ("mapped.example", &[&["::ffff:127.0.0.1"]]),
            (
                "translated.example",
                &[&["64:ff9b::a9fe:a9fe", "2002:7f00:1::"]],
            ),
            ("metadata.example", &[&["fd00:ec2::254", "100.100.100.200"]]),
            ("azure.example", &[&["168.63.129.16"]]),
        ])
    }

    /// Where `name` may be connected to when the registry names it, or why it may not.
    async fn found(guard: &Guard, name: &str) -> String {
        match guard.named_addresses(name).await {
            Ok((addresses, _left_out)) => addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_registry_leads_no_nearer_than_it_is_itself() {
        let refused = "leads to";
        for (registry, name, expected) in [
            ("public.example", "public.example", "1.1.1.1 2600::1"),
            ("inner.example", "public.example", "1.1.1.1 2600::1"),
            ("inner.example", "inner.example", "10.0.0.1 fd00::1"),
            ("here.example", "here.example", "127.0.0.1 ::1"),
            ("link.example", "link.example", refused),
            ("public.example", "inner.example", refused),
            ("both.example", "inner.example", refused),
            ("1.1.1.1", "inner.example", refused),
            ("[2600::1]", "inner.example", refused),
            ("10.0.0.7", "inner.example", "10.0.0.1 fd00::1"),
            ("[fd00::7]", "inner.example", "10.0.0.1 fd00::1"),
            ("10.0.0.7", "here.example", refused),
            ("inner.example", "here.example", refused),
            ("inner.example", "mapped.example", refused),
            ("inner.example", "link.example", refused),
            ("inner.example", "unspecified.example", refused),
            ("inner.example", "translated.example", refused),
            ("inner.example", "metadata.example", refused),
            ("public.example", "azure.example", refused),
            ("169.254.0.9", "link.example", refused),
            ("169.254.169.254:80", "link.example", "169.254.169.254"),
            ("10.0.0.1", "mapped.example", refused),
            ("public.example", "link.example", refused),
            ("here.example", "inner.example", "10.0.0.1 fd00::1"),
            ("127.0.0.1:5000", "link.example", refused),
            ("here.example", "metadata.example", refused),
            ("localhost:5000", "here.example", "127.0.0.1 ::1"),
            ("public.example", "mixed.example", "8.8.8.8"),
            ("inner.example", "mixed.example", "10.0.0.9 8.8.8.8"),
        ] {
            let found = found(&guard(registry, &[]), name).await;
            let is_expected = found == expected || (expected == refused && found.contains(refused));
            assert!(is_expected, "{registry} {name}: {found}");
        }
    }

    #[tokio::test]
    async fn the_configuration_allows_networks_but_never_this_machine() {
        let guard = guard("public.example", &["10.0.0.0/8", "127.0.0.0/8"]);
        assert_eq!(found(&guard, "inner.example").await, "10.0.0.1");
        let refusal = found(&guard, "here.example").await;
        assert!(refusal.contains("only a registry on this machine"));
        let literal: Uri = "https://[fd00::9]:8443/x".parse().unwrap();
        let refusal = guard.permit_literal(&literal).await.unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "public.example leads to [fd00::9], which is at fd00::9, and was at 2600::1 itself; a \
             registry at a public address, or behind a proxy, may lead to public addresses only; to allow it, list its \
             network in upstream.connections.allowed_networks"
        );
        let literal: Uri = "https://10.9.9.9/x".parse().unwrap();
        guard.permit_literal(&literal).await.unwrap();
        // A proxy may read these as 172.16.0.1.
        for host in ["2886729729", "0xac100001", "172.16.1", "0254.16.0.1"] {
            let literal: Uri = format!("https://{host}/x").parse().unwrap();
            let refusal = guard.permit_literal(&literal).await.unwrap_err();
            assert!(refusal.to_string().contains("at 172.16.0.1"), "{refusal}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_nobody_finds_is_neither_public_nor_inner() {
        let guard = guard("unknown.example", &[]);
        let literal: Uri = "https://10.9.9.9/x".parse().unwrap();
        let error = guard.permit_literal(&literal).await.unwrap_err();
        assert_eq!(error.to_string(), "where unknown.example is: nobody");
        assert!(error.downcast_ref::<Forbidden>().is_none());
        let error = found(&guard, "inner.example").await;
        assert_eq!(error, "where unknown.example is: nobody");
        assert_eq!(found(&guard, "public.example").await, "1.1.1.1 2600::1");
    }

    #[test]
    fn the_configuration_names_hosts_with_their_ports() {
        let api = Uri::from_static("https://api.example/");
        let guard = guard("https://registry.example", &[]).with_api(Some(&api));
        for (uri, expected) in [
            ("https://registry.example/x", true),
            ("https://REGISTRY.example:443/x", true),
            ("https://api.example:443/", true),
            ("https://registry.example:8443/x", false),
            ("http://registry.example/x", false),
            ("https://registry.example./x", false),
            ("https://api.example:6443/", false),
            ("https://storage.example/x", false),
        ] {
            assert_eq!(
                guard.is_configured(&uri.parse().unwrap()),
                expected,
                "{uri}"
            );
        }
    }

    #[tokio::test]
    async fn the_farthest_address_that_a_registry_was_connected_to_counts() {
        let guard = guard("both.example", &[]);
        let own = Uri::from_static("https://BOTH.example/v2/");
        let refusal = found(&guard, "inner.example").await;
        assert!(refusal.contains("and was at 1.1.1.1 itself"), "{refusal}");
        for (address, may_lead_there) in
            [("10.0.0.1", true), ("1.1.1.1", false), ("10.0.0.1", false)]
        {
            guard.note_connection(&own, address.parse().unwrap());
            let found = found(&guard, "inner.example").await;
            assert_eq!(found == "10.0.0.1 fd00::1", may_lead_there, "{found}");
        }
    }

    #[tokio::test]
    async fn what_the_configuration_names_may_be_anywhere_and_lends_no_other_its_place() {
        let api = Uri::from_static("https://inner.example/");
        let guard = guard("public.example", &[]).with_api(Some(&api));
        let found_there = guard.configured_addresses("inner.example").await.unwrap();
        assert_eq!(found_there.len(), 2);
        guard.note_connection(&api, "10.0.0.1".parse().unwrap());
        let refusal = found(&guard, "inner.example").await;
        assert!(refusal.contains("leads to"), "{refusal}");
    }
}
