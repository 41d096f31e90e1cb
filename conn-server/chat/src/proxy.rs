//! The header that a proxy puts in front of a connection to say whose it is: PROXY protocol, version 2 (the text of
//! haproxy.org's `proxy-protocol.txt`). Read here, and written here for a front of the node's own.
//!
//! Who may send one is not decided here: a node takes the header only where nobody else can connect.
//!
//! ```text
//! 12 bytes signature | version 2, command | family, transport | length, big-endian | addresses, then TLVs
//! ```

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::ProxyHeaders;
use crate::conn::{ConnKey, Opening, Phase};
use crate::effects::Effects;
use crate::limits::PROXY_HEADER_BYTES_MAX;
use crate::shard::Shard;
use crate::time::Now;

/// No frame begins like this, and no other protocol.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, two bytes of what it is, two of how long the rest is.
const PREFIX_BYTES: usize = SIGNATURE.len() + 4;
const VERSION: u8 = 0x20;
const LOCAL: u8 = VERSION;
const PROXY: u8 = VERSION | 1;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Who has connected to the proxy; `None` if it is the proxy itself, or of a kind that has no such address.
    pub source: Option<SocketAddr>,
    /// Bytes of the header.
    pub len: usize,
}

/// What came is no such header, or too long a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProxyHeader;

impl ProxyHeader {
    /// Reads a header at the start of `bytes`; `None` if it may be one and more of it is needed.
    ///
    /// # Errors
    /// [`NoProxyHeader`], as soon as it shows.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NoProxyHeader> {
        let known = bytes.len().min(SIGNATURE.len());
        if bytes.get(..known) != SIGNATURE.get(..known) {
            return Err(NoProxyHeader);
        }
        let Some(&[command, family, high, low]) =
            bytes.get(SIGNATURE.len()..PREFIX_BYTES).and_then(|rest| rest.first_chunk::<4>())
        else {
            return Ok(None);
        };
        let len = PREFIX_BYTES + usize::from(u16::from_be_bytes([high, low]));
        if !matches!(command, LOCAL | PROXY) || len > PROXY_HEADER_BYTES_MAX {
            return Err(NoProxyHeader);
        }
        let Some(addresses) = bytes.get(PREFIX_BYTES..len) else { return Ok(None) };
        let source = match (command, family) {
            (LOCAL, _) => None,
            (_, TCP4) => Some(ipv4(addresses).ok_or(NoProxyHeader)?),
            (_, TCP6) => Some(ipv6(addresses).ok_or(NoProxyHeader)?),
            // Unspecified, datagrams and Unix sockets: to be skipped, whatever addresses follow.
            (_, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
            _ => return Err(NoProxyHeader),
        };
        Ok(Some(Self { source, len }))
    }

    /// A header that says that `source` has connected to `target`.
    #[must_use]
    pub fn write(source: SocketAddr, target: SocketAddr) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + IPV6_BYTES);
        bytes.extend_from_slice(&SIGNATURE);
        bytes.push(PROXY);
        if let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), target.ip()) {
            bytes.extend_from_slice(&[TCP4, 0, IPV4_BYTES as u8]);
            bytes.extend_from_slice(&from.octets());
            bytes.extend_from_slice(&to.octets());
        } else {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            bytes.extend_from_slice(&[TCP6, 0, IPV6_BYTES as u8]);
            bytes.extend_from_slice(&octets(source.ip()));
            bytes.extend_from_slice(&octets(target.ip()));
        }
        bytes.extend_from_slice(&source.port().to_be_bytes());
        bytes.extend_from_slice(&target.port().to_be_bytes());
        bytes
    }
}

fn ipv4(addresses: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses.first_chunk::<IPV4_BYTES>()?;
    Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
}

fn ipv6(addresses: &[u8]) -> Option<SocketAddr> {
    let (from, rest) = addresses.get(..IPV6_BYTES)?.split_first_chunk::<16>()?;
    let (_to, ports) = rest.split_first_chunk::<16>()?;
    let port = u16::from_be_bytes(*ports.first_chunk::<2>()?);
    Some((Ipv6Addr::from(*from), port).into())
}

