//! The Redis of a local run: none, one that is started and ended with it, or one that is there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use balancer::redis::PrivateRedis;

use crate::cli::{LocalArgs, LoginName, RedisChoice, StoreName};
use crate::exit::Refusal;

/// The directory of the Redis's files, in the run's.
const DIRECTORY: &str = "redis";

/// What the gateway and the balancer are told of it.
#[derive(Debug)]
pub(super) struct Cache {
    address: String,
    code_key: PathBuf,
    /// Ends when this is dropped: after those that use it.
    private: Option<PrivateRedis>,
}

impl Cache {
    /// Starts one if the run is to have one of its own.
    ///
    /// # Errors
    /// None is installed, or it does not start: the text says what to do.
    pub(super) fn start(args: &LocalArgs, root: &Path) -> anyhow::Result<Option<Self>> {
        let (address, private) = match chosen(args) {
            RedisChoice::None => return Ok(None),
            RedisChoice::Private => {
                let private = PrivateRedis::start(&root.join(DIRECTORY));
                let private = private.context(
                    "--redis private (leave it out, or say --redis none, to do without)",
                )?;
                (private.address(), Some(private))
            }
            RedisChoice::At(url) => (url.address().to_owned(), None),
        };
        let code_key = root.join("code.key");
        balancer::key::create(&code_key).context("making the key of verification codes")?;
        Ok(Some(Self { address, code_key, private }))
    }

    /// The balancer's arguments that say so.
    pub(super) fn balancer_args(&self) -> Vec<OsString> {
        vec!["--redis".into(), self.address.clone().into()]
    }

    /// The gateway's.
    pub(super) fn gateway_args(&self) -> Vec<OsString> {
        let mut args = self.balancer_args();
        args.extend(["--code-key-file".into(), self.code_key.clone().into()]);
        args
    }

    /// It, if it is this run's.
    pub(super) const fn private(&mut self) -> Option<&mut PrivateRedis> {
        self.private.as_mut()
    }

    /// Its process, if it is this run's.
    pub(super) fn pid(&self) -> Option<u32> {
        self.private.as_ref().map(PrivateRedis::pid)
    }
}

/// Whether the run has one of its own.
pub(super) fn is_private(args: &LocalArgs) -> bool {
    matches!(chosen(args), RedisChoice::Private)
}

/// Which one the run has: where messages are in a database that several nodes may share, the rest is shared too.
fn chosen(args: &LocalArgs) -> RedisChoice {
    match (&args.redis, args.store, args.login) {
        (Some(choice), ..) => choice.clone(),
        (None, StoreName::Mysql, LoginName::Gateway) => RedisChoice::Private,
        (None, ..) => RedisChoice::None,
    }
}

/// Refuses what makes no sense.
pub(super) fn refuse(args: &LocalArgs) -> Result<(), Refusal> {
    match (&args.redis, args.login) {
        (Some(RedisChoice::Private | RedisChoice::At(_)), LoginName::Direct) => {
            return Err(Refusal::usage(
                "with --login direct there is no gateway and no balancer that would use a Redis: leave out --redis",
            ));
        }
        (Some(RedisChoice::At(url)), LoginName::Gateway) => {
            url.check().map_err(|error| Refusal::usage(error.to_string()))?;
        }
        (Some(RedisChoice::None | RedisChoice::Private) | None, _) => {}
    }
    if args.keep && is_private(args) {
        return Err(Refusal::usage(
            "the Redis of --redis private ends with this program: leave out --keep, or name one that stays",
        ));
    }
    Ok(())
}
