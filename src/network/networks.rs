use std::net::IpAddr;

use ipnet::IpNet;

/// A set of networks; a lone address is a network of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Networks(Vec<IpNet>);

impl Networks {
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }
}

impl TryFrom<Vec<String>> for Networks {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let nets = texts.iter().map(|text| network(text));
        nets.collect::<Result<_, _>>().map(Self)
    }
}

/// Reads `10.0.0.0/8`, or an address.
pub fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_not_a_net| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_neither| {
            format!("\"{text}\" is neither an address nor a network like 10.0.0.0/8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_told_apart_from_nonsense() {
        let networks = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"].map(str::to_owned);
        let networks = Networks::try_from(networks.to_vec()).unwrap();
        for (address, is_in) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), is_in);
        }
        let error = Networks::try_from(vec!["10.0.0.0/33".to_owned()]).unwrap_err();
        assert!(error.contains("10.0.0.0/33"), "{error}");
    }
}
