//! A node's figures: fetched over HTTP, or recorded.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Instant;

use crate::limits::{NODE_BYTES_MAX, NODE_TIMEOUT};
use crate::root::Root;

/// Where a recording has them.
const METRICS: &str = "/probe/metrics";
const INFO: &str = "/probe/info";

/// Where a node's figures are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// In the recording, if it has any; a running machine without `--node` has none.
    #[default]
    Machine,
    /// At this `HOST:PORT`.
    Http(String),
}

impl Source {
    /// Reads `http://HOST:PORT`, with or without `/metrics` behind it, or only `HOST:PORT`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write the node's admin address as http://127.0.0.1:5902".to_owned();
        if text.starts_with("https://") {
            return Err("the admin port speaks plain HTTP".to_owned());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (name, port) = host.rsplit_once(':').ok_or_else(wrong)?;
        let is_path = matches!(path.trim_end_matches('/'), "" | "metrics" | "info");
        let is_host = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_host || !is_path || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self::Http(host.to_owned()))
    }

    /// The page of figures; `None` if there is no node.
    pub(super) fn metrics(&self, root: &dyn Root) -> Option<io::Result<Metrics>> {
        self.page(root, METRICS, "/metrics").map(|page| page.map(|page| Metrics::parse(&page)))
    }

    /// The node's process, by its own words.
    pub(super) fn pid(&self, root: &dyn Root) -> Option<u32> {
        // Another machine's numbers of processes mean nothing here.
        if !self.is_here() {
            return None;
        }
        let page = self.page(root, INFO, "/info")?.ok()?;
        let info: serde_json::Value = serde_json::from_str(&page).ok()?;
        info["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Whether the node is surely on this machine.
    pub(super) fn is_here(&self) -> bool {
        match self {
            Self::Machine => true,
            Self::Http(host) => {
                let mut addresses = host.to_socket_addrs().into_iter().flatten();
                addresses.next().is_some_and(|address| address.ip().is_loopback())
            }
        }
    }

    fn page(&self, root: &dyn Root, recorded: &str, path: &str) -> Option<io::Result<String>> {
        match self {
            Self::Http(host) => Some(get(host, path)),
            Self::Machine if root.is_live() => None,
            Self::Machine => root.read(recorded).ok().map(Ok),
        }
    }
}

/// One page by HTTP, bounded in time and length.
fn get(host: &str, path: &str) -> io::Result<String> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let address =
        host.to_socket_addrs()?.next().ok_or_else(|| wrong(format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, NODE_TIMEOUT)?;
    stream.set_read_timeout(Some(NODE_TIMEOUT))?;
    stream.set_write_timeout(Some(NODE_TIMEOUT))?;
    // HTTP/1.0: the answer ends with the connection and is not in chunks. In one piece, for servers that read once.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let start = Instant::now();
    let mut piece = [0; 16 * 1_024];
    loop {
        let length = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..length]);
        if length == 0 {
            break;
        }
        // Whoever gives a byte now and then would hold this up for ever.
        if start.elapsed() > NODE_TIMEOUT || answer.len() as u64 > NODE_BYTES_MAX {
            return Err(wrong("the answer does not end".to_owned()));
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| wrong("no HTTP answer".to_owned()))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        return Err(wrong(format!("{path} was answered with {status:?}")));
    }
    Ok(body.to_owned())
}

/// Figures in Prometheus' form.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// By name; each with its labels.
    samples: BTreeMap<String, Vec<(String, f64)>>,
}

