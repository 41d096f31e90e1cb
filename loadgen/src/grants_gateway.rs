//! Grants from the gateway: each connection's account logs in with its password over HTTP, as a client does.
//!
//! Owns a thread with the HTTP client, so that the engine's thread never waits: requests and grants pass through bounded
//! queues. A login that finds no free node or a busy gateway is tried again; every other refusal is a failed login with
//! its reason.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use wire::UserId;

use crate::http::{Http, HttpError};
use crate::plan::{Grant, GrantSource};

/// Logins under way at once: enough to keep a gateway of a few cores busy over loopback, few enough that a login waits
/// for others for milliseconds.
const CONCURRENT_MAX: usize = 64;
/// Requests and grants that wait between the threads; what does not fit waits at the engine's side, which never has
/// more than one request for each connection.
const QUEUE_MAX: usize = 4_096;
/// One request's deadline.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long a login is tried again.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// Waits between tries grow from the first to the second.
const RETRY_WAIT: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];
/// The gateway's number for "no chat server": its nodes may just be registering.
const ERROR_NO_NODE: i64 = 10;

/// The accounts of a load: `load0`, `load1` ... with one password.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// What each name begins with.
    pub prefix: String,
    /// The password of all.
    pub password: String,
}

#[derive(Serialize)]
struct Login<'a> {
    username: &'a str,
    password: &'a str,
}

/// The gateway's answer; ports and ids are strings there, as clients of the older protocol expect.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    error: i64,
    uuid: String,
    host: String,
    port: String,
    token: String,
}

type Granted = Result<Grant, (u32, String)>;

/// The source.
#[derive(Debug)]
pub struct GatewayGrants {
    requests: Option<mpsc::Sender<u32>>,
    waiting: VecDeque<u32>,
    granted: mpsc::Receiver<Granted>,
    thread: Option<JoinHandle<()>>,
}

impl GatewayGrants {
    /// Starts the thread that logs in at `gateway`.
    ///
    /// # Errors
    /// When the URL is no gateway's or the thread cannot be started.
    pub fn start(gateway: &Uri, accounts: Accounts) -> anyhow::Result<Self> {
        let base = gateway.to_string();
        let login = format!("{}/trylogin_server", base.trim_end_matches('/')).parse::<Uri>().ok();
        let reachable = |uri: &Uri| uri.scheme_str() == Some("http") && uri.authority().is_some();
        let login = login.filter(reachable).with_context(|| {
            format!("`{gateway}` is no gateway that can be reached: write http://HOST:PORT")
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (requests, asked) = mpsc::channel(QUEUE_MAX);
        let (grants, granted) = mpsc::channel(QUEUE_MAX);
        let desk = Arc::new(Desk { http: Http::new(CONCURRENT_MAX), login, accounts });
        let thread = std::thread::Builder::new()
            .name("lg-logins".into())
            .spawn(move || runtime.block_on(serve(desk, asked, grants)))
            .context("starting the login thread")?;
        Ok(Self {
            requests: Some(requests),
            waiting: VecDeque::new(),
            granted,
            thread: Some(thread),
        })
    }

    fn hand_over(&mut self) {
        let Some(requests) = &self.requests else { return };
        while let Some(index) = self.waiting.front() {
            if requests.try_send(*index).is_err() {
                break;
            }
            self.waiting.pop_front();
        }
    }
}

impl GrantSource for GatewayGrants {
    fn request(&mut self, index: u32) {
        self.waiting.push_back(index);
        self.hand_over();
    }

    fn poll(&mut self) -> Option<Granted> {
        let granted = self.granted.try_recv().ok();
        if !self.waiting.is_empty() {
            self.hand_over();
        }
        granted
    }
}

impl Drop for GatewayGrants {
    fn drop(&mut self) {
        // Both ends go, so that the thread stops whichever it waits for; what is under way is cancelled with it.
        self.requests = None;
        self.granted.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic there was printed there.
        }
    }
}

async fn serve(desk: Arc<Desk>, mut asked: mpsc::Receiver<u32>, grants: mpsc::Sender<Granted>) {
    let slots = Arc::new(Semaphore::new(CONCURRENT_MAX));
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((asked.recv().await?, slot))
        };
        let next = tokio::select! {
            next = next => next,
            () = grants.closed() => None,
        };
        let Some((index, slot)) = next else { return };
        let (desk, grants) = (Arc::clone(&desk), grants.clone());
        tokio::spawn(async move {
            let granted = desk.log_in(index).await.map_err(|reason| (index, reason));
            let _ = grants.send(granted).await; // The engine has gone: nobody needs it.
            drop(slot);
        });
    }
}

struct Desk {
    http: Http,
    login: Uri,
    accounts: Accounts,
}

/// Why a login brought nothing, and whether another try may.
struct Refused {
    reason: String,
    again: bool,
}

impl Desk {
    /// Logs one account in, again as long as that may help.
    async fn log_in(&self, index: u32) -> Result<Grant, String> {
        let username = format!("{}{index}", self.accounts.prefix);
        let login = Login { username: &username, password: &self.accounts.password };
        let body = serde_json::to_vec(&login).map_err(|error| error.to_string())?;
        let body = Bytes::from(body);
        let end = Instant::now() + LOGIN_DEADLINE;
        let [mut wait, wait_max] = RETRY_WAIT;
        loop {
            match self.try_once(index, body.clone()).await {
                Ok(grant) => return Ok(grant),
                Err(refused) if refused.again && Instant::now() + wait < end => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(wait_max);
                }
                Err(refused) => return Err(refused.reason),
            }
        }
    }

    async fn try_once(&self, index: u32, body: Bytes) -> Result<Grant, Refused> {
        let answer =
            self.http.post(&self.login, body, REQUEST_DEADLINE).await.map_err(|error| {
                let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
                let again = match &error {
                    HttpError::Status(status) => busy.contains(status),
                    HttpError::Transport(_) => true,
                    HttpError::Deadline(_) | HttpError::Body(_) => false,
                };
                Refused { reason: format!("gateway: {error}"), again }
            })?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| Refused {
            reason: "gateway: the answer is no JSON of a gateway".into(),
            again: false,
        })?;
        grant(index, &answer)
    }
}

fn grant(index: u32, answer: &Answer) -> Result<Grant, Refused> {
    let refuse = |reason: String, again| Refused { reason, again };
    match answer.error {
        0 => {}
        ERROR_NO_NODE => {
            return Err(refuse("gateway: error 10, no chat node is available".into(), true));
        }
        17 => {
            let reason = "gateway: error 17, wrong name or password: are the accounts provisioned?";
            return Err(refuse(reason.into(), false));
        }
        number => return Err(refuse(format!("gateway: error {number}"), false)),
    }
    let wrong =
        |field: &str| refuse(format!("gateway: the answer's {field} cannot be used"), false);
    let user = answer.uuid.parse().map_err(|_| wrong("uuid"))?;
    let host: Ipv4Addr =
        answer.host.parse().map_err(|_| wrong("host (an IPv4 address is needed)"))?;
    let port: u16 = answer.port.parse().map_err(|_| wrong("port"))?;
    let token = URL_SAFE_NO_PAD.decode(&answer.token).map_err(|_| wrong("token"))?;
    Ok(Grant { index, user: UserId(user), address: SocketAddrV4::new(host, port), token })
}

#[cfg(test)]
#[path = "grants_gateway_tests.rs"]
mod tests;
