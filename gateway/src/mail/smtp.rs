//! The connection to a mail server: its address, its encryption, its log-in.

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, Tokio1Executor};

use super::{MailArgs, SmtpTls};
use crate::limits::{MAIL_COMMAND_TIMEOUT, SECRET_FILE_BYTES_MAX};

/// What hands mails over: a connection for each.
pub(super) type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// A transport to `server`, which calls itself by `domain` there.
///
/// # Errors
/// Arguments that do not go together, and what would.
pub(super) fn transport(
    server: &str,
    args: &MailArgs,
    domain: &str,
    is_insecure: bool,
) -> anyhow::Result<Transport> {
    let (host, port) =
        split(server).with_context(|| format!("--smtp {server}: write HOST:PORT"))?;
    let tls = match args.smtp_tls {
        SmtpTls::None => {
            ensure!(
                is_insecure || is_local(host),
                "--smtp-tls none would send codes over the network in the clear: use starttls or tls, or say --insecure \
                 if the network is trusted"
            );
            Tls::None
        }
        SmtpTls::Starttls => Tls::Required(parameters(host, args.smtp_ca.as_deref())?),
        SmtpTls::Tls => Tls::Wrapper(parameters(host, args.smtp_ca.as_deref())?),
    };
    let mut builder = Transport::builder_dangerous(host)
        .port(port)
        .tls(tls)
        .hello_name(ClientId::Domain(domain.to_owned()))
        .timeout(Some(MAIL_COMMAND_TIMEOUT));
    if let Some(user) = &args.smtp_user {
        let path = args
            .smtp_password_file
            .as_deref()
            .context("--smtp-user needs its password: give it with --smtp-password-file")?;
        let text = String::from_utf8(read(path)?)
            .with_context(|| format!("{} is no text", path.display()))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        ensure!(!password.is_empty(), "{} has no password in its first line", path.display());
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

fn split(server: &str) -> Option<(&str, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then_some((host, port))
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn parameters(host: &str, ca: Option<&Path>) -> anyhow::Result<TlsParameters> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca {
        let certificate = Certificate::from_pem(&read(path)?)
            .with_context(|| format!("{} is no certificate in PEM", path.display()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().context("TLS cannot be set up")
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_FILE_BYTES_MAX).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        assert_eq!(split("mail.example.org:587"), Some(("mail.example.org", 587)));
        assert_eq!(split("[::1]:25"), Some(("::1", 25)));
        for bad in ["mail.example.org", ":25", "mail:0", "mail:99999", ""] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["mail.example.org", "10.0.0.1", "localhost.example.org"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
