//! The search itself, without a single run: what to try next, and what is known after it.
//!
//! Short trials, several at a load where one may be unlucky: a load is too much when more than the exceed ratio of its
//! trials fail, and is decided as soon as the rest cannot change that. Doubling finds a load that is too much, halving the
//! (geometric) distance closes in, and trials of full length confirm the bounds; a bound that is not confirmed is moved and
//! the search goes on. (The idea of an exceed ratio over short trials is that of multiple loss ratio search,
//! draft-ietf-bmwg-mlrsearch.)

use serde::Serialize;

/// Trials of a search: beyond, what is known so far is the answer.
const TRIALS_MAX: usize = 300;
/// How far below the first load a search looks for one that passes, in halvings.
const HALVINGS_MAX: u32 = 10;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The load to begin with.
    pub from: f64,
    /// The largest load that is tried.
    pub to: f64,
    /// How near the bounds are to come to each other: 0.02 is 2 %.
    pub width: f64,
    /// Short trials of each load at most.
    pub trials: u32,
    /// The share of a load's trials that may fail.
    pub exceed: f64,
    /// Trials of full length that confirm the lower bound; the upper is confirmed by one, if there are any.
    pub confirm: u32,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// A short one, to find the way.
    Short,
    /// One of full length, to confirm a bound.
    Full,
}

/// What the search knows at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// The largest load that passed.
    pub lower: Option<f64>,
    /// The smallest load that failed; nothing when even the largest passed.
    pub upper: Option<f64>,
    /// Whether trials of full length agree with the bounds.
    pub is_confirmed: bool,
    /// Trials made.
    pub trials: usize,
}

/// Searches with `trial`, which says whether a load passed.
///
/// # Errors
/// Those of `trial`.
pub fn search<E>(
    goal: &Goal,
    trial: &mut dyn FnMut(f64, Length) -> Result<bool, E>,
) -> Result<Bounds, E> {
    let mut state = State {
        goal,
        trial,
        bounds: Bounds { lower: None, upper: None, is_confirmed: false, trials: 0 },
    };
    let mut growth = 2.0;
    loop {
        state.raise(growth)?;
        state.close_in()?;
        if state.bounds.lower.is_none() || state.is_spent() || state.confirm()? {
            return Ok(state.bounds);
        }
        // A bound was moved a little: so is the next.
        growth = 1.0 + 2.0 * goal.width;
    }
}

struct State<'a, E> {
    goal: &'a Goal,
    trial: &'a mut dyn FnMut(f64, Length) -> Result<bool, E>,
    bounds: Bounds,
}

