//! Changing and changing back: what was written is taken back exactly, whatever fails on the way, and what others wrote is theirs.

mod ground;

use std::collections::BTreeMap;
use std::fs;
use std::io;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ground::{machine, plan};
use proptest::prelude::*;
use tuning::apply::{ApplyError, RollBackError, apply, begin, roll_back};
use tuning::journal::{self, JournalError, Record, Stage};
use tuning::root::{Recording, Root, UringProbe};
use tuning::state::State;
use tuning::{Change, Plan, Profile, check};

/// Every write that a plan may make.
fn changes(root: &dyn Root, plan: &Plan) -> Vec<Change> {
    check(root, plan).into_iter().flat_map(|finding| finding.changes).collect()
}

fn state() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::new(Some(folder.path()), None).unwrap();
    (folder, state)
}

fn last(state: &State) -> Record {
    journal::all(state).unwrap().0.pop().unwrap()
}

fn apply_all(
    root: &dyn Root,
    state: &State,
    plan: &Plan,
    changes: &[Change],
) -> Result<String, ApplyError> {
    let lock = state.lock().unwrap();
    apply(root, state, &lock, begin(root, plan, None), changes, |_| Ok(()))
        .map(|applied| applied.id)
}

fn back(root: &dyn Root, state: &State, force: bool) -> tuning::apply::Back {
    let lock = state.lock().unwrap();
    roll_back(root, state, &lock, &last(state), "a test", force).unwrap()
}

/// A machine on which something goes wrong.
struct Faulty {
    inner: Recording,
    /// The write that fails, counted from 0.
    fails_at: usize,
    fault: Fault,
    writes: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The kernel says no.
    Refuses,
    /// The kernel says yes and does nothing.
    Ignores,
    /// The kernel takes another value.
    Clamps,
}

