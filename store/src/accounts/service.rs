//! The accounts behind two bounded queues: one thread writes, many requests per commit; others read.
//!
//! Owns the threads. Must never answer a write before its commit, and never lets a queue grow beyond its bound: a caller
//! that finds it full is told `Busy` at once.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wire::{Epoch, UserId};

use super::book::{Base, Book, Failed, Step};
use super::{Account, NewAccount, Registered, Taken, schema};
use crate::database::{Link, Options};
use crate::error::{Error, Result};
use crate::limits;
use crate::mysql::{self, MysqlOptions};

/// The running threads.
#[derive(Debug)]
pub struct AccountsService {
    handle: AccountsHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Asks the service. Cheap to clone.
///
/// Every method takes a `reply`, which is called once on a thread of the service, so it must not block; a channel's
/// `send` is what it is for. Each returns `Busy` at once, without calling it, if the queue is full or the service has
/// stopped. A reply that is dropped uncalled means that the service has stopped meanwhile.
#[derive(Clone, Debug)]
pub struct AccountsHandle {
    writes: SyncSender<Message>,
    reads: SyncSender<Message>,
    fault: Arc<Mutex<Option<Error>>>,
}

enum Message {
    Work(Box<dyn Request>),
    Stop,
}

/// One request: worked on in a transaction, perhaps twice, answered after it.
trait Request: Send {
    fn apply(&mut self, book: &mut dyn Book) -> Step<()>;
    fn answer(self: Box<Self>, done: Result<()>);
}

struct Task<W, T, R> {
    work: W,
    value: Option<T>,
    reply: R,
}

impl<W, T, R> Request for Task<W, T, R>
where
    W: FnMut(&mut dyn Book) -> Step<T> + Send,
    T: Send,
    R: FnOnce(Result<T>) + Send,
{
    fn apply(&mut self, book: &mut dyn Book) -> Step<()> {
        self.value = Some((self.work)(book)?);
        Ok(())
    }

    fn answer(self: Box<Self>, done: Result<()>) {
        let Self { value, reply, .. } = *self;
        reply(done.and_then(|()| value.ok_or_else(|| Error::busy("not worked on"))));
    }
}

impl AccountsService {
    /// Opens the file and starts the threads.
    ///
    /// # Errors
    /// As `Accounts::open`, and `Busy` if no thread could be started.
    pub fn start(options: &Options) -> Result<Self> {
        let writer = Link::write(options, schema::ACCOUNTS)?;
        let reader = Link::read(options)?;
        Self::over(Box::new(writer), vec![Box::new(reader)])
    }

    /// The same over a database that speaks the MySQL protocol, with some connections that read.
    ///
    /// # Errors
    /// As `Accounts::open_mysql`, and `Busy` if no thread could be started.
    pub fn start_mysql(options: &MysqlOptions) -> Result<Self> {
        let open = || -> Result<Box<dyn Base>> { Ok(Box::new(mysql::Accounts::open(options)?)) };
        // On a thread of its own: the caller may be within a runtime, which bears no second one.
        let opened = thread::scope(|scope| {
            let all = || (0..=limits::MYSQL_ACCOUNT_READERS).map(|_| open()).collect();
            let opening = thread::Builder::new().name("accounts-open".to_owned());
            let opened: Result<Vec<_>> = opening
                .spawn_scoped(scope, all)?
                .join()
                .map_err(|_| Error::busy("opening the accounts has failed"))?;
            opened
        });
        let mut readers = opened?;
        let writer = readers.pop().ok_or_else(|| Error::busy("no connection"))?;
        Self::over(writer, readers)
    }

    fn over(writer: Box<dyn Base>, readers: Vec<Box<dyn Base>>) -> Result<Self> {
        let (writes, write_queue) = sync_channel(limits::ACCOUNT_REQUESTS_MAX);
        let (reads, read_queue) = sync_channel(limits::ACCOUNT_REQUESTS_MAX);
        let fault = Arc::new(Mutex::new(None));
        let handle = AccountsHandle { writes, reads, fault: Arc::clone(&fault) };
        let mut service = Self { handle, threads: Vec::new() };
        service.spawn("accounts-write", move || serve_writes(writer, &write_queue, &fault))?;
        let read_queue = Arc::new(Mutex::new(read_queue));
        for reader in readers {
            let queue = Arc::clone(&read_queue);
            service.spawn("accounts-read", move || serve_reads(reader, &queue))?;
        }
        Ok(service)
    }

    /// For those who ask.
    #[must_use]
    pub fn handle(&self) -> AccountsHandle {
        self.handle.clone()
    }

    /// Answers all that was asked before, then ends the threads. Dropping does the same.
    pub fn stop(self) {
        drop(self);
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }
}

impl Drop for AccountsService {
    fn drop(&mut self) {
        let _ = self.handle.writes.send(Message::Stop); // The thread has ended already.
        for _ in 1..self.threads.len() {
            let _ = self.handle.reads.send(Message::Stop); // Each takes one; as above.
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // Its panic has been printed; the other thread is still to be ended.
        }
    }
}

impl AccountsHandle {
    /// As [`super::Accounts::register`].
    ///
    /// # Errors
    /// `Busy` if the queue is full, `Refused` for texts out of bounds; `reply` is not called then.
    pub fn register(
        &self,
        account: NewAccount,
        reply: impl FnOnce(Result<Registered>) + Send + 'static,
    ) -> Result<()> {
        super::check(&account)?;
        let register = move |book: &mut dyn Book| {
            let made = book.register(std::slice::from_ref(&account))?;
            made.into_iter().next().ok_or(Failed)
        };
        post(&self.writes, register, reply)
    }

