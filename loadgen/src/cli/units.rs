//! How numbers are written on the command line: rates, times, counts, shares.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Reads `10000/s`, `10k/s`, `2.5k` as events per second.
///
/// # Errors
/// When it is no rate above zero.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let bare = text.trim().strip_suffix("/s").unwrap_or_else(|| text.trim());
    let (number, scale) = match bare.strip_suffix('k') {
        Some(number) => (number, 1e3),
        None => bare.strip_suffix('M').map_or((bare, 1.0), |number| (number, 1e6)),
    };
    match number.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * scale),
        Ok(_) => Err("a rate must be above zero; for silence use --preset idle".into()),
        Err(_) => Err("write a rate as 500/s, 10k/s or 1M/s".into()),
    }
}

/// Reads `15s`, `500ms`, `2m`.
///
/// # Errors
/// When it is no time.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let scale = match &text[at..] {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err("write a time as 500ms, 15s, 2m or 1h".into()),
    };
    let number =
        text[..at].trim().parse::<f64>().map_err(|_| "write a time as 500ms, 15s, 2m or 1h")?;
    Duration::try_from_secs_f64(number * scale)
        .ok()
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| "a time lies between 0 and 24 hours".into())
}

/// A run keeps one row a second in memory.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A reader of counts within a range: `500`, `1_000`, `10k`, `1M`, `2.5k`.
pub fn parse_count(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let text = text.trim();
        let (number, scale) = match text.strip_suffix(['k', 'M']) {
            Some(number) if text.ends_with('k') => (number, 1e3),
            Some(number) => (number, 1e6),
            None => (text, 1.0),
        };
        // Only digits, one dot and separators: what else a float may be is no count.
        let is_plain = number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '_');
        let value = number.replace('_', "").parse::<f64>().ok().filter(|_| is_plain);
        let value = value.map(|number| number * scale);
        match value.filter(|value| value.fract() == 0.0) {
            None => Err("write a whole number as 500, 1_000, 10k or 1M".into()),
            Some(value) if value < f64::from(*range.start()) || value > f64::from(*range.end()) => {
                Err(format!("it lies between {} and {}", range.start(), range.end()))
            }
            Some(value) => Ok(value as u32),
        }
    }
}

/// Reads `128` or `1k` as bytes: a k is a thousand.
///
/// # Errors
/// When it is no whole number.
pub(super) fn parse_bytes(text: &str) -> Result<usize, String> {
    parse_count(0..=u32::MAX)(text).map(|bytes| bytes as usize)
}

/// Reads `2%` or `0.02` as a share below 1.
///
/// # Errors
/// When it is no share.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |bare| (bare.trim(), 0.01));
    match number.parse::<f64>().map(|number| number * scale) {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        Ok(_) => Err("it lies between 0 and 100 %".into()),
        Err(_) => Err("write a share as 2% or 0.02".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_take_their_units() {
        assert_eq!(parse_rate("10000/s"), Ok(10_000.0));
        assert_eq!(parse_rate("2.5k"), Ok(2_500.0));
        assert_eq!(parse_rate("1M/s"), Ok(1_000_000.0));
        assert!(
            parse_rate("0").is_err() && parse_rate("fast").is_err() && parse_rate("inf").is_err()
        );
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_duration("15").is_err() && parse_duration("-1s").is_err());
        assert!(parse_duration("25h").is_err() && parse_duration("s").is_err());
    }

    #[test]
    fn counts_may_be_written_short_and_must_be_whole() {
        let count = parse_count(1..=10_000_000);
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert_eq!(count("1_000"), Ok(1_000));
        assert_eq!(count("2.5k"), Ok(2_500));
        assert_eq!(count(" 500 "), Ok(500));
        assert_eq!((parse_bytes("1k"), parse_bytes("128")), (Ok(1_000), Ok(128)));
        for refused in ["", "k", "1.5", "-1", "1e3", "inf", "NaN", "10K", "1 000", "k10"] {
            assert!(count(refused).unwrap_err().contains("10k"), "{refused}");
        }
        for outside in ["0", "11M", "99999999999999999999"] {
            assert!(count(outside).unwrap_err().contains("between 1 and 10000000"), "{outside}");
        }
    }

    #[test]
    fn shares_are_per_cent_or_fractions() {
        assert_eq!(parse_share("2%"), Ok(0.02));
        assert_eq!(parse_share("0.5"), Ok(0.5));
        assert!(parse_share("100%").is_err() && parse_share("-1%").is_err());
        assert!(parse_share("much").is_err() && parse_share("nan").is_err());
    }
}
