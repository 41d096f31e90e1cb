//! Every bound of the gateway, with its reason.

use std::time::Duration;

use crate::shared::Rate;

/// The body of a request: three short texts and a code; the longest that pass are below 600 bytes.
pub const BODY_BYTES_MAX: usize = 4 * 1024;

/// The head of a request: browsers and proxies send less than 4 KiB where nobody sets cookies.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// HTTP connections open at one time; more wait in the kernel's queue. A login holds its connection for milliseconds.
pub const CONNECTIONS_MAX: usize = 8 * 1024;

/// Of these, connections of one client network: more than the load generator opens, few enough that eight hostile
/// addresses are needed to take all. Without effect behind a proxy, which all clients come through.
pub const CONNECTIONS_PER_CLIENT_MAX: usize = 1024;

/// Entries of `X-Forwarded-For` that are looked at, from the right: nobody has so many proxies of his own.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// Time to send the head of a request, and the longest idle time between two: a client that ramps up slowly keeps its
/// connection, one that trickles a header does not.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the body of a request after its head: 600 bytes take a second on the worst line.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a request once it is read.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for open requests to finish at shutdown: a little more than one may take.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(16);

/// One call to the balancer, which answers within a millisecond: with a password's hash before it, a login that meets
/// a balancer that hangs has its answer within a second.
pub const BALANCER_DEADLINE: Duration = Duration::from_millis(800);

/// How long a login tries to reach a balancer that nobody answers for: a restart takes less, and people are told within
/// a second what is wrong.
pub const UNREACHABLE_PATIENCE: Duration = Duration::from_millis(600);

/// How long a login tries while a balancer that was restarted is still learning its nodes: longer than that takes by
/// default, and below [`REQUEST_TIMEOUT`], so that the client gets the reason.
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

/// How long a verification code is good: as in the seed systems.
pub const CODE_TTL: Duration = Duration::from_secs(180);

/// Wrong codes until a code is void: 5 tries for one of a million.
pub const CODE_ATTEMPTS_MAX: u8 = 5;

/// Codes outstanding: some 200 bytes each, 20 MiB in all, and 500 new registrations per second.
pub const CODES_MAX: usize = 100_000;

/// Subjects of rates that are remembered, some 150 bytes each, 30 MiB in all. A subject is forgotten as soon as it may do
/// again all that it may, so only floods come near; then those that have done least are forgotten first.
pub const SUBJECTS_MAX: usize = 200_000;

/// Subjects that are compared when one is to be forgotten: the choice need not be the best.
pub const SUBJECTS_SAMPLED: usize = 8;

/// How often at most all subjects, or all codes, are looked through for those that are over: it takes milliseconds.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A new code for the same address: nobody asks again sooner who has looked into the mailbox.
pub const CODE_RESEND: Rate = Rate::new("code_resend", 1, Duration::from_secs(20));

/// Codes for one address: nobody's mailbox is to be flooded, and each brings a guesser [`CODE_ATTEMPTS_MAX`] tries.
pub const CODES_PER_ADDRESS: Rate = Rate::new("codes_per_address", 5, Duration::from_secs(360));

/// Codes that one client asks for: a household, or a class behind one address, may register at once.
pub const CODES_PER_CLIENT: Rate = Rate::new("codes_per_client", 20, Duration::from_secs(30));

/// Wrong codes for one address, whichever code they were for: 250 tries a day at one of a million.
pub const CODE_TRIES: Rate = Rate::new("code_tries", 10, Duration::from_secs(360));

/// Wrong passwords for one account in a row; then it is locked but for one try in each interval. 1,000 guesses a day find no
/// password that keeps the rules, and a person who has forgotten it waits for a minute and a half.
pub const WRONG_PASSWORDS_PER_ACCOUNT: Rate =
    Rate::new("wrong_passwords_per_account", 10, Duration::from_secs(90));

/// Wrong passwords and wrong codes of one client, whichever accounts they were for: who tries one password with many
/// names. Right ones are not counted, so that an office behind one address logs in as it likes.
pub const FAILURES_PER_CLIENT: Rate = Rate::new("failures_per_client", 50, Duration::from_secs(10));

