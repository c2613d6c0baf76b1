use std::net::IpAddr;

use ipnet::IpNet;

use super::Area;
use crate::network::network;

/// `[access]`: which networks may use what, by the address of the client.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// For everything on the listener, and on the redirecting one.
    pub listener: Rules,
    /// For `/api/`, besides.
    pub api: Rules,
    /// For `/metrics`, besides.
    pub metrics: Rules,
}

impl Access {
    /// Whether a client at `address` may use this part.
    pub(super) fn allows(&self, area: Area, address: IpAddr) -> bool {
        let also = match area {
            Area::Api => Some(&self.api),
            Area::Metrics => Some(&self.metrics),
            _ => None,
        };
        self.listener.allow(address) && also.is_none_or(|rules| rules.allow(address))
    }
}

/// Rules in the order they are tried, as nginx's `allow` and `deny`: the first that names the
/// address decides; an address that none names is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    verdict: Verdict,
    /// `None`: `all`.
    network: Option<IpNet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
}

impl Rules {
    fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let names = |rule: &&Rule| {
            rule.network
                .is_none_or(|network| network.contains(&address))
        };
        let first = self.0.iter().find(names);
        first.is_none_or(|rule| rule.verdict == Verdict::Allow)
    }
}

impl TryFrom<Vec<String>> for Rules {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        texts
            .iter()
            .map(|text| rule(text))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    let (verdict, network) = match text.split_once(' ') {
        Some(("allow", network)) => (Verdict::Allow, network),
        Some(("deny", network)) => (Verdict::Deny, network),
        _ => {
            return Err(format!(
                "\"{text}\" is no rule; write \"allow NETWORK\" or \"deny NETWORK\", where NETWORK \
                 may be all"
            ));
        }
    };
    let network = match network.trim() {
        "all" => None,
        other => Some(self::network(other)?),
    };
    Ok(Rule { verdict, network })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Rules {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Rules::try_from(texts).unwrap()
    }

    #[test]
    fn the_first_rule_that_names_the_address_decides() {
        let lists: [(&[&str], &str, bool); 8] = [
            (&[], "192.0.2.1", true),
            (&["deny 192.0.2.1"], "192.0.2.1", false),
            (&["deny 192.0.2.1"], "192.0.2.2", true),
            (
                &["deny 10.0.0.9", "allow 10.0.0.0/8", "deny all"],
                "10.0.0.9",
                false,
            ),
            (
                &["deny 10.0.0.9", "allow 10.0.0.0/8", "deny all"],
                "10.0.0.8",
                true,
            ),
            (
                &["deny 10.0.0.9", "allow 10.0.0.0/8", "deny all"],
                "11.0.0.1",
                false,
            ),
            (&["allow all", "deny 10.0.0.9"], "10.0.0.9", true),
            (
                &["allow 2001:db8::/32", "deny all"],
                "::ffff:10.0.0.9",
                false,
            ),
        ];
        for (list, address, allowed) in lists {
            let verdict = rules(list).allow(address.parse().unwrap());
            assert_eq!(verdict, allowed, "{list:?} {address}");
        }
    }

    #[test]
    fn parts_have_rules_besides_those_of_the_listener() {
        let access = Access {
            listener: rules(&["deny 10.0.0.1"]),
            api: rules(&["allow 10.0.0.0/24", "deny all"]),
            metrics: rules(&["allow 127.0.0.1", "deny all"]),
        };
        for (area, address, allowed) in [
            (Area::Registry, "192.0.2.1", true),
            (Area::Registry, "10.0.0.1", false),
            (Area::Api, "10.0.0.2", true),
            (Area::Api, "10.0.0.1", false),
            (Area::Api, "192.0.2.1", false),
            (Area::Metrics, "127.0.0.1", true),
            (Area::Metrics, "10.0.0.2", false),
        ] {
            let verdict = access.allows(area, address.parse().unwrap());
            assert_eq!(verdict, allowed, "{area:?} {address}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_remedy() {
        for text in [
            "10.0.0.0/8",
            "permit all",
            "deny",
            "allow 10.0.0.0/33",
            "Deny all",
        ] {
            let error = Rules::try_from(vec![text.to_owned()]).unwrap_err();
            let named = text.split(' ').next_back().unwrap();
            assert!(error.contains(named), "{error}");
        }
    }
}
