//! Which addresses may be called: public ones over https, and what the operator has named.
//!
//! The check looks at the address that will be connected to, after the name was resolved, so a name that
//! suddenly points inside the house is refused too.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Hosts the operator allows to be called over plain http and at any address.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    hosts: Arc<BTreeSet<String>>,
}

/// An entry that is no host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE}: {0:?} is no host; write host names or addresses without scheme and port, separated by commas"
)]
pub struct AllowedHostsError(String);

/// The operator's variable.
const VARIABLE: &str = "HARNESS_ALLOW_HOSTS";

/// Why a host may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// Plain http without leave.
    #[error("{host} would be called over plain http: use https, or allow it with {VARIABLE}={host}")]
    Plain {
        /// The host.
        host: String,
    },
    /// An address inside somebody's house.
    #[error(
        "{host} leads to {address}, which is not a public address; if that is meant, allow it with {VARIABLE}={host}"
    )]
    NotPublic {
        /// The host.
        host: String,
        /// The address.
        address: IpAddr,
    },
    /// No host at all.
    #[error("the base address has no host")]
    NoHost,
}

impl AllowedHosts {
    /// From `host,host`, as in `HARNESS_ALLOW_HOSTS`. Empty text allows nothing.
    ///
    /// # Errors
    /// An entry is no host.
    pub fn parse(list: &str) -> Result<Self, AllowedHostsError> {
        let hosts = list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| normal(entry).ok_or_else(|| AllowedHostsError(entry.into())))
            .collect::<Result<_, _>>()?;
        Ok(Self { hosts: Arc::new(hosts) })
    }

    /// Also allows one more host, for a harness that starts its own sandbox.
    #[must_use]
    pub fn and(&self, host: &str) -> Self {
        let mut hosts = (*self.hosts).clone();
        hosts.extend(normal(host));
        Self { hosts: Arc::new(hosts) }
    }

    fn allows(&self, host: &str) -> bool {
        normal(host).is_some_and(|host| self.hosts.contains(&host))
    }

    /// Checks what can be known without asking anybody: the scheme, and an address in place of a name.
    ///
    /// # Errors
    /// The refusal names the line that would allow it.
    pub fn check(&self, url: &reqwest::Url) -> Result<(), AddressRefusal> {
        let host = url.host_str().ok_or(AddressRefusal::NoHost)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if self.allows(host) {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err(AddressRefusal::Plain { host: host.into() });
        }
        match host.parse() {
            Ok(address) if !is_public(address) => {
                Err(AddressRefusal::NotPublic { host: host.into(), address })
            }
            _ => Ok(()),
        }
    }

    /// The addresses of a name that may be called.
    fn choose(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, AddressRefusal> {
        if self.allows(host) {
            return Ok(found);
        }
        // One bad address spoils the name: whoever mixes them in wants one to slip through.
        match found.iter().find(|address| !is_public(address.ip())) {
            Some(address) => Err(AddressRefusal::NotPublic { host: host.into(), address: address.ip() }),
            None => Ok(found),
        }
    }
}

impl Resolve for AllowedHosts {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let chosen = allowed.choose(name.as_str(), found)?;
            Ok(Box::new(chosen.into_iter()) as Addrs)
        })
    }
}

/// One spelling for each host; addresses are compared as addresses.
fn normal(host: &str) -> Option<String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_canonical().to_string());
    }
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!bare.is_empty() && bare.bytes().all(named)).then_some(bare)
}

/// Whether everybody on the Internet would reach the same machine under this address.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Only the global unicast block, and of it nothing that carries an IPv4 address in disguise.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    let special = first == 0x2001 && (second < 0x0200 || second == 0x0db8);
    let disguise = first == 0x2002;
    let documentation = first == 0x3fff && second < 0x1000;
    global && !special && !disguise && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &str, url: &str) -> Result<(), AddressRefusal> {
        AllowedHosts::parse(allowed).unwrap().check(&reqwest::Url::parse(url).unwrap())
    }

    #[test]
    fn only_public_addresses_are_public() {
        for public in ["8.8.8.8", "193.2.1.66", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "3fff::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
    }

    #[test]
    fn a_refusal_names_the_line_that_would_allow_it() {
        let refusal = check("", "http://127.0.0.1:8080/rest/").unwrap_err().to_string();
        assert!(refusal.contains("HARNESS_ALLOW_HOSTS=127.0.0.1"), "{refusal}");
        let refusal = check("", "https://169.254.169.254/").unwrap_err().to_string();
        assert!(refusal.contains("HARNESS_ALLOW_HOSTS=169.254.169.254"), "{refusal}");
        assert!(matches!(check("", "http://example.com/"), Err(AddressRefusal::Plain { .. })));
        assert!(matches!(check("", "https://[::1]/"), Err(AddressRefusal::NotPublic { .. })));
        // The parser of addresses knows the old spellings, so they are no way around.
        assert!(matches!(check("", "https://2130706433/"), Err(AddressRefusal::NotPublic { .. })));
        assert!(matches!(check("", "https://0x7f.1/"), Err(AddressRefusal::NotPublic { .. })));
        assert_eq!(check("", "https://main.metakocka.si/rest/eshop/"), Ok(()));
    }

    #[test]
    fn the_operator_may_name_hosts() {
        assert_eq!(check("localhost, 127.0.0.1", "http://127.0.0.1:8080/"), Ok(()));
        assert_eq!(check("::1", "http://[::1]:8080/"), Ok(()));
        assert_eq!(check("[::1]", "http://[::1]:8080/"), Ok(()));
        assert_eq!(check("Sandbox.Local", "http://sandbox.local/"), Ok(()));
        assert!(check("localhost", "http://127.0.0.1/").is_err());
        assert!(AllowedHosts::parse("http://x").is_err());
        assert!(AllowedHosts::parse("127.0.0.1:80").is_err());
        assert_eq!(
            AllowedHosts::default().and("127.0.0.1").check(&"http://127.0.0.1/".parse().unwrap()),
            Ok(())
        );
    }

    #[test]
    fn a_name_that_points_inside_is_refused_whatever_else_it_points_to() {
        let found: Vec<SocketAddr> = vec!["8.8.8.8:0".parse().unwrap(), "10.0.0.7:0".parse().unwrap()];
        let refusal = AllowedHosts::default().choose("evil.example", found.clone()).unwrap_err();
        assert!(refusal.to_string().contains("HARNESS_ALLOW_HOSTS=evil.example"), "{refusal}");
        assert_eq!(
            AllowedHosts::default().and("evil.example").choose("evil.example", found.clone()),
            Ok(found)
        );
    }
}
