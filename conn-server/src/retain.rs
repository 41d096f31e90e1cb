//! What `--retain` and `--retain-bytes` say, and what they must not.

use std::time::Duration;

use store::Retention;

use crate::limits::{RETAIN_AGE_MIN, RETAIN_BYTES_MIN, RETAIN_DAYS_MAX};

/// What the store is to keep.
pub(crate) fn retention(age: Option<Duration>, bytes: Option<u64>) -> Retention {
    let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Retention { age_ms: age.map(ms), bytes }
}

/// Reads an age such as `30d`, `12h` or `90m`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let unit_s = match unit {
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => 0,
    };
    let most = u64::from(RETAIN_DAYS_MAX) * 24 * 60 * 60;
    let seconds = number.and_then(|number| number.checked_mul(unit_s)).filter(|s| *s <= most);
    seconds.map(Duration::from_secs).filter(|age| *age >= RETAIN_AGE_MIN).ok_or_else(|| {
        format!("{text:?} is no age: write it like 90m, 12h or 30d, at most {RETAIN_DAYS_MAX}d")
    })
}

/// Reads a size such as `500M` or `10G`, in powers of 1,024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit_bytes = match unit {
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => 0,
    };
    let bytes = number.and_then(|number| number.checked_mul(unit_bytes));
    bytes.filter(|bytes| (RETAIN_BYTES_MIN..=i64::MAX.cast_unsigned()).contains(bytes)).ok_or_else(
        || {
            let least = RETAIN_BYTES_MIN >> 20;
            format!("{text:?} is no size: write it like 500M, 10G or 2T, at least {least}M")
        },
    )
}

fn split(text: &str) -> (Option<u64>, &str) {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    (number.parse().ok(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_read_or_refused() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 24 * 60 * 60)));
        assert_eq!(age("90m"), Ok(Duration::from_secs(90 * 60)));
        assert_eq!(size("10G"), Ok(10 << 30));
        assert_eq!(size("64M"), Ok(64 << 20));
        for bad in ["", "30", "d", "0d", "0m", "30s", "-1d", "99999d", "99999999999999999999d"] {
            assert!(age(bad).is_err(), "{bad}");
        }
        for bad in ["", "10", "G", "0G", "63M", "10g", "-1G", "99999999T", "1.5G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        let both = retention(age("1d").ok(), size("1G").ok());
        assert_eq!(both, Retention { age_ms: Some(86_400_000), bytes: Some(1 << 30) });
        assert!(!retention(None, None).is_limited());
    }
}
