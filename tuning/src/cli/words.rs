//! Numbers, times and lists as people write them.

use std::time::Duration;

/// A count with an optional `k` or `M`.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let plain: String = text.chars().filter(|digit| !matches!(digit, '_' | ',')).collect();
    let (digits, factor) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => {
            plain.strip_suffix(['m', 'M']).map_or((plain.as_str(), 1), |digits| (digits, 1_000_000))
        }
    };
    let number: u64 =
        digits.parse().map_err(|_| "give a number such as 10000, 10k or 1M".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "that is more than any machine holds".to_owned())
}

/// A time as `500ms`, `30s`, `10m` or `1h`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let scale = match &text[at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a time as 500ms, 30s, 10m or 1h".to_owned()),
    };
    let number: u64 = text[..at]
        .trim()
        .parse()
        .map_err(|_| "write a time as 500ms, 30s, 10m or 1h".to_owned())?;
    let time = number.checked_mul(scale).map(Duration::from_millis);
    time.filter(|time| (Duration::from_millis(1)..=DAY).contains(time))
        .ok_or_else(|| "a time lies between 1 ms and 24 hours".to_owned())
}

pub(super) fn runs(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|runs| (1..=60).contains(runs))
        .ok_or_else(|| "between 1 and 60".to_owned())
}

pub(super) fn micros(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("us").and_then(|number| number.parse::<u32>().ok());
    number
        .map(|number| Duration::from_micros(number.into()))
        .ok_or_else(|| "write a time as 0us or 20us".to_owned())
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A list of processors such as `2-7,9`.
pub(super) fn cpu_list(text: &str) -> Result<String, String> {
    let is_number = |part: &str| part.parse::<u16>().is_ok();
    let is_range = |part: &str| {
        part.split_once('-')
            .map_or_else(|| is_number(part), |(first, last)| is_number(first) && is_number(last))
    };
    if text.split(',').all(is_range) {
        Ok(text.to_owned())
    } else {
        Err("write processors as 2-7 or 0,2,4".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{count, cpu_list, time};

    #[test]
    fn counts_may_be_short() {
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert_eq!(count("1_000"), Ok(1_000));
        assert!(count("many").is_err());
        assert!(count("99999999999999999M").is_err());
    }

    #[test]
    fn times_and_lists_of_processors() {
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "10", "0s", "25h", "-1s", "1d", "99999999999999999999h"] {
            assert!(time(wrong).is_err(), "{wrong:?}");
        }
        assert!(cpu_list("2-7,9").is_ok());
        assert!(cpu_list("2-7\nExecStart=x").is_err());
    }
}
