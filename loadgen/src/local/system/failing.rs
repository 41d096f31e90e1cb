//! Servers of the system that fail and come back because they are told to.

use std::sync::atomic::AtomicBool;

use anyhow::Context;
use balancer::redis::PrivateRedis;
use store::PrivateServer;

use super::System;
use crate::local::cache::Cache;
use crate::local::child::{Child, signal_freeze};
use crate::local::outage::{How, Server};

impl System {
    /// Has a server fail.
    ///
    /// # Errors
    /// There is no such server in this run, or it has ended by itself.
    pub(in crate::local) fn fail(&mut self, server: Server, how: How) -> anyhow::Result<()> {
        match (server, how) {
            (Server::Mysql, How::Kill) => self.database()?.kill(),
            (Server::Mysql, How::Freeze) => signal_freeze(self.database()?.pid(), true)?,
            (Server::Redis, How::Kill) => self.redis()?.kill(),
            (Server::Redis, How::Freeze) => self.redis()?.freeze()?,
            (_, How::Kill) => self.child(server)?.kill()?,
            (_, How::Freeze) => self.child(server)?.freeze(true)?,
        }
        Ok(())
    }

    /// Has it come back: its process, if that is a new one.
    ///
    /// # Errors
    /// It does not start again.
    pub(in crate::local) fn recover(
        &mut self,
        server: Server,
        how: How,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<u32>> {
        match (server, how) {
            (Server::Mysql, How::Kill) => self.database()?.restart()?,
            (Server::Mysql, How::Freeze) => signal_freeze(self.database()?.pid(), false)?,
            (Server::Redis, How::Kill) => self.redis()?.restart()?,
            (Server::Redis, How::Freeze) => self.redis()?.thaw()?,
            (_, How::Kill) => self.child(server)?.restart(stop)?,
            (_, How::Freeze) => self.child(server)?.freeze(false)?,
        }
        Ok(match (server, how) {
            (_, How::Freeze) => None,
            (Server::Mysql, How::Kill) => Some(self.database()?.pid()),
            (Server::Redis, How::Kill) => Some(self.redis()?.pid()),
            (_, How::Kill) => Some(self.child(server)?.pid()),
        })
    }

    fn child(&mut self, server: Server) -> anyhow::Result<&mut Child> {
        let child = match server {
            Server::Node => Some(&mut self.node),
            Server::Gateway => self.gateway.as_mut(),
            Server::Balancer => self.balancer.as_mut(),
            Server::Mysql | Server::Redis => None,
        };
        child.with_context(|| format!("this run has no {server}"))
    }

    fn database(&mut self) -> anyhow::Result<&mut PrivateServer> {
        self.database.as_mut().context("this run has no mysql: give it --store mysql")
    }

    fn redis(&mut self) -> anyhow::Result<&mut PrivateRedis> {
        let private = self.cache.as_mut().and_then(Cache::private);
        private.context("this run has no redis of its own: give it --redis private")
    }
}
