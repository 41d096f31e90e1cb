//! Changes as a shell script, for those who want to see or to do it themselves.

use std::fmt::Write as _;

use crate::finding::Change;

/// The name that sysctl has for a file below `/proc/sys`; a dot in a name, such as an interface's, is a slash there.
#[must_use]
pub fn sysctl_name(path: &str) -> Option<String> {
    let name = path.strip_prefix("/proc/sys/")?;
    let swap = |letter: char| match letter {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    Some(name.chars().map(swap).collect())
}

/// A script that makes the changes, or the one that takes them back.
#[must_use]
pub fn script(changes: &[Change], is_undo: bool) -> String {
    let what = if is_undo { "Takes back what tuning planned." } else { "What tuning planned." };
    let mut out = format!(
        "#!/bin/sh\n# {what} Written by `tuning plan`; run as root. Nothing here is kept over a restart.\nset -eu\n"
    );
    let mut ordered: Vec<&Change> = changes.iter().collect();
    if is_undo {
        ordered.reverse();
    }
    for change in ordered {
        let (from, to) = (change.form.to_write(&change.from), change.to.clone());
        let (now, then) = if is_undo { (to, from) } else { (from, to) };
        // A String takes all.
        let _ = writeln!(
            out,
            "\n# {}: it was {now}\nprintf '%s\\n' {} > {}",
            change.id,
            quoted(&then),
            quoted(&change.path)
        );
    }
    out
}

/// A word that the shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.split_whitespace().collect::<Vec<_>>().join(" ").replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Form;

    #[test]
    fn scripts_do_and_undo() {
        let change = Change {
            id: "mem.thp".to_owned(),
            path: "/sys/kernel/mm/transparent_hugepage/enabled".to_owned(),
            form: Form::Choice,
            from: "[always] madvise never".to_owned(),
            to: "madvise".to_owned(),
        };
        assert!(
            script(std::slice::from_ref(&change), false)
                .contains("printf '%s\\n' 'madvise' > '/sys/kernel")
        );
        assert!(script(&[change], true).contains("printf '%s\\n' 'always' > '/sys/kernel"));
        assert_eq!(quoted("it's  1\t2"), "'it'\\''s 1 2'");
    }

    #[test]
    fn names_of_sysctl() {
        assert_eq!(
            sysctl_name("/proc/sys/net/core/somaxconn").as_deref(),
            Some("net.core.somaxconn")
        );
        assert_eq!(
            sysctl_name("/proc/sys/net/ipv4/conf/eth0.5/forwarding").as_deref(),
            Some("net.ipv4.conf.eth0/5.forwarding")
        );
        assert_eq!(sysctl_name("/sys/kernel/mm"), None);
    }
}
