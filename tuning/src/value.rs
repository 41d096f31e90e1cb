//! What stands in a file of the kernel: how it is read, compared and written.
//!
//! Two texts are the same value if their canonical forms are: `1024\t65535` and `1024 65535`, `00000003` and `3`, and a choice is
//! the word in brackets.

use serde::{Deserialize, Serialize};

/// The form of a file's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One or more whole numbers.
    #[default]
    Numbers,
    /// All words that are possible, the current one in brackets.
    Choice,
    /// One word.
    Word,
    /// A set of processors in hexadecimal, by groups of eight digits.
    Mask,
}

impl Form {
    /// The value in the only form in which it is compared; `None` if the text is not of this form.
    #[must_use]
    pub fn canonical(self, text: &str) -> Option<String> {
        match self {
            Self::Numbers => {
                let numbers = numbers(text)?;
                let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                Some(numbers.join(" "))
            }
            Self::Choice => chosen(text).or_else(|| single(text)).map(str::to_owned),
            Self::Word => single(text).map(str::to_owned),
            Self::Mask => {
                let digits: String = single(text)?.split(',').collect();
                let is_hex =
                    !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_hexdigit());
                let short = digits.trim_start_matches('0').to_ascii_lowercase();
                is_hex.then(|| if short.is_empty() { "0".to_owned() } else { short })
            }
        }
    }

    /// What is written to bring a text's value back: the kernel takes a choice by its word.
    #[must_use]
    pub fn to_write(self, text: &str) -> String {
        let chosen = if self == Self::Choice { chosen(text) } else { None };
        chosen.unwrap_or_else(|| text.trim()).to_owned()
    }

    /// Whether two texts are one value.
    #[must_use]
    pub fn is_same(self, one: &str, other: &str) -> bool {
        self.canonical(one).is_some_and(|one| Some(one) == self.canonical(other))
    }
}

/// Whole numbers, `max` and `unlimited` as the largest; `None` if there is none or anything else.
#[must_use]
pub fn numbers(text: &str) -> Option<Vec<i128>> {
    let number = |word: &str| match word {
        "max" | "unlimited" => Some(i128::from(u64::MAX)),
        word => word.parse().ok(),
    };
    let numbers: Option<Vec<i128>> = text.split_whitespace().map(number).collect();
    numbers.filter(|numbers| !numbers.is_empty())
}

fn chosen(text: &str) -> Option<&str> {
    text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
}

fn single(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace();
    words.next().filter(|_| words.next().is_none())
}

/// What can be chosen; empty if the text is no choice.
#[must_use]
pub fn choices(text: &str) -> Vec<&str> {
    if chosen(text).is_none() {
        return Vec::new();
    }
    text.split_whitespace().map(|word| word.trim_matches(['[', ']'])).collect()
}

/// What the kernel shows after a write to a file that showed `old`: what recordings do. `None` if the kernel would refuse it.
pub(crate) fn as_read_after(old: &str, new: &str) -> Option<String> {
    let new = new.trim();
    let choices = choices(old);
    if !choices.is_empty() {
        let mark =
            |word: &&str| if *word == new { format!("[{word}]") } else { (*word).to_owned() };
        let words: Vec<String> = choices.iter().map(mark).collect();
        return choices.contains(&new).then(|| words.join(" ") + "\n");
    }
    if numbers(old).is_some_and(|numbers| numbers.len() > 1) {
        return Some(new.split_whitespace().collect::<Vec<_>>().join("\t") + "\n");
    }
    Some(format!("{new}\n"))
}

/// A number with its thousands apart.
#[must_use]
pub fn grouped(number: u64) -> String {
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
#[must_use]
pub fn sized(bytes: u64) -> String {
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
    use super::*;

    #[test]
    fn one_value_has_many_texts() {
        assert!(Form::Numbers.is_same("1024\t65535\n", "1024 65535"));
        assert!(!Form::Numbers.is_same("1024\t65535\n", "1024 65534"));
        assert!(Form::Choice.is_same("always [madvise] never\n", "madvise"));
        assert!(!Form::Choice.is_same("always madvise [never]\n", "madvise"));
        assert!(Form::Mask.is_same("00000000,00000003\n", "3"));
        assert!(Form::Mask.is_same("0", "00000000"));
        assert!(Form::Word.is_same("tsc \n", "tsc"));
        // What is of no known form is never the same as anything, itself included: nothing is restored by a guess.
        assert!(!Form::Numbers.is_same("", ""));
        assert!(!Form::Mask.is_same("fff,zz", "fff,zz"));
        assert!(!Form::Word.is_same("two words", "two words"));
    }

    #[test]
    fn a_recording_shows_what_the_kernel_would() {
        assert_eq!(
            as_read_after("always [madvise] never\n", "never").unwrap(),
            "always madvise [never]\n"
        );
        assert_eq!(as_read_after("always [madvise] never\n", "sometimes"), None);
        assert_eq!(as_read_after("32768\t60999\n", "1024 65535").unwrap(), "1024\t65535\n");
        assert_eq!(as_read_after("128\n", " 4096\n").unwrap(), "4096\n");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000_100), "1,000,100");
        assert_eq!(sized(1_023), "1023 bytes");
        assert_eq!(sized(1_536), "1.5 KiB");
        assert_eq!(sized(u64::MAX), "1717986918.3 GiB");
        assert_eq!(numbers("max 100000"), Some(vec![i128::from(u64::MAX), 100_000]));
        assert_eq!(numbers("4 x"), None);
    }
}
