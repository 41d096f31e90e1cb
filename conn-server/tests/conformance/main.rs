//! The conformance suite: one set of scripts against every driver, over real sockets.
//!
//! A driver is left out of a script by the capability table (`Caps`) and by nothing else; each skip is printed, also
//! when the test harness captures output.

#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected is a failure")]

mod capacity;
mod closing;
mod draining;
mod flow;
mod node;
mod peer;
mod reading;
mod ring_client;
mod shards;
mod shedding;
mod stopped;

use std::io::Write;

use conn_server::driver::{Caps, DriverKind};

/// Whether a script is for a driver; says so if not.
fn is_for(driver: DriverKind, script: &str, needs: fn(&Caps) -> bool) -> bool {
    if let Err(why) = driver.probe() {
        skip(driver, script, &why);
        return false;
    }
    if needs(&driver.caps()) {
        return true;
    }
    skip(driver, script, &format!("needs more than {:?}", driver.caps()));
    false
}

fn skip(driver: DriverKind, script: &str, why: &str) {
    // Not `eprintln`, which the harness would swallow: a skip has to be seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED {script} on {driver}: {why}");
}

/// Makes a test of each script for each driver.
macro_rules! conformance {
    ($($module:ident :: $script:ident $(needs $cap:ident)?,)+) => {
        const SCRIPTS: &[Script] = &[$(Script {
            name: stringify!($script),
            needs: |_caps| true $(&& _caps.$cap)?,
            body: $module::$script,
        }),+];

        mod on_uring {
            $(#[test]
            fn $script() {
                crate::run(conn_server::driver::DriverKind::Uring, stringify!($script));
            })+
        }
        mod on_epoll {
            $(#[test]
            fn $script() {
                crate::run(conn_server::driver::DriverKind::Epoll, stringify!($script));
            })+
        }
        mod on_monoio {
            $(#[test]
            fn $script() {
                crate::run(conn_server::driver::DriverKind::Monoio, stringify!($script));
            })+
        }
        mod on_tokio_uring {
            $(#[test]
            fn $script() {
                crate::run(conn_server::driver::DriverKind::TokioUring, stringify!($script));
            })+
        }
    };
}

struct Script {
    name: &'static str,
    needs: fn(&Caps) -> bool,
    body: fn(DriverKind),
}

fn run(driver: DriverKind, name: &str) {
    let script =
        SCRIPTS.iter().find(|script| script.name == name).expect("made from the same list");
    if is_for(driver, name, script.needs) {
        (script.body)(driver);
    }
}

conformance! {
    reading::torn_reads_are_put_together,
    reading::merged_reads_are_taken_apart,
    reading::a_frame_larger_than_any_buffer_arrives,
    reading::who_says_much_and_little_in_turn_is_heard,
    reading::garbage_is_refused_and_closed,
    flow::short_writes_go_on_where_they_stopped,
    flow::a_slow_reader_is_closed_and_nobody_else_notices,
    flow::a_paused_connection_goes_on_when_the_store_answers,
    flow::a_dead_store_is_answered_for,
    closing::resets_in_every_phase_free_the_slot,
    closing::answers_arrive_after_a_half_close,
    closing::logout_and_reset_race,
    closing::an_idle_connection_expires,
    closing::slots_are_reused_without_mixing_streams,
    shedding::a_full_shard_sheds_and_accepts_again,
    shedding::a_full_shard_leaves_the_common_port_to_the_others,
    shedding::who_is_told_that_the_node_is_full_takes_nobodys_place,
    draining::queued_data_is_written_before_the_end,
    draining::a_drain_ends_at_its_deadline,
    draining::an_abort_ends_at_once,
    draining::a_draining_node_refuses_new_clients,
    shards::texts_cross_shards_in_order,
    shards::the_common_port_is_shared,
    stopped::the_others_go_on_and_nothing_is_lost,
    stopped::the_store_answers_the_others,
    stopped::a_drain_ends_without_it,
    stopped::an_abort_ends_without_it,
    stopped::much_behind_a_login_waits_for_the_home,
    capacity::buffers_run_out_and_come_back needs buffer_ring,
    capacity::a_tiny_completion_queue_loses_nothing needs sized_queues,
    capacity::thirty_thousand_connections_in_one_process needs direct_descriptors,
    capacity::a_storm_loses_nothing,
}