impl Metrics {
    /// Reads a page; lines that are no samples are passed over.
    #[must_use]
    pub fn parse(page: &str) -> Self {
        let mut samples: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            // A label's text may hold a space, but a name may not.
            let (name, rest) = match line.split_once('{') {
                Some((name, rest)) => match rest.rsplit_once('}') {
                    Some((labels, rest)) => (name, (labels, rest)),
                    None => continue,
                },
                None => match line.split_once(' ') {
                    Some((name, rest)) => (name, ("", rest)),
                    None => continue,
                },
            };
            let (labels, rest) = rest;
            let value = rest.split_whitespace().next().and_then(|value| value.parse::<f64>().ok());
            if let Some(value) = value.filter(|value| value.is_finite()) {
                samples.entry(name.trim().to_owned()).or_default().push((labels.to_owned(), value));
            }
        }
        Self { samples }
    }

    /// The sum over all shards; `None` if there is no such figure.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let samples = self.samples.get(&format!("ringline_node_{name}"))?;
        Some(samples.iter().map(|(_, value)| value).sum())
    }

    /// Each shard's.
    #[must_use]
    pub fn each(&self, name: &str) -> Vec<f64> {
        let samples = self.samples.get(&format!("ringline_node_{name}"));
        samples.map(|samples| samples.iter().map(|(_, value)| *value).collect()).unwrap_or_default()
    }

    /// How many values of a histogram lie at or below each of its bounds, over all shards.
    fn buckets(&self, name: &str) -> BTreeMap<u64, (f64, f64)> {
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        let samples = self.samples.get(&format!("ringline_node_{name}_bucket"));
        for (labels, count) in samples.into_iter().flatten() {
            let bound = labels
                .split(',')
                .find_map(|label| label.trim().strip_prefix("le=\"")?.strip_suffix('"'));
            let Some(bound) = bound else { continue };
            let bound =
                if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap_or(f64::NAN) };
            if bound >= 0.0 {
                // Bounds that are not negative are in the order of their bits.
                buckets.entry(bound.to_bits()).or_insert((bound, 0.0)).1 += count;
            }
        }
        buckets
    }

    /// A quantile of what a histogram took since `before`: the bound of the bucket it lies in. `None` if nothing came.
    #[must_use]
    pub fn quantile_since(&self, before: &Self, name: &str, quantile: f64) -> Option<f64> {
        let earlier = before.buckets(name);
        let now = self.buckets(name);
        let came =
            |bits: &u64, count: f64| count - earlier.get(bits).map_or(0.0, |(_, earlier)| *earlier);
        let (bits, (_, all)) = now.last_key_value()?;
        let wanted = came(bits, *all) * quantile;
        if wanted <= 0.0 {
            return None;
        }
        now.iter()
            .find(|(bits, (_, count))| came(bits, *count) >= wanted)
            .map(|(_, (bound, _))| *bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP x y\nringline_node_busy_total{shard=\"0\"} 1\nringline_node_busy_total{shard=\"1\"} 2\n\
        ringline_node_loop_lag_seconds_bucket{le=\"0.001\",shard=\"0\"} 5\n\
        ringline_node_loop_lag_seconds_bucket{le=\"+Inf\",shard=\"0\"} 5\nringline_node_rss_bytes 4096\nnonsense\n";
    const AFTER: &str = "ringline_node_loop_lag_seconds_bucket{le=\"0.001\",shard=\"0\"} 14\n\
        ringline_node_loop_lag_seconds_bucket{le=\"0.01\",shard=\"0\"} 15\n\
        ringline_node_loop_lag_seconds_bucket{le=\"+Inf\",shard=\"0\"} 15\n";

    #[test]
    fn pages_are_read_and_sums_made() {
        let metrics = Metrics::parse(BEFORE);
        assert_eq!(metrics.sum("busy_total"), Some(3.0));
        assert_eq!(metrics.each("busy_total"), [1.0, 2.0]);
        assert_eq!(metrics.sum("rss_bytes"), Some(4096.0));
        assert_eq!(metrics.sum("nothing"), None);
    }

    #[test]
    fn quantiles_are_of_what_came_in_between() {
        let (before, after) = (Metrics::parse(BEFORE), Metrics::parse(AFTER));
        assert_eq!(after.quantile_since(&before, "loop_lag_seconds", 0.5), Some(0.001));
        assert_eq!(after.quantile_since(&before, "loop_lag_seconds", 0.99), Some(0.01));
        assert_eq!(before.quantile_since(&before, "loop_lag_seconds", 0.5), None);
    }

    #[test]
    fn another_machines_processes_are_not_looked_for_here() {
        assert!(Source::parse("http://127.0.0.1:5902").unwrap().is_here());
        assert!(Source::parse("[::1]:5902").unwrap().is_here());
        assert!(!Source::parse("http://192.0.2.7:5902").unwrap().is_here());
        assert!(Source::Machine.is_here());
    }

    #[test]
    fn addresses_are_checked() {
        assert_eq!(
            Source::parse("http://127.0.0.1:5902/metrics"),
            Ok(Source::Http("127.0.0.1:5902".to_owned()))
        );
        assert_eq!(Source::parse("node:5902"), Ok(Source::Http("node:5902".to_owned())));
        for wrong in [
            "https://node:1",
            "http://node",
            "http://node:99999",
            "http://:5902",
            "http://node:1/other",
            "no de:1",
        ] {
            assert!(Source::parse(wrong).is_err(), "{wrong}");
        }
    }
}
