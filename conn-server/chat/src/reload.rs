//! Limits that change while a shard runs. What was told to a session stays so; what follows is by the new ones.

use core::time::Duration;

use crate::shard::Shard;

/// The settings of a shard that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that this shard takes; those beyond it stay, new ones are shed. At most what it was made for.
    pub connections_max: u32,
    /// The longest text, at most [`wire::limits::BODY_BYTES_MAX`].
    pub body_bytes_max: u32,
    /// How often a client should send a heartbeat: told at the next login.
    pub heartbeat_interval: Duration,
    /// Silence after which a session expires.
    pub heartbeat_timeout: Duration,
    /// Heartbeats per second of the whole node.
    pub heartbeats_per_s_max: u32,
    /// Time to log in after connecting, for those who connect from now on.
    pub login_timeout: Duration,
    /// At shutdown, clients are told to come back spread over this long.
    pub reconnect_window: Duration,
}

impl Shard {
    /// From now on these.
    pub fn handle_limits(&mut self, limits: &Limits) {
        let Limits {
            connections_max,
            body_bytes_max,
            heartbeat_interval,
            heartbeat_timeout,
            heartbeats_per_s_max,
            login_timeout,
            reconnect_window,
        } = *limits;
        let config = &mut self.config;
        config.connections_max = connections_max;
        config.body_bytes_max = body_bytes_max;
        config.heartbeat_interval = heartbeat_interval;
        config.heartbeat_timeout = heartbeat_timeout;
        config.heartbeats_per_s_max = heartbeats_per_s_max;
        config.login_timeout = login_timeout;
        config.reconnect_window = reconnect_window;
        self.pace.change(config);
    }
}
