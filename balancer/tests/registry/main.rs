//! The registry's promises as short stories, the same wherever it is kept: in this process, in a Redis, and in one that
//! refuses what a cluster refuses. Time is told, so nothing here waits.

mod shared;
mod stories;
mod story;

use story::Story;

macro_rules! everywhere {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::stories::$name(super::Story::in_memory()).await;
            })*
        }

        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::stories::$name(super::Story::in_redis()).await;
            })*
        }

        /// One server for all of them: a cluster takes two seconds to come up.
        #[tokio::test]
        async fn a_cluster_takes_every_step() {
            let server = std::sync::Arc::new(story::Server::cluster());
            $(
                server.redis.run(&["FLUSHALL"]).unwrap();
                stories::$name(Story::at(&server)).await;
            )*
        }
    };
}

everywhere! {
    a_login_goes_to_the_port_where_its_user_lives_with_a_token_for_that_start_of_the_node
    a_burst_does_not_pile_onto_one_node_and_reports_settle_what_arrived
    promises_that_nobody_takes_up_expire_with_their_tokens
    promises_are_kept_in_order_and_only_those_that_are_over_expire
    nodes_are_filled_to_equal_parts_exactly
    what_no_node_can_carry_does_no_harm
    a_dead_node_is_gone_when_its_lease_ends_and_comes_back_as_a_new_incarnation
    a_node_that_restarts_faster_than_its_lease_replaces_itself
    a_draining_node_gets_no_login_and_cannot_take_it_back
    a_node_says_goodbye
    a_restarted_balancer_waits_until_its_nodes_are_back_instead_of_piling_onto_the_first
    a_fresh_system_serves_as_soon_as_its_first_node_is_there
    registrations_are_bounded
    what_is_seen_of_a_node_is_what_it_said
    settings_can_change
    every_node_is_told_whose_sessions_end_until_it_has_confirmed
    a_node_that_comes_back_is_told_what_it_missed
    a_session_that_was_ended_is_not_placed_by_a_login_that_was_under_way
    orders_come_in_pieces_and_a_later_one_replaces_an_earlier
    orders_are_bounded_and_make_room_from_what_is_done_first
    orders_that_grow_too_old_are_counted
}
