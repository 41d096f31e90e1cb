//! How a verification code reaches its person: by mail (a mail server, or files for development), through a program of
//! the operator's, or into the log of a developer.

mod args;
mod files;
mod letter;
mod program;
mod queue;
mod smtp;

use anyhow::Context;
use lettre::message::Mailbox;
use prometheus_client::registry::Registry as Page;

pub use args::{MailArgs, SmtpTls};
use files::Files;
use program::Program;
use queue::Queue;

/// One way.
#[derive(Clone, Debug)]
pub(crate) enum Mailer {
    /// Into the log: for development only.
    Log,
    /// A program of the operator's.
    Program(Program),
    /// A mail server.
    Smtp {
        /// Whom mails are from.
        from: Mailbox,
        /// What hands them over.
        queue: Box<Queue>,
    },
    /// A directory, a file for each mail.
    Files {
        /// Whom mails are from.
        from: Mailbox,
        /// Where they are.
        files: Files,
    },
    /// None is configured.
    Missing,
}

impl Mailer {
    /// The way that was asked for. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// It cannot work, and what would.
    pub(crate) fn new(
        args: &MailArgs,
        is_development: bool,
        is_insecure: bool,
    ) -> anyhow::Result<Self> {
        if let Some(server) = &args.smtp {
            let from = letter::sender(args.mail_from.as_deref())?;
            let transport = smtp::transport(server, args, from.email.domain(), is_insecure)?;
            return Ok(Self::Smtp { from, queue: Box::new(Queue::new(transport)) });
        }
        if let Some(dir) = &args.mail_dir {
            let from = letter::sender(args.mail_from.as_deref())?;
            let files = Files::new(dir.clone())
                .with_context(|| format!("cannot write mails to {}", dir.display()))?;
            return Ok(Self::Files { from, files });
        }
        Ok(match &args.code_program {
            Some(path) => Self::Program(Program::new(path.clone())),
            None if is_development => Self::Log,
            None => Self::Missing,
        })
    }

    /// Delivers a code, or sees to its being delivered: a mail waits in a queue if its server has no time.
    ///
    /// # Errors
    /// It will not be delivered, and why: for the log.
    pub(crate) async fn deliver(&self, email: &str, code: &str) -> anyhow::Result<()> {
        match self {
            Self::Log => {
                tracing::info!(email, code, "development: a verification code");
                Ok(())
            }
            Self::Program(program) => program.deliver(email, code).await,
            Self::Smtp { from, queue } => queue.post(letter::letter(from, email, code)?),
            Self::Files { from, files } => {
                files.write(letter::letter(from, email, code)?.formatted()).await
            }
            Self::Missing => anyhow::bail!(
                "there is no way to deliver verification codes: start with --smtp, --mail-dir or --code-program"
            ),
        }
    }

    /// Lets mails that are on their way be handed over, for a while.
    pub(crate) async fn drain(&self) {
        if let Self::Smtp { queue, .. } = self {
            queue.drain().await;
        }
    }

    /// Shows on a page what is counted here.
    pub(crate) fn register(&self, page: &mut Page) {
        match self {
            Self::Smtp { queue, .. } => queue.register(page),
            Self::Program(program) => program.register(page),
            Self::Log | Self::Files { .. } | Self::Missing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        mail: MailArgs,
    }

    fn mailer(words: &[&str]) -> anyhow::Result<Mailer> {
        let cli = Cli::try_parse_from(["x"].iter().chain(words))?;
        Mailer::new(&cli.mail, false, false)
    }

    #[tokio::test]
    async fn without_a_way_to_deliver_it_is_said_which_there_are() {
        let mailer = mailer(&[]).unwrap();
        let missing = mailer.deliver("bob@example.org", "1").await.unwrap_err().to_string();
        for way in ["--smtp", "--mail-dir", "--code-program"] {
            assert!(missing.contains(way), "{missing}");
        }
    }

    #[tokio::test]
    async fn what_cannot_work_is_refused_with_what_to_write() {
        let from = "codes@example.org";
        for (words, hint) in [
            (&["--smtp", "mail.example.org", "--mail-from", from][..], "HOST:PORT"),
            (&["--smtp", "mail.example.org:x", "--mail-from", from], "HOST:PORT"),
            (&["--smtp", "mail.example.org:25"], "--mail-from"),
            (&["--smtp", "mail.example.org:25", "--mail-from", "nobody"], "name@example.org"),
            (
                &["--smtp", "mail.example.org:25", "--mail-from", from, "--smtp-tls", "none"],
                "--insecure",
            ),
            (&["--smtp", "m.example.org:25", "--mail-from", from, "--smtp-user", "u"], "password"),
            (&["--mail-dir", "/dev/null/no", "--mail-from", from], "/dev/null/no"),
            (&["--mail-dir", "d", "--code-program", "p"], "cannot be used with"),
        ] {
            let refused = format!("{:#}", mailer(words).unwrap_err());
            assert!(refused.contains(hint), "{words:?}: {refused}");
        }
    }
}