impl Root for Faulty {
    fn read(&self, path: &str) -> io::Result<String> {
        self.inner.read(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.inner.link(path)
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        if self.writes.fetch_add(1, Ordering::Relaxed) != self.fails_at {
            return self.inner.write(path, text);
        }
        match self.fault {
            Fault::Refuses => Err(io::ErrorKind::InvalidInput.into()),
            Fault::Ignores => Ok(()),
            Fault::Clamps => self.inner.write(path, "7777"),
        }
    }

    fn check_writable(&self, path: &str) -> io::Result<()> {
        self.inner.check_writable(path)
    }

    fn rest(&self, time: Duration) {
        self.inner.rest(time);
    }

    fn probe_uring(&self) -> UringProbe {
        self.inner.probe_uring()
    }

    fn tool(&self, command: &[&str]) -> io::Result<String> {
        self.inner.tool(command)
    }

    fn is_live(&self) -> bool {
        false
    }
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let profile =
        prop_oneof![Just(Profile::Latency), Just(Profile::Throughput), Just(Profile::Capacity)];
    let connections = prop_oneof![0..200_u64, 10_000..3_000_000_u64, Just(u64::MAX)];
    (connections, profile, any::<bool>()).prop_map(|(connections, profile, direct_descriptors)| {
        Plan { connections, rate: connections, profile, direct_descriptors }
    })
}

/// Machines that can be written: a container's /proc/sys cannot.
const WRITABLE: [&str; 5] = [
    "bare-metal-amd",
    "bare-metal-arm",
    "bare-metal-intel",
    "bare-metal-old",
    "kvm-guest-cgroup-v1",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn apply_then_rollback_is_nothing(name in prop::sample::select(&WRITABLE[..]), plan in any_plan()) {
        let (root, (_folder, state)) = (machine(name), state());
        let before = root.files();
        let changes = changes(&root, &plan);
        apply_all(&root, &state, &plan, &changes).unwrap();
        for change in &changes {
            prop_assert!(change.form.is_same(&root.read(&change.path).unwrap(), &change.to), "{change:?}");
        }
        let left = back(&root, &state, false);
        prop_assert!(left.drifted.is_empty() && left.failed.is_empty(), "{left:?}");
        prop_assert_eq!(root.files(), before);
        prop_assert_eq!(last(&state).stage, Stage::RolledBack);
    }

    #[test]
    fn a_failure_anywhere_leaves_nothing_behind(
        name in prop::sample::select(&WRITABLE[..]),
        plan in any_plan(),
        at in 0..40_usize,
        refuses in any::<bool>(),
    ) {
        let fault = if refuses { Fault::Refuses } else { Fault::Ignores };
        let root = Faulty { inner: machine(name), fails_at: at, fault, writes: AtomicUsize::new(0) };
        let (_folder, state) = state();
        let before = root.inner.files();
        let changes = changes(&root, &plan);
        let outcome = apply_all(&root, &state, &plan, &changes);
        if at < changes.len() {
            let Err(ApplyError::Failed { back, path, .. }) = outcome else { panic!("{outcome:?}") };
            prop_assert_eq!(&path, &changes[at].path);
            prop_assert!(back.failed.is_empty() && back.drifted.is_empty(), "{back:?}");
            prop_assert_eq!(back.restored.len(), at);
            prop_assert_eq!(root.inner.files(), before);
            prop_assert_eq!(last(&state).stage, Stage::RolledBack);
        } else {
            prop_assert!(outcome.is_ok());
        }
    }

    #[test]
    fn what_others_set_is_left(plan in any_plan(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let (root, (_folder, state)) = (machine("bare-metal-amd"), state());
        let before = root.files();
        let changes = changes(&root, &plan);
        prop_assume!(!changes.is_empty());
        apply_all(&root, &state, &plan, &changes).unwrap();
        let mut theirs = BTreeMap::new();
        for pick in picks {
            let change = &changes[pick.index(changes.len())];
            // A value that is neither the old nor the new one, in the file's own form.
            let text = match change.form {
                tuning::value::Form::Choice => "always madvise [never]\n",
                tuning::value::Form::Word => "ondemand\n",
                tuning::value::Form::Mask => "5\n",
                tuning::value::Form::Numbers => "3\t33\t333\n",
            };
            root.set(&change.path, text);
            theirs.insert(change.path.clone(), text.to_owned());
        }
        let left = back(&root, &state, false);
        prop_assert_eq!(left.drifted.len(), theirs.len());
        let mut wanted = before;
        wanted.extend(theirs);
        prop_assert_eq!(root.files(), wanted);
    }

    #[test]
    fn a_journal_that_is_cut_off_anywhere_is_enough(plan in any_plan(), cut in any::<prop::sample::Index>()) {
        let (root, (_folder, state)) = (machine("bare-metal-amd"), state());
        let before = root.files();
        let changes = changes(&root, &plan);
        let id = apply_all(&root, &state, &plan, &changes).unwrap();
        let file = state.journals().join(format!("{id}.jsonl"));
        let whole = fs::read(&file).unwrap();
        let kept = cut.index(whole.len() + 1);
        // The machine stood still here: what the journal does not have on disk was never written.
        fs::write(&file, &whole[..kept]).unwrap();
        match journal::read(&file).unwrap() {
            None => {}
            Some(record) => {
                for change in &changes {
                    if !record.steps.iter().any(|step| step.change.path == change.path) {
                        root.set(&change.path, &before[&change.path]);
                    }
                }
                let left = back(&root, &state, false);
                prop_assert!(left.failed.is_empty() && left.drifted.is_empty(), "{left:?}");
                prop_assert_eq!(root.files(), before);
                // What was cut off does not spoil what came after.
                prop_assert_eq!(last(&state).stage, Stage::RolledBack);
            }
        }
    }
}

#[test]
fn a_line_damaged_in_the_middle_stops_everything() {
    let (root, (_folder, state)) = (machine("bare-metal-amd"), state());
    let changes = changes(&root, &plan(1_000_000));
    let id = apply_all(&root, &state, &plan(1_000_000), &changes).unwrap();
    let file = state.journals().join(format!("{id}.jsonl"));
    let text = fs::read_to_string(&file).unwrap().replacen(
        "\"event\":\"wrote\"",
        "\"event\":\"wrong\"",
        1,
    );
    fs::write(&file, text).unwrap();
    assert!(matches!(journal::read(&file), Err(JournalError::Damaged { line: 3, .. })));
    let refused = apply_all(&root, &state, &plan(1_000_000), &changes).unwrap_err();
    assert!(matches!(&refused, ApplyError::NotBegun(why) if why.contains("line 3")), "{refused}");
}

#[test]
fn a_value_that_the_kernel_adjusts_is_taken_back_too() {
    let inner = machine("kvm-guest-cgroup-v1");
    let before = inner.files();
    let root = Faulty { inner, fails_at: 0, fault: Fault::Clamps, writes: AtomicUsize::new(0) };
    let (_folder, state) = state();
    let plan = plan(100_000);
    let changes: Vec<Change> =
        changes(&root, &plan).into_iter().filter(|change| change.id == "tcp.syn_backlog").collect();
    apply_all(&root, &state, &plan, &changes).unwrap();
    assert_eq!(last(&state).steps[0].became.as_deref(), Some("7777"));
    let left = back(&root, &state, false);
    assert!(left.drifted.is_empty() && left.failed.is_empty(), "{left:?}");
    assert_eq!(root.inner.files(), before);
}

#[test]
fn force_takes_back_what_others_set() {
    let (root, (_folder, state)) = (machine("kvm-guest-cgroup-v1"), state());
    let before = root.files();
    let changes = changes(&root, &plan(100_000));
    apply_all(&root, &state, &plan(100_000), &changes).unwrap();
    root.set(&changes[0].path, "12345\n");
    let left = back(&root, &state, true);
    assert!(left.drifted.is_empty(), "{left:?}");
    assert_eq!(root.files(), before);
}

#[test]
fn a_file_that_is_gone_is_nobodys_and_one_that_cannot_be_read_stays_open() {
    let (root, (_folder, state)) = (machine("kvm-guest-cgroup-v1"), state());
    let changes = changes(&root, &plan(100_000));
    apply_all(&root, &state, &plan(100_000), &changes).unwrap();
    root.remove(&changes[0].path);
    let left = back(&root, &state, false);
    assert_eq!((left.drifted.len(), left.failed.len()), (1, 0), "{left:?}");
    assert!(left.drifted[0].why.contains("gone"));
}

#[test]
fn an_apply_in_a_container_changes_nothing_and_says_why() {
    for name in ["container-cgroup-v1", "container-cgroup-v2"] {
        let (root, (_folder, state)) = (machine(name), state());
        let before = root.files();
        let changes = changes(&root, &plan(1_000_000));
        assert!(!changes.is_empty());
        let error = apply_all(&root, &state, &plan(1_000_000), &changes).unwrap_err();
        let ApplyError::Unwritable(refused) = &error else { panic!("{error}") };
        assert_eq!(refused.len(), changes.len());
        assert_eq!(refused[0].1.kind(), io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(root.files(), before);
        assert!(journal::all(&state).unwrap().0.is_empty());
    }
}

#[test]
fn without_a_watchdog_nothing_is_written() {
    let (root, (_folder, state)) = (machine("kvm-guest-cgroup-v1"), state());
    let before = root.files();
    let plan = plan(100_000);
    let changes = changes(&root, &plan);
    let lock = state.lock().unwrap();
    let none = |_: &str| Err(io::ErrorKind::TimedOut.into());
    let error =
        apply(&root, &state, &lock, begin(&root, &plan, Some(1)), &changes, none).unwrap_err();
    assert!(matches!(&error, ApplyError::NotBegun(why) if why.contains("no watchdog")), "{error}");
    assert_eq!(root.files(), before);
    assert_eq!(last(&state).stage, Stage::RolledBack);
}

#[test]
fn a_watchdog_that_comes_late_acts_at_once_and_waits_for_nobody_who_answered() {
    let plan = plan(100_000);
    for is_confirmed in [false, true] {
        let (root, (_folder, state)) = (machine("kvm-guest-cgroup-v1"), state());
        let before = root.files();
        let changes = changes(&root, &plan);
        let lock = state.lock().unwrap();
        // The machine has been up for longer than a millisecond: the time is over already.
        apply(&root, &state, &lock, begin(&root, &plan, Some(1)), &changes, |_| Ok(())).unwrap();
        if is_confirmed {
            tuning::apply::confirm(&root, &state, &lock).unwrap();
        }
        drop(lock);
        let watched = tuning::watchdog::watch(&root, &state, &last(&state).id).unwrap();
        assert_eq!(matches!(watched, tuning::watchdog::Watched::Answered), is_confirmed);
        assert_eq!(root.files() == before, !is_confirmed);
    }
}

#[test]
fn a_plan_that_is_out_of_date_is_refused() {
    let (root, (_folder, state)) = (machine("kvm-guest-cgroup-v1"), state());
    let changes = changes(&root, &plan(100_000));
    root.set(&changes[1].path, "55555\n");
    let error = apply_all(&root, &state, &plan(100_000), &changes).unwrap_err();
    assert!(matches!(&error, ApplyError::Moved(path) if *path == changes[1].path), "{error}");
}

#[test]
fn applies_are_taken_back_in_their_order() {
    let (root, (_folder, state)) = (machine("kvm-guest-cgroup-v1"), state());
    let before = root.files();
    let id = |change: &Change| change.id == "path.netdev_backlog" || change.id == "tcp.port_range";
    let first: Vec<Change> = changes(&root, &plan(100_000)).into_iter().filter(id).collect();
    let first_id = apply_all(&root, &state, &plan(100_000), &first).unwrap();
    let mut second = first[0].clone();
    (second.from, second.to) = (root.read(&second.path).unwrap(), "2048 65000".to_owned());
    apply_all(&root, &state, &plan(100_000), &[second]).unwrap();
    let (records, _) = journal::all(&state).unwrap();
    let older = records.iter().find(|record| record.id == first_id).unwrap();
    let lock = state.lock().unwrap();
    let refused = roll_back(&root, &state, &lock, older, "a test", false).unwrap_err();
    assert!(matches!(refused, RollBackError::Covered(_)), "{refused}");
    roll_back(&root, &state, &lock, &records[1], "a test", false).unwrap();
    roll_back(&root, &state, &lock, older, "a test", false).unwrap();
    assert_eq!(root.files(), before);
}

#[test]
fn values_of_another_boot_or_namespace_are_not_taken_back() {
    let (root, (_folder, state)) = (machine("kvm-guest-cgroup-v1"), state());
    let changes = changes(&root, &plan(100_000));
    apply_all(&root, &state, &plan(100_000), &changes).unwrap();
    let lock = state.lock().unwrap();
    root.set("/proc/self/ns/net", "net:[1]");
    let refused = roll_back(&root, &state, &lock, &last(&state), "a test", false).unwrap_err();
    assert!(matches!(refused, RollBackError::OtherNamespace(_)), "{refused}");
    root.set("/proc/sys/kernel/random/boot_id", "another\n");
    let refused = roll_back(&root, &state, &lock, &last(&state), "a test", false).unwrap_err();
    assert!(matches!(refused, RollBackError::OtherBoot), "{refused}");
    assert_eq!(tuning::apply::close_old(&root, &state, &lock).unwrap().len(), 1);
    assert_eq!(last(&state).stage, Stage::RolledBack);
}
