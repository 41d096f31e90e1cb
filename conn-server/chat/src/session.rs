//! Sessions: login by token, the user's home, heartbeat and expiry.

use wire::{CloseReason, Epoch, Event, Kind, Login, Reject, UserId, Welcome, home_of_user};

use crate::config::Config;
use crate::conn::{Conn, ConnKey, ConnRef, Opening, Phase};
use crate::directory::{Claim, Claimed};
use crate::effects::Effects;
use crate::limits::TOKEN_KEPT_S;
use crate::mail::{COMMAND, Mail};
use crate::shard::{Shard, seconds};
use crate::time::Now;
use crate::timers::tick_of;

impl Shard {
    pub(crate) fn on_login(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        login: Login<'_>,
        fx: &mut Effects,
    ) {
        let Config { token_key, node, incarnation, .. } = &self.config;
        let verified = token_key.verify(login.token, node, *incarnation, now.mono.as_ms());
        let (Ok(token), Some(conn)) = (verified, self.conns.get_mut(key)) else {
            self.counters.logins_refused += 1;
            self.close(now, key, CloseReason::BadToken, fx);
            return;
        };
        let home = home_of_user(token.user, self.config.shards);
        if self.outbox.is_full(home, COMMAND) {
            // The token stays good: its user's home has not seen it.
            self.counters.logins_refused += 1;
            self.reject(now, key, correlation, Kind::Login, Reject::Busy, fx);
            return;
        }
        conn.user = token.user;
        conn.phase = Phase::Claiming;
        // One second more than the token's own, so that rounding never ends an entry before its token.
        let keep_until_s = u32::try_from(token.expires_ms / 1000 + 1).unwrap_or(u32::MAX);
        let conn = self.conn_ref(key);
        let claim = Claim { user: token.user, epoch: token.epoch.0, keep_until_s, conn };
        if home == self.config.shard {
            self.on_claim(now, claim, correlation, fx);
        } else {
            self.outbox.post(home, &Mail::Claim { claim, correlation }, &mut self.counters, fx);
        }
    }

    /// At the user's home: the newest login wins.
    pub(crate) fn on_claim(&mut self, now: Now, claim: Claim, correlation: u64, fx: &mut Effects) {
        let Claim { conn, epoch, .. } = claim;
        let mail = match self.directory.claim(claim) {
            Claimed::Granted { replaced, cut } => {
                if let Some(old) = replaced {
                    self.counters.replaced += 1;
                    self.mail_conn(
                        now,
                        Mail::Close { conn: old, reason: CloseReason::Replaced },
                        old,
                        fx,
                    );
                }
                Mail::Granted { conn, correlation, epoch, cut }
            }
            Claimed::Stale => Mail::Denied { conn, correlation, is_full: false },
            Claimed::Full => Mail::Denied { conn, correlation, is_full: true },
        };
        self.mail_conn(now, mail, conn, fx);
    }

    /// Somebody who may (the gateway, after a password was reset) ends a user's sessions of an epoch below this one. For the
    /// user's home; other shards do nothing.
    pub fn handle_end_sessions(&mut self, now: Now, user: UserId, epoch: Epoch, fx: &mut Effects) {
        if home_of_user(user, self.config.shards) != self.config.shard {
            return;
        }
        let keep_until_s = seconds(now.mono).saturating_add(TOKEN_KEPT_S);
        if let Some(conn) = self.directory.end_before(user, epoch.0, keep_until_s) {
            self.counters.ended += 1;
            let mail = Mail::Close { conn, reason: CloseReason::Revoked };
            self.mail_conn(now, mail, conn, fx);
        }
    }

    /// Hands mail to a connection's shard: at once if that is this one.
    pub(crate) fn mail_conn(&mut self, now: Now, mail: Mail<'_>, conn: ConnRef, fx: &mut Effects) {
        let (shard, _) = conn.parts();
        if shard == self.config.shard {
            self.on_mail(now, shard, mail, fx);
        } else {
            self.outbox.post(shard, &mail, &mut self.counters, fx);
        }
    }