    /// As [`super::Accounts::raise_epoch`].
    ///
    /// # Errors
    /// `Busy` if the queue is full; `reply` is not called then.
    pub fn raise_epoch(
        &self,
        user: UserId,
        checked_phc: String,
        reply: impl FnOnce(Result<Option<Epoch>>) + Send + 'static,
    ) -> Result<()> {
        post(&self.writes, move |book| book.raise_epoch(user, &checked_phc), reply)
    }

    /// As [`super::Accounts::set_password`].
    ///
    /// # Errors
    /// `Busy` if the queue is full, `Refused` for a record out of bounds; `reply` is not called then.
    pub fn set_password(
        &self,
        user: UserId,
        phc: String,
        reply: impl FnOnce(Result<Option<Epoch>>) + Send + 'static,
    ) -> Result<()> {
        super::check_text(&phc)?;
        post(&self.writes, move |book| book.set_password(user, &phc), reply)
    }

    /// As [`super::Accounts::find`].
    ///
    /// # Errors
    /// `Busy` if the queue is full; `reply` is not called then.
    pub fn find(
        &self,
        username: String,
        reply: impl FnOnce(Result<Option<Account>>) + Send + 'static,
    ) -> Result<()> {
        post(&self.reads, move |book| book.find(&username), reply)
    }

    /// As [`super::Accounts::find_by_email`].
    ///
    /// # Errors
    /// `Busy` if the queue is full; `reply` is not called then.
    pub fn find_by_email(
        &self,
        email: String,
        reply: impl FnOnce(Result<Option<Account>>) + Send + 'static,
    ) -> Result<()> {
        post(&self.reads, move |book| book.find_by_email(&email), reply)
    }

    /// As [`super::Accounts::taken`].
    ///
    /// # Errors
    /// `Busy` if the queue is full; `reply` is not called then.
    pub fn taken(
        &self,
        username: String,
        email: String,
        reply: impl FnOnce(Result<Option<Taken>>) + Send + 'static,
    ) -> Result<()> {
        post(&self.reads, move |book| book.taken(&username, &email), reply)
    }

    /// Why the last commit failed; `None` once one, or a probe of the disk, has succeeded again. For health pages.
    #[must_use]
    pub fn fault(&self) -> Option<Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn post<T: Send + 'static>(
    queue: &SyncSender<Message>,
    work: impl FnMut(&mut dyn Book) -> Step<T> + Send + 'static,
    reply: impl FnOnce(Result<T>) + Send + 'static,
) -> Result<()> {
    let task = Task { work, value: None, reply };
    queue.try_send(Message::Work(Box::new(task))).map_err(|error| match error {
        TrySendError::Full(_) => Error::busy("too many requests to the accounts are waiting"),
        TrySendError::Disconnected(_) => Error::busy("the accounts service has stopped"),
    })
}

/// Takes what waits; waits for it itself, at most for a time if one is given. `false` when the service stops.
fn gather(
    queue: &Receiver<Message>,
    group: &mut Vec<Box<dyn Request>>,
    patience: Option<Duration>,
) -> bool {
    let mut next = match patience.map(|patience| queue.recv_timeout(patience)) {
        None => queue.recv().ok(),
        Some(Err(RecvTimeoutError::Timeout)) => return true,
        Some(message) => message.ok(),
    };
    while let Some(message) = next {
        match message {
            Message::Work(request) => group.push(request),
            Message::Stop => return false,
        }
        next = if group.len() < limits::ACCOUNT_GROUP_MAX { queue.try_recv().ok() } else { None };
    }
    !group.is_empty()
}

fn serve_writes(mut base: Box<dyn Base>, queue: &Receiver<Message>, fault: &Mutex<Option<Error>>) {
    let mut group: Vec<Box<dyn Request>> = Vec::new();
    let mut is_running = true;
    // While writing fails, the disk is probed when nobody asks for anything: whoever looks at the health page and sends
    // no logins here because it is red would wait for ever otherwise.
    let mut pause = None;
    while is_running {
        is_running = gather(queue, &mut group, pause);
        if group.is_empty() && !is_running {
            return;
        }
        let done = if group.is_empty() {
            base.probe()
        } else {
            // One transaction for all of them.
            base.write(&mut |book| group.iter_mut().try_for_each(|request| request.apply(book)))
        };
        pause = match &done {
            Ok(()) => None,
            Err(_) => Some(pause.map_or(limits::PROBE_PAUSE_MIN, |pause: Duration| {
                (pause * 2).min(limits::PROBE_PAUSE_MAX)
            })),
        };
        *fault.lock().unwrap_or_else(PoisonError::into_inner) = done.clone().err();
        for request in group.drain(..) {
            request.answer(done.clone());
        }
    }
}

fn serve_reads(mut base: Box<dyn Base>, queue: &Mutex<Receiver<Message>>) {
    loop {
        // Whoever waits holds the queue; the others wait for that.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Message::Work(mut request)) = next else { return };
        let done = base.read(&mut |book| request.apply(book));
        request.answer(done);
    }
}
