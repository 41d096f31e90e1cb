//! Every bound of the gateway, with its reason.

use std::time::Duration;

/// The body of a request: three short texts and a code; the longest that pass are below 600 bytes.
pub const BODY_BYTES_MAX: usize = 4 * 1024;

/// HTTP connections open at one time; more wait in the kernel's queue. A login holds its connection for milliseconds.
pub const CONNECTIONS_MAX: usize = 8 * 1024;

/// Time to send the head of a request, and the longest idle time between two: a client that ramps up slowly keeps its
/// connection, one that trickles a header does not.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a whole request, from its head to its answer, body included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for open requests to finish at shutdown: a little more than one may take.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(12);

/// One call to the balancer.
pub const BALANCER_DEADLINE: Duration = Duration::from_secs(2);

/// All attempts of one login to be placed: below [`REQUEST_TIMEOUT`], so that the client gets the reason.
pub const PLACE_DEADLINE: Duration = Duration::from_secs(6);

/// The first pause between two attempts to be placed; it doubles up to [`PLACE_PAUSE_MAX`].
pub const PLACE_PAUSE_MIN: Duration = Duration::from_millis(20);

/// The longest pause between two attempts to be placed.
pub const PLACE_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Password hashes that wait for a thread. At the default cost a thread does some 50 per second, and who waits longer
/// than [`REQUEST_TIMEOUT`] waits in vain; cheap hashes of load tests never queue so far.
pub const HASHES_WAITING_MAX: usize = 1024;

/// Memory of one password hash that is verified, in KiB: a record that asks for more is not one of ours, and must not
/// take the machine down.
pub const HASH_MEMORY_KIB_MAX: u32 = 256 * 1024;

/// Passes of one password hash that is verified.
pub const HASH_PASSES_MAX: u32 = 16;

/// A username: as long as the seed system's column.
pub const USERNAME_BYTES_MAX: usize = 50;

/// A username: shorter ones are too few.
pub const USERNAME_BYTES_MIN: usize = 3;

/// An e-mail address: as long as the seed system's column.
pub const EMAIL_BYTES_MAX: usize = 100;

/// The part before the `@` (RFC 5321).
pub const EMAIL_LOCAL_BYTES_MAX: usize = 64;

/// A password, at least: shorter ones are guessed.
pub const PASSWORD_CHARS_MIN: usize = 8;

/// A password, at most: room for any passphrase.
pub const PASSWORD_BYTES_MAX: usize = 128;

/// How long a verification code is good.
pub const CODE_TTL: Duration = Duration::from_secs(180);

/// A new code for the same address is not made before this: nobody's mailbox is to be flooded, and a guesser gets no
/// more than [`CODE_ATTEMPTS_MAX`] tries in it.
pub const CODE_RESEND_AFTER: Duration = Duration::from_secs(20);

/// Wrong codes for one address until its code is void: 5 tries for one of a million.
pub const CODE_ATTEMPTS_MAX: u8 = 5;

/// Codes outstanding: some 200 bytes each, 20 MiB in all, and 500 new registrations per second.
pub const CODES_MAX: usize = 100_000;

/// Accounts that one provision may make: a bound against a slip of the hand.
pub const PROVISION_MAX: u64 = 10_000_000;

/// Accounts that are hashed and handed to the store at a time.
pub const PROVISION_CHUNK: usize = 4_096;

/// Programs that deliver verification codes at one time: a process each.
pub const DELIVERIES_MAX: usize = 16;

/// Time for one of them: below [`REQUEST_TIMEOUT`], so that the client gets the reason.
pub const DELIVERY_DEADLINE: Duration = Duration::from_secs(8);

const _: () = assert!(PLACE_DEADLINE.as_secs() < REQUEST_TIMEOUT.as_secs());
const _: () = assert!(DELIVERY_DEADLINE.as_secs() < REQUEST_TIMEOUT.as_secs());
const _: () = assert!(REQUEST_TIMEOUT.as_secs() < DRAIN_TIMEOUT.as_secs());
