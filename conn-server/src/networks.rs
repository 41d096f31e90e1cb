//! Networks whose hosts may connect, and the filter that lets the kernel see to it.
//!
//! A ring's accepted connections have no descriptor that could be asked who is at its other end, so the question is put
//! before they exist: a packet of anybody else is dropped before the listening socket sees it, for every driver alike.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use socket2::SockFilter;

use crate::limits::NETWORKS_MAX;

/// Networks, written like `10.1.0.0/16,2001:db8::/32`; an address alone is a network of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Networks {
    /// This machine's own addresses.
    pub const LOOPBACK: &str = "127.0.0.0/8,::1/128";

    /// These and this machine's own.
    #[must_use]
    pub fn and_loopback(mut self) -> Self {
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let bits = if address.is_ipv4() { 8 } else { 128 };
            self.0.push(Network { address, bits });
        }
        self
    }

    /// A program for the kernel's packet filter: all of a packet that comes from one of these, nothing of any other.
    #[must_use]
    pub fn filter(&self) -> Vec<SockFilter> {
        let of_version =
            |is_v4: bool| self.0.iter().filter(move |net| net.address.is_ipv4() == is_v4);
        let v4: Vec<_> = of_version(true).flat_map(|net| net.steps()).collect();
        let v6: Vec<_> = of_version(false).flat_map(|net| net.steps()).collect();
        let mut program = vec![
            step(LOAD_BYTE, IP_HEADER),
            step(SHIFT_RIGHT, 4),
            SockFilter::new(JUMP_IF_EQUAL, 1, 0, 4),
            step(JUMP, v4.len() as u32 + 1), // Bounded by NETWORKS_MAX, as below.
        ];
        program.extend(v4);
        program.extend([step(RETURN, NOTHING), SockFilter::new(JUMP_IF_EQUAL, 1, 0, 6)]);
        program.push(step(RETURN, NOTHING));
        program.extend(v6);
        program.push(step(RETURN, NOTHING));
        program
    }
}

// The classic filter's instructions (linux/filter.h, linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const SHIFT_RIGHT: u16 = 0x74;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// SKF_NET_OFF: offsets from here on are those of the IP header.
const IP_HEADER: u32 = 0xfff0_0000;
const IPV4_SOURCE: u32 = IP_HEADER + 12;
const IPV6_SOURCE: u32 = IP_HEADER + 8;
const EVERYTHING: u32 = u32::MAX;
const NOTHING: u32 = 0;

const fn step(code: u16, k: u32) -> SockFilter {
    SockFilter::new(code, 0, 0, k)
}

impl Network {
    /// Steps that let a packet of this network pass, and go on behind themselves for any other.
    fn steps(self) -> Vec<SockFilter> {
        let (source, words) = match self.address {
            IpAddr::V4(ip) => (IPV4_SOURCE, vec![u32::from(ip)]),
            IpAddr::V6(ip) => {
                let ip = u128::from(ip);
                (IPV6_SOURCE, (0..4).rev().map(|word| (ip >> (word * 32)) as u32).collect())
            }
        };
        // A word that the network leaves open needs no look.
        let closed = usize::from(self.bits).div_ceil(32);
        let mut steps = Vec::new();
        for (index, word) in words.into_iter().take(closed).enumerate() {
            let bits = u32::from(self.bits) - 32 * index as u32;
            let mask = if bits >= 32 { u32::MAX } else { u32::MAX << (32 - bits) };
            steps.push(step(LOAD_WORD, source + 4 * index as u32));
            steps.push(step(AND, mask));
            // Three steps for each word that is left, and the return.
            let behind = (3 * (closed - index - 1) + 1) as u8;
            steps.push(SockFilter::new(JUMP_IF_EQUAL, 0, behind, word & mask));
        }
        steps.push(step(RETURN, EVERYTHING));
        steps
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let bad = || format!("{text:?} is no network: write it like 10.1.0.0/16 or 2001:db8::/32");
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(bits_max), str::parse).map_err(|_| bad())?;
        if bits > bits_max { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let networks: Vec<Network> =
            text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>()?;
        if networks.len() > NETWORKS_MAX {
            return Err(format!("{} networks: at most {NETWORKS_MAX}", networks.len()));
        }
        Ok(Self(networks))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Network { address, bits }) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{address}/{bits}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_or_refused() {
        let shown = |text: &str| text.parse::<Networks>().map(|networks| networks.to_string());
        assert_eq!(shown("10.1.0.0/16, ::1").as_deref(), Ok("10.1.0.0/16,::1/128"));
        assert_eq!(shown(Networks::LOOPBACK).as_deref(), Ok(Networks::LOOPBACK));
        assert_eq!(shown("0.0.0.0/0").as_deref(), Ok("0.0.0.0/0"));
        for bad in ["", "10.0.0.0/33", "::/129", "host", "10.0.0.0/8,", "10.0.0.0/-1"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
        assert!(shown(&["::1"; NETWORKS_MAX + 1].join(",")).is_err());
    }
}
