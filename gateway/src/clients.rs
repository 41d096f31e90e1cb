//! Who a request comes from: the peer of its connection, or whom a proxy of ours says that it speaks for.
//!
//! Pure. Nobody else's word is taken: a client that writes the header itself is known by its own address.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use balancer::peers;

use crate::limits::FORWARDED_HOPS_MAX;

/// A network: an address, and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// What was given for a network is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address like 10.0.0.7, or a network like 10.0.0.0/8")]
pub struct BadNetwork;

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNetwork)?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(bits_max), str::parse).map_err(|_| BadNetwork)?;
        if bits > bits_max {
            return Err(BadNetwork);
        }
        Ok(Self { address, bits })
    }
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits.into()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits.into()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// What it is known by.
    pub(crate) network: String,
    /// Whether it is not bounded as a client.
    pub(crate) is_unlimited: bool,
}

/// How clients are told apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    /// Proxies of ours, whose word on whom they speak for is taken.
    pub(crate) proxies: Vec<Network>,
    /// Clients that are not bounded as such.
    pub(crate) unlimited: Vec<Network>,
}

impl Clients {
    /// Who sent a request.
    pub(crate) fn identify(&self, peer: SocketAddr, headers: &HeaderMap) -> Client {
        let address = self.origin(peer.ip(), headers);
        Client {
            network: peers::network(address).to_string(),
            is_unlimited: is_in(&self.unlimited, address),
        }
    }

    /// Each proxy adds the one before it on the right: the first from there that is no proxy of ours is the client. What is
    /// to the left of it anybody can have written.
    fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut origin = peer;
        if !is_in(&self.proxies, origin) {
            return origin;
        }
        let lines: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|line| line.to_str().ok())
            .collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for hop in hops.take(FORWARDED_HOPS_MAX) {
            // What is no address says nothing: the proxy that passed it on is all that is known.
            let Some(address) = parse(hop.trim()) else { break };
            origin = address;
            if !is_in(&self.proxies, origin) {
                break;
            }
        }
        origin
    }
}

fn is_in(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Some proxies write a port, and IPv6 addresses in brackets.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn identify(clients: &Clients, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4000);
        clients.identify(peer, &headers).network
    }

    #[test]
    fn networks_are_read_and_contain_what_they_should() {
        let [v4, one, all, v6] =
            networks(&["10.1.0.0/16", "10.2.3.4", "0.0.0.0/0", "2001:db8::/32"])[..]
        else {
            unreachable!("four were given")
        };
        let holds = |network: Network, address: &str| network.contains(address.parse().unwrap());
        assert!(holds(v4, "10.1.255.1") && !holds(v4, "10.2.0.1") && holds(v4, "::ffff:10.1.2.3"));
        assert!(holds(one, "10.2.3.4") && !holds(one, "10.2.3.5"));
        assert!(holds(all, "8.8.8.8") && !holds(all, "::1"));
        assert!(holds(v6, "2001:db8:ffff::1") && !holds(v6, "2001:db9::1"));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/x", "host", "10.0.0.0/-1", "1.2.3"] {
            assert_eq!(bad.parse::<Network>(), Err(BadNetwork), "{bad}");
        }
    }

    #[test]
    fn only_our_proxies_say_whom_they_speak_for() {
        let clients =
            Clients { proxies: networks(&["10.0.0.0/8"]), unlimited: networks(&["192.0.2.7"]) };
        let identify = |peer, forwarded: &[&str]| identify(&clients, peer, forwarded);
        assert_eq!(identify("198.51.100.1", &["192.0.2.7"]), "198.51.100.1", "its own word");
        assert_eq!(identify("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(identify("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(identify("10.0.0.1", &["192.0.2.7, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(identify("10.0.0.1", &["198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(identify("10.0.0.1", &["198.51.100.1", "10.0.0.2"]), "198.51.100.1");
        assert_eq!(identify("10.0.0.1", &["198.51.100.1:77"]), "198.51.100.1");
        assert_eq!(identify("10.0.0.1", &["[2001:db8::1]:77"]), "2001:db8::");
        assert_eq!(identify("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        let endless = vec!["10.0.0.2"; 1_000].join(",");
        assert_eq!(identify("10.0.0.1", &[&format!("198.51.100.1,{endless}")]), "10.0.0.2");
    }

    #[test]
    fn who_is_not_bounded_is_known_by_the_same_address() {
        let clients = Clients { proxies: vec![], unlimited: networks(&["127.0.0.0/8"]) };
        let at = |ip: &str| {
            let peer = SocketAddr::new(ip.parse().unwrap(), 1);
            clients.identify(peer, &HeaderMap::new()).is_unlimited
        };
        assert!(at("127.0.0.1") && at("::ffff:127.0.0.1") && !at("10.0.0.1"));
    }
}
