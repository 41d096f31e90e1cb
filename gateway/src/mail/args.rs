//! The arguments that say how codes reach people. The gateway and the verification server have the same.

use std::path::PathBuf;

/// How codes reach people: one of `--smtp`, `--mail-dir` and `--code-program`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MailArgs {
    /// The mail server that takes verification codes
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["mail_dir", "code_program"])]
    pub smtp: Option<String>,

    /// How the connection to it is encrypted: after STARTTLS (usual at port 587), from the start (usual at 465), or not
    /// at all, which only a server on this machine is trusted with
    #[arg(long, value_name = "HOW", value_enum, default_value_t, requires = "smtp")]
    pub smtp_tls: SmtpTls,

    /// A certificate authority that it is trusted by, in a PEM file, beside those that this machine knows
    #[arg(long, value_name = "FILE", requires = "smtp")]
    pub smtp_ca: Option<PathBuf>,

    /// The name to log in to it with
    #[arg(long, value_name = "NAME", requires = "smtp")]
    pub smtp_user: Option<String>,

    /// A file whose first line is the password for it
    #[arg(long, value_name = "FILE", env = "RINGLINE_SMTP_PASSWORD_FILE")]
    pub smtp_password_file: Option<PathBuf>,

    /// Whom mails are from: name@example.org, or Name <name@example.org>
    #[arg(long, value_name = "ADDRESS")]
    pub mail_from: Option<String>,

    /// Write mails to this directory, a file each, instead of sending them; made if missing
    #[arg(long, value_name = "DIR", conflicts_with = "code_program")]
    pub mail_dir: Option<PathBuf>,

    /// A program that delivers verification codes: it gets the e-mail address and the code on its standard input, a
    /// line each, and ends with 0 when the mail is on its way
    #[arg(long, value_name = "PATH")]
    pub code_program: Option<PathBuf>,
}

/// How the connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SmtpTls {
    /// After STARTTLS, which the server must know: nothing is sent in the clear.
    #[default]
    Starttls,
    /// From the start.
    Tls,
    /// Not at all.
    None,
}
