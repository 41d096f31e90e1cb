//! What the process ends with. Owns the numbers and which of several findings wins; never prints.

use std::process::ExitCode;

/// Why a run did not simply pass, and the number that a script sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Everything held.
    Pass,
    /// Something in loadgen or in the system under test broke: see the message.
    Internal,
    /// The command line or the plan makes no sense.
    Usage,
    /// A service level objective was missed.
    SloMissed,
    /// A message was lost, doubled, reordered, altered or misrouted.
    Delivery,
    /// The measurement itself is not to be trusted.
    Invalid,
    /// A comparison found something worse.
    Regression,
    /// A comparison did not tell, and was required to.
    Inconclusive,
    /// The target could not be reached, or the connections did not come up.
    Ramp,
    /// Interrupted; what there was is in the report.
    Interrupted,
}

impl Exit {
    /// Every reason, the one that wins first: a wrong delivery outranks whatever broke, which outranks a wrong
    /// measurement, then a ramp that failed, then something worse than before, then a missed objective.
    const BY_PRECEDENCE: [Self; 10] = [
        Self::Delivery,
        Self::Internal,
        Self::Usage,
        Self::Interrupted,
        Self::Invalid,
        Self::Ramp,
        Self::Regression,
        Self::SloMissed,
        Self::Inconclusive,
        Self::Pass,
    ];

    /// The process's exit status.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::SloMissed => 3,
            Self::Delivery => 4,
            Self::Invalid => 5,
            Self::Regression => 6,
            Self::Inconclusive => 7,
            Self::Ramp => 8,
            Self::Interrupted => 130,
        }
    }

    /// The one of `found` that the process ends with.
    #[must_use]
    pub fn strongest(found: &[Self]) -> Self {
        Self::BY_PRECEDENCE.into_iter().find(|exit| found.contains(exit)).unwrap_or(Self::Pass)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// A run that cannot start or go on, with the status to end with.
#[derive(Debug)]
pub struct Refusal {
    /// What to end with.
    pub exit: Exit,
    /// What is wrong, and what to do about it.
    pub reason: anyhow::Error,
}

impl Refusal {
    /// The plan makes no sense: exit status 2.
    #[must_use]
    pub fn usage(reason: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, reason: anyhow::Error::msg(reason.into()) }
    }

    /// The system under test cannot be reached: exit status 8.
    #[must_use]
    pub const fn unreachable(reason: anyhow::Error) -> Self {
        Self { exit: Exit::Ramp, reason }
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(reason: anyhow::Error) -> Self {
        Self { exit: Exit::Internal, reason }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}

#[cfg(test)]
mod tests {
    use super::Exit::{self, Delivery, Internal, Interrupted, Invalid, Pass, Ramp, SloMissed};

    #[test]
    fn a_wrong_delivery_outranks_everything_and_a_missed_objective_only_a_pass() {
        let all = [Pass, SloMissed, Ramp, Invalid, Interrupted, Delivery];
        assert_eq!(Exit::strongest(&all), Delivery);
        assert_eq!(Exit::strongest(&[SloMissed, Ramp, Invalid]), Invalid);
        assert_eq!(Exit::strongest(&[SloMissed, Ramp]), Ramp);
        assert_eq!(Exit::strongest(&[SloMissed, Internal]), Internal);
        assert_eq!(Exit::strongest(&[Delivery, Internal]), Delivery);
        assert_eq!(Exit::strongest(&[SloMissed, Pass]), SloMissed);
        assert_eq!(Exit::strongest(&[Interrupted, Invalid]), Interrupted);
        assert_eq!(Exit::strongest(&[Exit::Inconclusive, Exit::Regression]), Exit::Regression);
        assert_eq!(Exit::strongest(&[Exit::Inconclusive, Pass]), Exit::Inconclusive);
        assert_eq!(Exit::strongest(&[]), Pass);
    }

    #[test]
    fn statuses_are_the_documented_ones() {
        let exits = [
            Pass,
            Internal,
            Exit::Usage,
            SloMissed,
            Delivery,
            Invalid,
            Exit::Regression,
            Exit::Inconclusive,
            Ramp,
            Interrupted,
        ];
        let statuses: Vec<u8> = exits.iter().map(|exit| exit.status()).collect();
        assert_eq!(statuses, [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]);
    }
}
