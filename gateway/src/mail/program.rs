//! A program of the operator's that delivers codes.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, ensure};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry as Page;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::limits::{DELIVERIES_MAX, DELIVERY_DEADLINE};

/// Gets the address and the code, a line each, on its standard input, and ends with 0 once it has taken the mail over.
/// Nothing of the peer's is in its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// Bounds how many run.
    running: Arc<Semaphore>,
    full: Counter,
}

impl Program {
    /// The operator's program.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, running: Arc::new(Semaphore::new(DELIVERIES_MAX)), full: Counter::default() }
    }

    /// Delivers a code.
    ///
    /// # Errors
    /// It was not delivered, and why: for the log.
    pub(super) async fn deliver(&self, email: &str, code: &str) -> anyhow::Result<()> {
        let Ok(_turn) = self.running.try_acquire() else {
            self.full.inc();
            anyhow::bail!("too many deliveries are running");
        };
        let input = format!("{email}\n{code}\n");
        tokio::time::timeout(DELIVERY_DEADLINE, run(&self.path, &input))
            .await
            .context("the delivery program did not end in time and was killed")?
    }

    pub(super) fn register(&self, page: &mut Page) {
        page.register(
            "deliveries_full",
            "Codes not delivered because as many delivery programs as may be were running",
            self.full.clone(),
        );
    }
}

async fn run(path: &PathBuf, input: &str) -> anyhow::Result<()> {
    let mut child = Command::new(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", path.display()))?;
    let mut stdin = child.stdin.take().context("no pipe to the delivery program")?;
    // A program that ends without reading breaks the pipe; its exit status says more.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let status = child.wait().await?;
    ensure!(status.success(), "the delivery program ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(dir: &tempfile::TempDir, text: &str) -> Program {
        let path = dir.path().join("deliver");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        Program::new(path)
    }

    #[tokio::test]
    async fn the_program_gets_address_and_code_on_its_input() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = dir.path().join("mailbox");
        let delivery = script(&dir, &format!("cat > {}", mailbox.display()));
        delivery.deliver("bob@example.org", "000042").await.unwrap();
        assert_eq!(std::fs::read_to_string(mailbox).unwrap(), "bob@example.org\n000042\n");
    }

    #[tokio::test]
    async fn failures_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let failing = script(&dir, "exit 3").deliver("bob@example.org", "1").await.unwrap_err();
        assert!(failing.to_string().contains("exit status: 3"), "{failing}");
        let nowhere = Program::new(dir.path().join("nowhere"));
        assert!(nowhere.deliver("bob@example.org", "1").await.is_err());
    }
}