/// Questions of one client whether an account exists: enough for people who mistype, useless for collecting names.
pub const LOOKUPS_PER_CLIENT: Rate = Rate::new("lookups_per_client", 10, Duration::from_secs(30));

/// All of these that an operator may change.
pub const RATES: [Rate; 7] = [
    CODE_RESEND,
    CODES_PER_ADDRESS,
    CODES_PER_CLIENT,
    CODE_TRIES,
    WRONG_PASSWORDS_PER_ACCOUNT,
    FAILURES_PER_CLIENT,
    LOOKUPS_PER_CLIENT,
];

/// Changed passwords whose sessions are still to be ended somewhere: all of a long outage of the balancer.
pub const ENDS_FOLLOWED_MAX: usize = 1024;

/// How often the balancer is asked whether every node has ended a user's sessions.
pub const ENDS_FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// How long it is asked: as long as it remembers an order itself.
pub const ENDS_FOLLOWED_FOR: Duration = balancer::limits::ENDS_KEPT;

/// Accounts that one provision may make: a bound against a slip of the hand.
pub const PROVISION_MAX: u64 = 10_000_000;

/// Accounts that are hashed and handed to the store at a time.
pub const PROVISION_CHUNK: usize = 4_096;

/// Programs that deliver verification codes at one time: a process each.
pub const DELIVERIES_MAX: usize = 16;

/// Time for one of them: below [`REQUEST_TIMEOUT`], so that the client gets the reason.
pub const DELIVERY_DEADLINE: Duration = Duration::from_secs(8);

/// Mails that wait or are on their way to the mail server: a few KiB each; at [`MAIL_SENDERS`] of them at a time it is
/// what goes out within the life of a code.
pub const MAILS_MAX: usize = 1024;

/// Mails on their way at one time, a connection each: mail servers take few from one client.
pub const MAIL_SENDERS: usize = 4;

/// How long one command of a mail server may take.
pub const MAIL_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// One attempt to hand a mail over, connection and all: eight commands, of which none may take long.
pub const MAIL_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The first pause after an attempt that may be repeated; it doubles up to [`MAIL_PAUSE_MAX`].
pub const MAIL_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
pub const MAIL_PAUSE_MAX: Duration = Duration::from_secs(30);

/// No attempt is begun beyond this: the code in the mail would be of little use when it is read.
pub const MAIL_LIFE: Duration = Duration::from_secs(150);

/// How long a server that ends waits for mails that are on their way.
pub const MAIL_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A file with a password or a certificate is at most so long: a wrong path must not be read whole.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// One call to a verification server of its own that makes no mail.
pub const VERIFY_DEADLINE: Duration = Duration::from_secs(2);

/// One call that makes a mail: longer than a delivery program may take.
pub const VERIFY_SEND_DEADLINE: Duration = Duration::from_secs(9);

/// How long connecting to a verification server may take.
pub const VERIFY_CONNECT_TIMEOUT: Duration = Duration::from_millis(800);

/// A message of a verification server's protocol: an address and a code.
pub const VERIFY_MESSAGE_BYTES_MAX: usize = 4 * 1024;

const _: () = assert!(PLACE_DEADLINE.as_secs() < REQUEST_TIMEOUT.as_secs());
const _: () = assert!(VERIFY_SEND_DEADLINE.as_secs() < REQUEST_TIMEOUT.as_secs());
const _: () = assert!(DELIVERY_DEADLINE.as_secs() < VERIFY_SEND_DEADLINE.as_secs());
const _: () = assert!(BODY_TIMEOUT.as_secs() + REQUEST_TIMEOUT.as_secs() < DRAIN_TIMEOUT.as_secs());
const _: () =
    assert!(BALANCER_DEADLINE.as_millis() < 1000 && UNREACHABLE_PATIENCE.as_millis() < 1000);
const _: () = assert!(MAIL_LIFE.as_secs() < CODE_TTL.as_secs());