impl Shard {
    /// What is behind the header of a proxy, if this is where one may be; `None` if it has not come as a whole, or is
    /// none where one must be: then the connection is closed.
    pub(crate) fn behind_proxy_header<'a>(
        &mut self,
        now: Now,
        key: ConnKey,
        bytes: &'a [u8],
        fx: &mut Effects,
    ) -> Option<&'a [u8]> {
        let conn = self.conns.get_mut(key)?;
        if conn.opening != Opening::Awaited || conn.phase != Phase::Fresh || bytes.is_empty() {
            return Some(bytes);
        }
        let may_be_one = bytes.first() == SIGNATURE.first();
        match self.config.proxy_headers {
            ProxyHeaders::Optional if may_be_one => {}
            ProxyHeaders::Required => {}
            ProxyHeaders::Refused | ProxyHeaders::Optional => {
                conn.opening = Opening::Direct;
                return Some(bytes);
            }
        }
        match ProxyHeader::parse(bytes) {
            Ok(Some(ProxyHeader { len, .. })) => {
                conn.opening = Opening::Proxied;
                self.counters.proxied += 1;
                bytes.get(len..)
            }
            Ok(None) => None,
            Err(NoProxyHeader) => {
                self.counters.violations += 1;
                self.counters.violations_proxy += 1;
                self.close(now, key, wire::CloseReason::Violation, fx);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn addresses(v6: bool) -> (SocketAddr, SocketAddr) {
        if v6 {
            ("[2001:db8::7]:50000".parse().unwrap(), "[2001:db8::1]:4443".parse().unwrap())
        } else {
            ("203.0.113.7:50000".parse().unwrap(), "198.51.100.1:4443".parse().unwrap())
        }
    }

    #[test]
    fn what_is_written_is_read_at_whatever_byte_it_is_torn() {
        for v6 in [false, true] {
            let (source, target) = addresses(v6);
            let mut bytes = ProxyHeader::write(source, target);
            let len = bytes.len();
            assert_eq!(len, if v6 { 52 } else { 28 });
            for torn in 0..len {
                assert_eq!(ProxyHeader::parse(&bytes[..torn]), Ok(None), "{torn}");
            }
            bytes.push(0xc5);
            let read = ProxyHeader { source: Some(source), len };
            assert_eq!(ProxyHeader::parse(&bytes), Ok(Some(read)));
        }
    }

    #[test]
    fn families_that_do_not_mix_are_written_as_version_6() {
        let bytes = ProxyHeader::write(addresses(false).0, addresses(true).1);
        let read = ProxyHeader::parse(&bytes).unwrap().unwrap();
        assert_eq!(read.source.unwrap().to_string(), "[::ffff:203.0.113.7]:50000");
    }

    /// A header of this command and family with so many bytes behind its prefix.
    fn header(command: u8, family: u8, rest: usize) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest).unwrap().to_be_bytes());
        bytes.resize(PREFIX_BYTES + rest, 7);
        bytes
    }

    #[test]
    fn what_has_no_source_is_skipped() {
        for (command, family, rest) in
            [(LOCAL, 0, 0), (LOCAL, TCP4, 12), (PROXY, 0, 9), (PROXY, 0x31, 216), (PROXY, 0x12, 12)]
        {
            let bytes = header(command, family, rest);
            let read = ProxyHeader { source: None, len: bytes.len() };
            assert_eq!(ProxyHeader::parse(&bytes), Ok(Some(read)));
        }
        // What follows the addresses is the proxy's own affair.
        let with_tlvs = ProxyHeader::parse(&header(PROXY, TCP4, 100)).unwrap().unwrap();
        assert_eq!(with_tlvs.source.unwrap().to_string(), "7.7.7.7:1799");
    }

    #[test]
    fn garbage_is_told_as_soon_as_it_shows() {
        let longest = PROXY_HEADER_BYTES_MAX - PREFIX_BYTES;
        assert!(ProxyHeader::parse(&header(PROXY, 0, longest)).is_ok());
        for bad in [
            b"PROXY TCP4 ".to_vec(),
            b"\r\n\r\r".to_vec(),
            header(0x10, TCP4, 12),
            header(VERSION | 2, TCP4, 12),
            header(PROXY, 0x13, 12),
            header(PROXY, TCP4, 11),
            header(PROXY, TCP6, 35),
            header(PROXY, 0, longest + 1)[..PREFIX_BYTES].to_vec(),
        ] {
            assert_eq!(ProxyHeader::parse(&bad), Err(NoProxyHeader), "{bad:?}");
        }
    }
}
