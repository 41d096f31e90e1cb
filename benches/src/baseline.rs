//! The recorded instruction counts, and what a new count means beside them.
//!
//! A count is the same on every run of the same program, but not of the same source: the compiler, the C library and the
//! processor that valgrind shows decide too. So they are recorded, and where they differ the margin is wider.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A count may exceed the baseline by so much, in per cent.
const MARGIN_PERCENT: f64 = 3.0;

/// The same where the compiler, the C library or the processor is another one than recorded.
const STRANGE_MARGIN_PERCENT: f64 = 10.0;

/// What decides over counts beside the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The compiler.
    pub rustc: String,
    /// The counter.
    pub valgrind: String,
    /// The C library, which copies bytes.
    pub libc: String,
    /// Whether it may copy them by AVX2.
    pub has_avx2: bool,
}

impl Context {
    /// Of this machine.
    ///
    /// # Errors
    /// If a tool is missing; the text says how to get it.
    pub fn of_this_machine() -> anyhow::Result<Self> {
        let flags = fs::read_to_string("/proc/cpuinfo").context("asking for the processor")?;
        Ok(Self {
            rustc: said("rustc", &["--version"], "it comes with rustup")?,
            valgrind: said("valgrind", &["--version"], "apt-get install valgrind")?,
            libc: said("getconf", &["GNU_LIBC_VERSION"], "apt-get install libc-bin")?,
            has_avx2: flags.split_whitespace().any(|flag| flag == "avx2"),
        })
    }

    /// In words, how this machine differs from the recorded one; `None` if it does not.
    #[must_use]
    pub fn difference(&self, here: &Self) -> Option<String> {
        let told = |context: &Self| {
            let avx2 = if context.has_avx2 { "with" } else { "without" };
            format!("{}, {}, {}, {avx2} AVX2", context.rustc, context.valgrind, context.libc)
        };
        (self != here).then(|| format!("recorded: {}\nhere:     {}", told(self), told(here)))
    }
}

fn said(program: &str, args: &[&str], remedy: &str) -> anyhow::Result<String> {
    let output = Command::new(program).args(args).output();
    let output = output.with_context(|| format!("{program} is needed: {remedy}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next().filter(|_| output.status.success()) {
        Some(line) => Ok(line.trim().to_owned()),
        None => bail!("{program} does not tell its version: {remedy}"),
    }
}

/// Counts with what they hold for.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// What they were counted with.
    pub context: Context,
    /// Instructions per operation, by name, in the order of the list of work.
    pub instructions: Vec<(String, f64)>,
}

/// What a count means beside the recorded one; changes are in per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// As recorded, within the margin.
    Same(f64),
    /// Beyond the margin: a regression.
    Dearer(f64),
    /// Beyond the margin: to be recorded.
    Cheaper(f64),
    /// Not recorded yet.
    New,
}

impl Verdict {
    /// Whether this is a regression.
    #[must_use]
    pub const fn is_dearer(self) -> bool {
        matches!(self, Self::Dearer(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(change) => write!(f, "{change:+7.1} %"),
            Self::Dearer(change) => write!(f, "{change:+7.1} %  DEARER"),
            Self::Cheaper(change) => write!(f, "{change:+7.1} %  cheaper"),
            Self::New => f.write_str("      -    new"),
        }
    }
}

impl Baseline {
    /// Where it lies.
    #[must_use]
    pub fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
    }

    /// Reads the recorded one.
    ///
    /// # Errors
    /// If it is not there or not as it was written.
    pub fn read() -> anyhow::Result<Self> {
        let text = fs::read_to_string(Self::path()).context("reading benches/baseline.json")?;
        Self::from_json(&serde_json::from_str(&text)?).context("benches/baseline.json")
    }

    /// Makes this the recorded one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.to_json()?)?;
        fs::write(Self::path(), text + "\n").context("writing benches/baseline.json")
    }

    fn to_json(&self) -> anyhow::Result<Value> {
        let counts = self.instructions.iter().map(|(name, count)| (name.clone(), json!(count)));
        let counts: Map<String, Value> = counts.collect();
        Ok(json!({ "context": serde_json::to_value(&self.context)?, "instructions": counts }))
    }

    fn from_json(json: &Value) -> anyhow::Result<Self> {
        let context = serde_json::from_value(json["context"].clone()).context("its context")?;
        let counts = json["instructions"].as_object().context("it has no counts")?;
        let counts = counts.iter().map(|(name, count)| {
            Ok((name.clone(), count.as_f64().with_context(|| format!("the count of {name}"))?))
        });
        Ok(Self { context, instructions: counts.collect::<anyhow::Result<_>>()? })
    }

    /// The recorded count of this work.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<f64> {
        self.instructions.iter().find(|(of, _)| of == name).map(|(_, count)| *count)
    }

    /// How much a count may exceed the recorded one there, in per cent.
    #[must_use]
    pub fn margin_percent(&self, here: &Context) -> f64 {
        if self.context == *here { MARGIN_PERCENT } else { STRANGE_MARGIN_PERCENT }
    }

    /// What a count means.
    #[must_use]
    pub fn judge(&self, name: &str, now: f64, margin: f64) -> Verdict {
        let Some(before) = self.of(name) else { return Verdict::New };
        let change = (now / before - 1.0) * 100.0;
        if change > margin {
            Verdict::Dearer(change)
        } else if change < -margin {
            Verdict::Cheaper(change)
        } else {
            Verdict::Same(change)
        }
    }
}

impl Serialize for Baseline {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline() -> Baseline {
        let context = Context {
            rustc: "rustc 1".into(),
            valgrind: "valgrind-3".into(),
            libc: "glibc 2".into(),
            has_avx2: true,
        };
        Baseline { context, instructions: vec![("private/1000".into(), 1000.0)] }
    }

    #[test]
    fn only_what_leaves_the_margin_is_told() {
        let baseline = baseline();
        let judge = |now| baseline.judge("private/1000", now, 3.0);
        assert!(matches!(judge(1029.0), Verdict::Same(_)));
        assert!(judge(1031.0).is_dearer());
        assert!(matches!(judge(969.0), Verdict::Cheaper(_)));
        assert_eq!(baseline.judge("another", 1.0, 3.0), Verdict::New);
    }

    #[test]
    fn another_compiler_widens_the_margin_and_is_named() {
        let baseline = baseline();
        let here = Context { rustc: "rustc 2".into(), ..baseline.context.clone() };
        assert!(baseline.margin_percent(&here) > baseline.margin_percent(&baseline.context));
        let told = baseline.context.difference(&here).unwrap();
        assert!(told.contains("rustc 1") && told.contains("rustc 2"));
        assert_eq!(baseline.context.difference(&baseline.context), None);
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let baseline = baseline();
        assert_eq!(Baseline::from_json(&baseline.to_json().unwrap()).unwrap(), baseline);
    }
}
