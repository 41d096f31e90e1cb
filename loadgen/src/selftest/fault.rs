//! Scripted faults: which push they hit, and an exact account of what was done.

use std::time::Duration;

/// What the reference server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Drops a push: the recipient never hears of it unless it pulls.
    Drop,
    /// Pushes twice.
    Duplicate,
    /// Pushes behind the next one of the same sender to the same recipient.
    Swap,
    /// Flips one bit of the body.
    Flip,
    /// Pushes to somebody else instead.
    Misroute,
    /// Refuses the message as busy; takes it when it is tried again.
    Refuse,
    /// Takes the message, then resets its sender's connection instead of acknowledging.
    Cut,
    /// Neither reads nor answers for so long, once, when the counter first comes round.
    Stall(Duration),
}

impl Fault {
    /// Whether it befalls a message where it comes in, rather than a push on its way out.
    pub(super) const fn is_inbound(self) -> bool {
        match self {
            Self::Refuse | Self::Cut | Self::Stall(_) => true,
            Self::None
            | Self::Drop
            | Self::Duplicate
            | Self::Swap
            | Self::Flip
            | Self::Misroute => false,
        }
    }
}

/// A fault and how often it strikes: every `every`-th time that it could.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// What.
    pub fault: Fault,
    /// How often; above zero.
    pub every: u64,
}

/// What the server really did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Faults that struck.
    pub struck: u64,
    /// Of those, dropped pushes that no later event of their conversation gave away: no client could have noticed.
    pub unnoticeable: u64,
    /// How long the stall really was.
    pub stalled: Duration,
    /// Messages taken.
    pub messages: u64,
}

/// Counts the occasions.
#[derive(Debug)]
pub(super) struct Trigger {
    script: Script,
    occasions: u64,
}

impl Trigger {
    pub(super) fn new(script: Script) -> Self {
        assert!(script.every > 0, "a fault strikes every n-th time, n above zero");
        Self { script, occasions: 0 }
    }

    /// Whether the fault strikes now.
    pub(super) fn strikes(&mut self) -> bool {
        self.occasions += 1;
        let is_once = matches!(self.script.fault, Fault::Stall(_));
        self.script.fault != Fault::None
            && self.occasions.is_multiple_of(self.script.every)
            && (!is_once || self.occasions == self.script.every)
    }

    pub(super) const fn fault(&self) -> Fault {
        self.script.fault
    }
}