impl<E> State<'_, E> {
    const fn is_spent(&self) -> bool {
        self.bounds.trials >= TRIALS_MAX
    }

    /// Finds a load that passes and one above it that does not, if there are.
    fn raise(&mut self, growth: f64) -> Result<(), E> {
        let mut halvings = 0;
        while self.bounds.lower.is_none() && halvings <= HALVINGS_MAX && !self.is_spent() {
            let load = self.bounds.upper.map_or(self.goal.from, |upper| upper / growth);
            self.decide(load)?;
            halvings += 1;
        }
        while let (Some(lower), None) = (self.bounds.lower, self.bounds.upper) {
            if lower >= self.goal.to || self.is_spent() {
                break;
            }
            self.decide((lower * growth).min(self.goal.to))?;
        }
        Ok(())
    }

    fn close_in(&mut self) -> Result<(), E> {
        while let (Some(lower), Some(upper)) = (self.bounds.lower, self.bounds.upper) {
            if upper / lower <= 1.0 + self.goal.width || self.is_spent() {
                break;
            }
            self.decide((lower * upper).sqrt())?;
        }
        Ok(())
    }

    /// Makes short trials of a load until it is decided, and moves the bound.
    fn decide(&mut self, load: f64) -> Result<(), E> {
        if self.passes(load, self.goal.trials, Length::Short)? {
            self.bounds.lower = Some(load);
        } else {
            self.bounds.upper = Some(load);
        }
        Ok(())
    }

    fn passes(&mut self, load: f64, trials: u32, length: Length) -> Result<bool, E> {
        let may_fail = (f64::from(trials) * self.goal.exceed).floor() as u32;
        let (mut passed, mut failed) = (0, 0);
        while failed <= may_fail && passed < trials - may_fail {
            self.bounds.trials += 1;
            if (self.trial)(load, length)? { passed += 1 } else { failed += 1 }
        }
        Ok(failed <= may_fail)
    }

    /// Makes trials of full length at the bounds. Moves a bound that they do not agree with, and says whether they agreed.
    fn confirm(&mut self) -> Result<bool, E> {
        if self.goal.confirm == 0 {
            return Ok(true);
        }
        if let Some(lower) = self.bounds.lower
            && !self.passes(lower, self.goal.confirm, Length::Full)?
        {
            self.bounds.upper = Some(lower);
            self.bounds.lower = None;
            return Ok(false);
        }
        if let Some(upper) = self.bounds.upper
            && self.passes(upper, 1, Length::Full)?
        {
            self.bounds.lower = Some(upper);
            self.bounds.upper = None;
            return Ok(false);
        }
        self.bounds.is_confirmed = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const GOAL: Goal =
        Goal { from: 1_000.0, to: 1e6, width: 0.02, trials: 3, exceed: 0.34, confirm: 2 };

    fn found(goal: &Goal, mut passes: impl FnMut(f64, Length) -> bool) -> Bounds {
        search::<Infallible>(goal, &mut |load, length| Ok(passes(load, length))).unwrap()
    }

    #[track_caller]
    fn holds(bounds: &Bounds, capacity: f64) {
        let (lower, upper) = (bounds.lower.unwrap(), bounds.upper.unwrap());
        assert!(lower <= capacity && capacity < upper, "{bounds:?}");
        assert!(upper / lower <= 1.0201, "{bounds:?}");
        assert!(bounds.is_confirmed);
    }

    #[test]
    fn a_capacity_is_found_to_the_width_from_below_and_from_above() {
        for capacity in [5_000.0, 1_700.0, 999_000.0, 150.0, 2.0] {
            holds(&found(&GOAL, |load, _| load <= capacity), capacity);
        }
    }

    #[test]
    fn a_trial_that_is_unlucky_does_not_decide() {
        let mut random = fastrand::Rng::with_seed(4);
        // One in twenty fails by chance; with three trials a load it takes two.
        let bounds = found(&GOAL, |load, _| load <= 5_000.0 && random.f64() > 0.05);
        let lower = bounds.lower.unwrap();
        assert!(lower > 4_000.0 && lower <= 5_000.0, "{bounds:?}");
    }

    #[test]
    fn a_bound_that_longer_trials_do_not_confirm_is_moved() {
        // What holds for a short while only.
        let bounds = found(&GOAL, |load, length| match length {
            Length::Short => load <= 6_000.0,
            Length::Full => load <= 5_000.0,
        });
        let lower = bounds.lower.unwrap();
        assert!(lower <= 5_000.0 && lower > 4_700.0, "{bounds:?}");
        // What needs a while to run well.
        let bounds = found(&GOAL, |load, length| match length {
            Length::Short => load <= 5_000.0,
            Length::Full => load <= 5_050.0,
        });
        assert!(bounds.lower.unwrap() <= 5_050.0, "{bounds:?}");
    }

    #[test]
    fn what_never_fails_has_no_upper_bound_and_what_never_passes_no_lower() {
        let all = found(&GOAL, |_, _| true);
        assert_eq!((all.lower, all.upper, all.is_confirmed), (Some(1e6), None, true));
        let none = found(&GOAL, |_, _| false);
        assert_eq!((none.lower, none.is_confirmed), (None, false));
        assert!(none.upper.unwrap() < 2.0);
    }

    #[test]
    fn a_search_ends_whatever_the_trials_say() {
        let mut random = fastrand::Rng::with_seed(4);
        let bounds = found(&GOAL, |_, _| random.bool());
        assert!(bounds.trials <= TRIALS_MAX + 10, "{bounds:?}");
        let bounds = found(&GOAL, |_, length| length == Length::Short);
        assert!(bounds.trials <= TRIALS_MAX + 10, "{bounds:?}");
    }

    #[test]
    fn an_error_ends_the_search() {
        let mut trial = |_: f64, _: Length| Err::<bool, &str>("broken");
        assert_eq!(search(&GOAL, &mut trial), Err("broken"));
    }
}
