//! A report's directory: its name, which says when and what, and that no report takes the place of another.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::LoadArgs;
use crate::exit::Refusal;

/// `reports/2026-11-22T03-04-05Z-pairs`: sorts by time, and a shell needs no quotes for it. A further one of the same
/// second has a number.
#[must_use]
pub fn default_for(started: SystemTime, preset: &str) -> PathBuf {
    let reports = Path::new("reports");
    let name = format!("{}-{preset}", stamp(started).replace(':', "-"));
    let further = (2..).map(|number| reports.join(format!("{name}-{number}")));
    let mut names = std::iter::once(reports.join(&name)).chain(further);
    names.find(|path| !is_taken(path)).unwrap_or_else(|| reports.join(&name))
}

/// Whether something is there that a report would mix with or overwrite. An empty directory is not.
#[must_use]
pub fn is_taken(path: &Path) -> bool {
    match path.read_dir() {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    }
}

/// Refuses a directory that something is in, before anything starts.
///
/// # Errors
/// When there is something, unless it is to be overwritten.
pub fn refuse_taken(args: &LoadArgs) -> Result<(), Refusal> {
    match &args.report {
        Some(path) if is_taken(path) && !args.force => Err(Refusal::usage(format!(
            "{} is there already: name a new directory with --report, or overwrite it with --force",
            path.display()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// A time as `2026-11-22T03:04:05Z`.
#[must_use]
pub fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap day is a year's
/// last and every month's start is a plain product.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(seconds: u64, stamped: &str) {
        assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), stamped);
    }

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(951_868_800, "2000-03-01T00:00:00Z");
        check(1_767_225_599, "2025-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn only_what_is_there_and_holds_something_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        assert!(!is_taken(directory.path()) && !is_taken(&file));
        std::fs::write(&file, "").unwrap();
        assert!(is_taken(directory.path()) && is_taken(&file));
    }

    #[test]
    fn a_directory_needs_no_quotes() {
        let path = default_for(UNIX_EPOCH, "pairs");
        assert_eq!(path, PathBuf::from("reports/1970-01-01T00-00-00Z-pairs"));
    }
}
