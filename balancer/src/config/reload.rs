//! A configuration read again while the server runs: what may change does, what may not is said.

use std::collections::BTreeMap;

use super::{Again, Configured};

/// Every option as it would stand in a file; passwords in URLs are not in it.
pub type Values = BTreeMap<String, String>;

/// An option that is said differently now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    name: String,
    old: String,
    new: String,
}

/// The running configuration of a server, and how to read it again.
pub struct Reloader<A> {
    again: Option<Again<A>>,
    values: Values,
    /// Options that can change while the server runs.
    live: &'static [&'static str],
}

impl<A> std::fmt::Debug for Reloader<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("live", &self.live).finish_non_exhaustive()
    }
}

impl<A> Configured<A> {
    /// The options, and how to read them again; `live` are those that can change while the server runs.
    pub fn into_parts(self, live: &'static [&'static str]) -> (A, Reloader<A>) {
        let Self { args, values, again } = self;
        (args, Reloader { again, values, live })
    }
}

impl<A> Reloader<A> {
    /// Reads everything again and has `apply` take what is new, if that may change. Says what changed, from what to what,
    /// and what cannot. A file that is wrong, or an `apply` that refuses, changes nothing.
    pub fn reload(&mut self, apply: impl FnOnce(&A) -> anyhow::Result<()>) {
        let Some(again) = &self.again else {
            tracing::info!("there is no configuration to read again: a program put it together");
            return;
        };
        let read = match again() {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                return;
            }
        };
        let changes = changes(&self.values, &read.values);
        let (live, fixed): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| self.live.contains(&&*change.name));
        if !live.is_empty()
            && let Err(error) = apply(&read.args)
        {
            tracing::error!(error = format!("{error:#}"), "the configuration stays as it was");
            return;
        }
        if live.is_empty() && fixed.is_empty() {
            tracing::info!("the configuration was read again: nothing has changed");
        }
        for Change { name, old, new } in live {
            tracing::info!(option = name, old, new, "changed");
            self.values.insert(name, new);
        }
        for Change { name, old, new } in fixed {
            tracing::warn!(
                option = name,
                old,
                new,
                "cannot change while the server runs: restart it"
            );
        }
    }
}

/// Values that differ. Both have every option.
fn changes(old: &Values, new: &Values) -> Vec<Change> {
    let changed = new.iter().filter_map(|(name, new)| {
        let old = old.get(name).filter(|old| *old != new)?;
        Some(Change { name: name.clone(), old: old.clone(), new: new.clone() })
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::super::Source;
    use super::*;
    use crate::Args;

    const LIVE: &[&str] = &["lease-ms", "token-ttl-ms"];

    fn write(path: &Path, lease_ms: &str, listen: &str) {
        let text =
            format!("token-key-file = \"k\"\nlease-ms = {lease_ms}\nlisten = \"{listen}\"\n");
        std::fs::write(path, text).unwrap();
    }

    fn reloader(path: &Path) -> Reloader<Args> {
        let source = Source::<Args>::new(["balancer", "--config", path.to_str().unwrap()]);
        Configured::from_source(source).unwrap().into_parts(LIVE).1
    }

    #[test]
    fn what_may_change_does_and_what_may_not_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balancer.toml");
        write(&path, "5000", "127.0.0.1:1");
        let mut reloader = reloader(&path);
        let leases = RefCell::new(Vec::new());
        let mut reload = || {
            reloader.reload(|args| {
                anyhow::ensure!(args.lease_ms != 1, "too short");
                leases.borrow_mut().push(args.lease_ms);
                Ok(())
            });
        };
        reload();
        assert!(leases.borrow().is_empty(), "nothing has changed");
        write(&path, "6000", "127.0.0.1:2");
        reload();
        reload();
        assert_eq!(*leases.borrow(), [6000], "once");
        for wrong in ["soon", "", "1"] {
            write(&path, wrong, "127.0.0.1:2");
            reload();
        }
        assert_eq!(*leases.borrow(), [6000], "a bad file changes nothing");
        write(&path, "7000", "127.0.0.1:2");
        reload();
        assert_eq!(*leases.borrow(), [6000, 7000]);
        assert_eq!(reloader.values["listen"], "\"127.0.0.1:1\"", "as it still is");
    }
}
