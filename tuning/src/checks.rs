//! The checks: each reads one setting and judges it by the plan. Never writes.

mod limits;
mod memory;
mod path;
mod tcp;
mod uring;

use std::io;

use crate::catalogue;
use crate::finding::{Finding, Outcome, Plan};
use crate::host::Host;

/// Why a setting has no verdict.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    #[error("{path}: not in the form that is known ({text:?})")]
    Form { path: String, text: String },
}

type Check = fn(&dyn Host, &Plan) -> Result<Outcome, Unreadable>;

/// By id, in the order of the catalogue.
const CHECKS: [(&str, Check); 8] = [
    ("limits.nofile", limits::nofile),
    ("uring.permission", uring::permission),
    ("tcp.port_range", tcp::port_range),
    ("tcp.backlog", tcp::backlog),
    ("path.netdev_backlog", path::netdev_backlog),
    ("limits.memlock", limits::memlock),
    ("tcp.conntrack", tcp::conntrack),
    ("mem.connections", memory::connections),
];

/// Checks every setting of the catalogue. What cannot be read is a finding too; nothing here fails.
#[must_use]
pub fn check(host: &dyn Host, plan: &Plan) -> Vec<Finding> {
    let judge = |(id, check): &(&str, Check)| {
        let setting = catalogue::find(id)?;
        let outcome = check(host, plan).unwrap_or_else(|error| Outcome::unknown(error.to_string()));
        Some(outcome.explain(setting))
    };
    CHECKS.iter().filter_map(judge).collect()
}

fn read(host: &dyn Host, path: &str) -> Result<String, Unreadable> {
    host.read(path).map_err(|error| Unreadable::Io { path: path.to_owned(), error })
}

/// A file's text, or `None` if there is no such file.
fn read_if_any(host: &dyn Host, path: &str) -> Result<Option<String>, Unreadable> {
    match read(host, path) {
        Ok(text) => Ok(Some(text)),
        Err(Unreadable::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn form(path: &str, text: &str) -> Unreadable {
    let text = text.chars().take(80).collect();
    Unreadable::Form { path: path.to_owned(), text }
}

fn number(host: &dyn Host, path: &str) -> Result<u64, Unreadable> {
    let text = read(host, path)?;
    text.trim().parse().map_err(|_| form(path, &text))
}

fn number_if_any(host: &dyn Host, path: &str) -> Result<Option<u64>, Unreadable> {
    let Some(text) = read_if_any(host, path)? else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| form(path, &text))
}

/// The kernel's version, major and minor.
fn kernel(host: &dyn Host) -> Result<(u32, u32), Unreadable> {
    let path = "/proc/sys/kernel/osrelease";
    let text = read(host, path)?;
    let mut parts = text.split(|separator: char| !separator.is_ascii_digit());
    let mut part = || parts.next().and_then(|part| part.parse().ok());
    part().zip(part()).ok_or_else(|| form(path, &text))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the unit that reads best, rounded down to a tenth.
fn sized(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if bytes >= size {
            let tenths = bytes.saturating_mul(10) / size;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::{CHECKS, grouped, sized};
    use crate::catalogue;

    #[test]
    fn the_catalogue_and_the_checks_name_the_same_settings() {
        let listed: Vec<&str> =
            catalogue::all().iter().map(|setting| setting.id.as_str()).collect();
        assert_eq!(listed, CHECKS.map(|(id, _)| id));
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000_100), "1,000,100");
        assert_eq!(sized(1_023), "1023 bytes");
        assert_eq!(sized(1_536), "1.5 KiB");
        assert_eq!(sized(u64::MAX), "1717986918.3 GiB");
    }
}
