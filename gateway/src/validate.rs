//! The rules for names, addresses and passwords. Pure; each broken rule is a sentence for its user.

use crate::limits::{
    EMAIL_BYTES_MAX, EMAIL_LOCAL_BYTES_MAX, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN,
    USERNAME_BYTES_MAX, USERNAME_BYTES_MIN,
};

/// Checks a new username.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn username(name: &str) -> Result<(), &'static str> {
    const RULE: &str =
        "username: 3 to 50 of a-z, A-Z, 0-9, '.', '_' and '-', a letter or digit first";
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let holds = (USERNAME_BYTES_MIN..=USERNAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_allowed)
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if holds { Ok(()) } else { Err(RULE) }
}

/// Checks an e-mail address for its form: what mail servers take in practice, not all that RFC 5322 allows.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn email(address: &str) -> Result<(), &'static str> {
    const RULE: &str = "email: write it like name@example.org, at most 100 characters";
    let is_atom = |text: &str| {
        !text.is_empty()
            && text.split('.').all(|part| !part.is_empty())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte))
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let holds = address.len() <= EMAIL_BYTES_MAX
        && address.split_once('@').is_some_and(|(local, domain)| {
            local.len() <= EMAIL_LOCAL_BYTES_MAX
                && is_atom(local)
                && domain.contains('.')
                && domain.split('.').all(is_label)
        });
    if holds { Ok(()) } else { Err(RULE) }
}

/// What people choose who are asked for eight characters: the first that anybody guesses.
const USUAL: [&str; 24] = [
    "12345678",
    "123456789",
    "1234567890",
    "1q2w3e4r",
    "1qaz2wsx",
    "abcd1234",
    "abc12345",
    "asdfghjk",
    "baseball",
    "computer",
    "football",
    "iloveyou",
    "letmein1",
    "michelle",
    "passw0rd",
    "password",
    "password1",
    "password123",
    "princess",
    "qwerty123",
    "qwertyuiop",
    "sunshine",
    "trustno1",
    "welcome1",
];

/// Checks a new password. Length is what counts; no rule about kinds of characters makes people write it down.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn password(password: &str, username: &str, email: &str) -> Result<(), &'static str> {
    let mut chars = password.chars();
    let first = chars.next();
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        Err("password: at least 8 characters, at most 128 bytes")
    } else if password.chars().any(char::is_control) {
        Err("password: no control characters")
    } else if chars.all(|next| Some(next) == first) {
        Err("password: not one character again and again")
    } else if password.eq_ignore_ascii_case(username) || password.eq_ignore_ascii_case(email) {
        Err("password: neither the username nor the e-mail address")
    } else if USUAL.iter().any(|usual| password.eq_ignore_ascii_case(usual)) {
        Err("password: not one that everybody tries first")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        for good in ["bob", "load0", "A.b_c-9", &"x".repeat(50)] {
            assert_eq!(username(good), Ok(()), "{good}");
        }
        for bad in ["", "ab", ".bob", "bob smith", "böb", "bob\0", &"x".repeat(51), "a'; DROP"] {
            assert!(username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn email_addresses() {
        for good in ["a@b.c", "first.last+tag@mail.example.org", "load0@load.invalid"] {
            assert_eq!(email(good), Ok(()), "{good}");
        }
        let long = format!("{}@example.org", "x".repeat(65));
        for bad in [
            "",
            "@",
            "a@",
            "@b.c",
            "a@b",
            "a b@c.d",
            "a@@b.c",
            "a@b..c",
            ".a@b.c",
            "a.@b.c",
            "a@-b.c",
            "a@b.c\r\nBcc: d@e.f",
            "é@b.c",
            &long,
        ] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords() {
        let check = |text: &str| password(text, "somebody", "somebody@example.org");
        for good in ["correct horse", "12345678x", "пароль12", &"ab".repeat(64)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "1234567",
            "aaaaaaaaaa",
            "SomeBody",
            "somebody@example.org",
            "with\nline end",
            "Password1",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"ab".repeat(65)).is_err());
    }
}