    pub(crate) fn on_granted(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        (epoch, cut): (u64, u8),
        fx: &mut Effects,
    ) {
        // A connection that closed meanwhile has sent its release behind its claim.
        let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.phase == Phase::Claiming)
        else {
            return;
        };
        conn.phase = Phase::Online;
        let user = conn.user;
        // The shards' own ports are not those that a proxy has: whoever comes through one stays where it is.
        let is_proxied = conn.opening == Opening::Proxied;
        self.sessions += 1;
        self.counters.logins += 1;
        let told = self.pace.tell(self.sessions);
        let deadline = tick_of(now.mono).saturating_add(self.pace.patience());
        self.timers.arm(&mut self.conns, key.index(), deadline);
        let home = home_of_user(user, self.config.shards);
        let port = self.config.shard_ports.get(usize::from(home.0)).copied().unwrap_or(0);
        let welcome = Welcome {
            user,
            epoch: Epoch(epoch),
            heartbeat_interval_ms: told.interval_ms,
            heartbeat_timeout_ms: told.timeout_ms,
            body_bytes_max: self.config.body_bytes_max,
            home_port: if is_proxied { 0 } else { port },
            previous_close: cut,
        };
        self.send(now, key, correlation, Event::Welcome(welcome), fx);
    }

    pub(crate) fn on_denied(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        is_full: bool,
        fx: &mut Effects,
    ) {
        let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.phase == Phase::Claiming)
        else {
            return;
        };
        self.counters.logins_refused += 1;
        if is_full {
            conn.phase = Phase::Fresh;
            self.reject(now, key, correlation, Kind::Login, Reject::Busy, fx);
        } else {
            self.close(now, key, CloseReason::BadToken, fx);
        }
    }

    /// Ends the directory entry of a session, wherever it is.
    pub(crate) fn release_user(
        &mut self,
        now: Now,
        user: UserId,
        key: ConnKey,
        cut: u8,
        fx: &mut Effects,
    ) {
        let conn = self.conn_ref(key);
        let home = home_of_user(user, self.config.shards);
        if home == self.config.shard {
            self.directory.release(user, conn, cut, seconds(now.mono));
        } else {
            let mail = Mail::Release { user, conn, cut };
            self.outbox.post(home, &mail, &mut self.counters, fx);
        }
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        now: Now,
        key: ConnKey,
        correlation: u64,
        fx: &mut Effects,
    ) {
        self.counters.heartbeats += 1;
        self.send(now, key, correlation, Event::HeartbeatAck, fx);
    }

    /// A connection's timer has come: what that means depends on where it is in its life.
    pub(crate) fn on_timer(&mut self, now: Now, key: ConnKey, fx: &mut Effects) {
        let Some(Conn { phase, heard, is_paused, awaiting, .. }) = self.conns.get(key) else {
            return;
        };
        // The node itself does not listen to it: its silence means nothing while the answers are the node's to give.
        let is_waiting = *is_paused && (*awaiting > 0 || self.outbox.is_choked());
        match phase {
            Phase::Fresh | Phase::Claiming => {
                self.counters.login_timeouts += 1;
                self.close(now, key, CloseReason::LoginTimeout, fx);
            }
            Phase::Online => {
                // Receiving only notes the tick; the deadline moves when it has come.
                let heard = if is_waiting { tick_of(now.mono) } else { *heard };
                let deadline = heard.saturating_add(self.pace.patience());
                if deadline > tick_of(now.mono) {
                    self.timers.arm(&mut self.conns, key.index(), deadline);
                } else {
                    self.counters.expired += 1;
                    self.close(now, key, CloseReason::Expired, fx);
                }
            }
            Phase::Closing | Phase::Lingering => {
                self.counters.deadline_cuts += 1;
                self.abort(now, key, fx);
            }
            Phase::Free | Phase::Aborted => {}
        }
    }
}
