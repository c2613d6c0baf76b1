//! To which addresses something may be sent: not to those that only machines near this one can
//! reach, unless the configuration says so. Else whoever may make a policy could have the gateway
//! ask the services behind its firewall.

use std::net::IpAddr;

use crate::{network::is_public, webhook::Config};

/// Why nothing is sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is not a public address; to allow it, set webhook.allow_private_addresses or list \
     its network in webhook.allowed_networks"
)]
pub(in crate::webhook) struct NotPublic {
    address: IpAddr,
}

/// Whether something may be sent there.
pub(in crate::webhook) fn permit(config: &Config, address: IpAddr) -> Result<(), NotPublic> {
    let address = address.to_canonical();
    let is_allowed = config.allow_private_addresses || config.allowed_networks.contains(address);
    if is_allowed || is_public(address) {
        Ok(())
    } else {
        Err(NotPublic { address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_permitted() {
        let config = Config::default();
        for text in ["127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "fd00::1"] {
            let refusal = permit(&config, text.parse().unwrap()).unwrap_err();
            assert!(
                refusal.to_string().contains("allow_private_addresses"),
                "{text}"
            );
        }
        for text in ["1.1.1.1", "::ffff:8.8.8.8", "2606:4700:4700::1111"] {
            assert_eq!(permit(&config, text.parse().unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_configuration_allows_all_or_some_networks() {
        let config = |text: &str| toml::from_str::<Config>(text).unwrap();
        let (loopback, private) = (
            "127.0.0.1".parse().unwrap(),
            "::ffff:10.1.2.3".parse().unwrap(),
        );
        let all = config("allow_private_addresses = true");
        assert!(permit(&all, loopback).is_ok() && permit(&all, private).is_ok());
        let some = config("allowed_networks = [\"10.1.0.0/16\", \"192.168.1.9\"]");
        assert!(permit(&some, loopback).is_err() && permit(&some, private).is_ok());
        assert!(permit(&some, "192.168.1.9".parse().unwrap()).is_ok());
        assert!(permit(&some, "192.168.1.8".parse().unwrap()).is_err());
        assert!(toml::from_str::<Config>("allowed_networks = [\"near\"]").is_err());
    }
}
