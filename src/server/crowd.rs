use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Limits, TrustedProxies};
use crate::{network::Networks, rate};

/// The connections of each source address. As many entries as there are connections, which
/// `server.max_connections` bounds. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct Crowd(Arc<Present>);

#[derive(Debug)]
struct Present {
    /// 0: nobody is counted.
    limit: usize,
    exempt: Networks,
    /// Proxies hold connections for many.
    proxies: TrustedProxies,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    present: Arc<Present>,
    /// `None`: not counted.
    source: Option<IpAddr>,
}

impl Crowd {
    pub(super) fn new(limits: &Limits, proxies: TrustedProxies) -> Self {
        Self(Arc::new(Present {
            limit: limits.connections_per_address,
            exempt: limits.exempt_networks.clone(),
            proxies,
            counts: Mutex::default(),
        }))
    }

    /// A place for one more connection from `address`; `None` when it has too many.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let present = &self.0;
        let place = |source| Place {
            present: present.clone(),
            source,
        };
        let is_free = present.limit == 0
            || present.exempt.contains(address)
            || present.proxies.contains(address);
        if is_free {
            return Some(place(None));
        }
        let source = rate::source(address);
        let mut counts = present.counts();
        let count = counts.entry(source).or_default();
        if *count >= present.limit {
            return None;
        }
        *count += 1;
        Some(place(Some(source)))
    }
}

impl Present {
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        if let Entry::Occupied(mut entry) = self.present.counts().entry(source) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(limit: usize) -> Crowd {
        let limits = Limits {
            connections_per_address: limit,
            exempt_networks: vec!["10.0.0.0/8".to_owned()].try_into().unwrap(),
            ..Limits::default()
        };
        let proxies = vec!["192.168.0.1".to_owned()].try_into().unwrap();
        Crowd::new(&limits, proxies)
    }

    fn enter(crowd: &Crowd, address: &str) -> Option<Place> {
        crowd.enter(address.parse().unwrap())
    }

    #[test]
    fn a_source_has_so_many_places_and_gets_them_back() {
        let crowd = crowd(2);
        let first = enter(&crowd, "192.0.2.1").unwrap();
        let _second = enter(&crowd, "192.0.2.1").unwrap();
        assert!(enter(&crowd, "192.0.2.1").is_none());
        let _other = enter(&crowd, "192.0.2.2").unwrap();
        drop(first);
        assert!(enter(&crowd, "192.0.2.1").is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let crowd = crowd(2);
        drop(enter(&crowd, "192.0.2.1"));
        assert!(crowd.0.counts().is_empty());
    }

    #[test]
    fn ipv6_networks_share_and_proxies_are_not_counted() {
        let crowd = crowd(1);
        let _first = enter(&crowd, "2001:db8::1").unwrap();
        assert!(enter(&crowd, "2001:db8::2").is_none());
        for free in ["10.0.0.1", "192.168.0.1"] {
            let _places = [enter(&crowd, free).unwrap(), enter(&crowd, free).unwrap()];
        }
        let unlimited = self::crowd(0);
        let _places: Vec<_> = (0..9)
            .map(|_| enter(&unlimited, "192.0.2.1").unwrap())
            .collect();
    }
}
