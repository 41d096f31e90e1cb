//! A disk whose syncs take as long as the test wants.
//!
//! SQLite, which is linked into this program, asks for `fsync` and `fdatasync` by name, and the names are defined here: so
//! the real node waits in its real commit, until the gate is opened.

use std::ffi::c_int;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    is_open: bool,
    waiting: u32,
}

static GATE: Gate =
    Gate { state: Mutex::new(State { is_open: true, waiting: 0 }), changed: Condvar::new() };

fn state() -> MutexGuard<'static, State> {
    GATE.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk, stalled while this lives.
pub(crate) struct Stall(());

impl Stall {
    pub(crate) fn begin() -> Self {
        state().is_open = false;
        Self(())
    }

    /// Waits until a commit hangs in its sync.
    pub(crate) fn wait_for_commit(&self) {
        let is_free = |state: &mut State| state.waiting == 0;
        drop(GATE.changed.wait_while(state(), is_free).unwrap_or_else(PoisonError::into_inner));
    }

    /// How many commits hang in their sync.
    pub(crate) fn waiting(&self) -> u32 {
        state().waiting
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        state().is_open = true;
        GATE.changed.notify_all();
    }
}

fn pass() {
    let mut state = state();
    state.waiting += 1;
    GATE.changed.notify_all();
    let is_shut = |state: &mut State| !state.is_open;
    let mut state = GATE.changed.wait_while(state, is_shut).unwrap_or_else(PoisonError::into_inner);
    state.waiting -= 1;
}

fn sync(fd: c_int) -> c_int {
    pass();
    // SAFETY: a system call on a descriptor of the caller's, which it keeps open meanwhile.
    let result = unsafe { libc::syscall(libc::SYS_fdatasync, fd) };
    c_int::try_from(result).expect("zero or minus one")
}

// SAFETY: of the same type, and with the same promise, as the library's function whose place it takes.
#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd)
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd)
}
