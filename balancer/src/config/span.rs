//! Times as people write them.

use std::time::Duration;

/// A day: longer ones are mistakes.
const SPAN_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Reads a time such as `500ms`, `30s` or `2m`.
///
/// # Errors
/// It is none, or too long: how to write one.
pub fn span(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => 0,
    };
    let span_ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    match span_ms {
        Some(ms @ 1..=SPAN_MS_MAX) => Ok(Duration::from_millis(ms)),
        Some(_) | None => {
            Err(format!("{text:?} is no time: write it like 500ms, 30s or 2m, at most 1440m"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "s", "0s", "1h", "-1s", "99999999999999999999s", "2000m"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
