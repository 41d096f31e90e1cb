//! The mail with a code in it, and whom it is from.

use anyhow::{Context, anyhow};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};

use crate::limits::CODE_TTL;
use crate::register::unix_ms;

/// Whom mails are from: what was given, in a form that can be sent.
///
/// # Errors
/// It was not given, or is no address.
pub(super) fn sender(given: Option<&str>) -> anyhow::Result<Mailbox> {
    let given = given.context("say whom mails are from: --mail-from codes@YOUR.DOMAIN")?;
    given.parse().map_err(|error| {
        anyhow!(
            "--mail-from {given:?}: write name@example.org or Name <name@example.org> ({error})"
        )
    })
}

/// The mail for one code.
///
/// # Errors
/// The address is none that a mail can be sent to.
pub(super) fn letter(from: &Mailbox, email: &str, code: &str) -> anyhow::Result<Message> {
    let minutes = CODE_TTL.as_secs() / 60;
    // Lines short enough to need no encoding, so that whoever looks at the raw mail can read it.
    let text = format!(
        "Your verification code is {code}\n\n\
         It is good for {minutes} minutes. If you did not ask for it, somebody has\n\
         typed your address by mistake: nothing happens as long as you keep the\n\
         code to yourself.\n"
    );
    let id = getrandom::u64().context("no randomness")?;
    let id = format!("<{:x}.{id:016x}@{}>", unix_ms(), from.email.domain());
    // So that nobody's holiday notice is sent back.
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, email.parse().context("not an address that mail is sent to")?))
        .message_id(Some(id))
        .subject("Your verification code")
        .header(ContentType::TEXT_PLAIN)
        .raw_header(automatic)
        .body(text)
        .context("the mail cannot be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_the_code_to_its_address_and_to_nobody_else() {
        let from = sender(Some("Ringline <codes@example.org>")).unwrap();
        let letter = letter(&from, "bob+x@mail.example.org", "000042").unwrap();
        let text = String::from_utf8(letter.formatted()).unwrap();
        for line in [
            "From: Ringline <codes@example.org>",
            "To: bob+x@mail.example.org",
            "Auto-Submitted: auto-generated",
            "Your verification code is 000042",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("\r\nDate: ") && text.contains("\r\nMessage-ID: "), "{text}");
        assert_eq!(letter.envelope().to().len(), 1);
    }

    #[test]
    fn every_address_that_the_rules_let_through_can_be_written_to() {
        let from = sender(Some("codes@example.org")).unwrap();
        let longest = format!("{}@{}.example.org", "x".repeat(64), "y".repeat(20));
        for address in
            ["a@b.c", "first.last+tag@mail.example.org", "!#$%&'*+/=?^_`{|}~-@b.c", &longest]
        {
            assert_eq!(crate::validate::email(address), Ok(()), "{address}");
            assert!(letter(&from, address, "1").is_ok(), "{address}");
        }
    }

    #[test]
    fn who_mails_are_from_must_be_said() {
        assert!(sender(None).unwrap_err().to_string().contains("--mail-from"));
        assert!(sender(Some("nobody")).is_err());
        assert!(sender(Some("codes@example.org\r\nBcc: x@y.z")).is_err());
    }
}
