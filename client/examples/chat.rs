//! A chat client for scripts: commands on standard input, a line on standard output for each thing that happens.
//!
//! ```text
//! cargo run -p client --example chat -- 127.0.0.1:4001 TOKEN
//! ```
//! `TOKEN` is what the gateway gave, as it gave it. Commands: `me`, `find NAME`, `request USER WORDS`, `confirm USER`,
//! `decline USER`, `friends`, `text USER WORDS`, `texts USER A|B|C`, `pull USER`, `inbox`, `read USER SEQ`, `revoke USER SEQ`,
//! `group NAME`, `add GROUP USER`, `remove GROUP USER`, `join GROUP`, `say GROUP WORDS`, `members GROUP`,
//! `call USER WORDS`, `logout`. A room or group is its number; a refused command says `rejected` and why.

use std::io::BufRead;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::Follow;
use client::blocking::{Arrival, Client, Error, news_of};
use wire::{
    AddMember, ClientMessageId, ConfirmFriend, ConversationId, CreateGroup, DeclineFriend,
    FindUsers, Friends, Inbox, MarkRead, Members, News, RemoveMember, RequestFriend, Revoke,
    RoomId, Seq, Service, SignalCall, UserId,
};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one look for news takes, between two looks for commands.
const LOOK: Duration = Duration::from_millis(20);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(address), Some(token)) = (words.next(), words.next()) else {
        return Err("say where the node is, and the token: chat 127.0.0.1:4001 TOKEN".into());
    };
    let mut client = Client::connect(address, Follow::Now, PATIENCE)?;
    let welcome = client.login(&URL_SAFE_NO_PAD.decode(token)?)?;
    println!("welcome {}", welcome.user.0);
    let commands = read_commands();
    // Numbers of one's own messages: unlike those of any session before.
    let mut chat = Chat { client, user: welcome.user, number: welcome.epoch.0 << 32 };
    loop {
        match commands.try_recv() {
            Ok(line) if line == "logout" => {
                chat.client.logout()?;
                println!("goodbye logout");
                return Ok(());
            }
            Ok(line) => match chat.command(&line) {
                Ok(()) => {}
                Err(error) => println!("rejected {line}: {error}"),
            },
            Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            Err(mpsc::TryRecvError::Empty) => match chat.client.recv(LOOK) {
                Ok(Some(arrival)) => tell(&arrival),
                Ok(None) => {}
                Err(Error::Goodbye { reason, .. }) => {
                    let reason = reason.map_or("unknown", wire::CloseReason::label);
                    println!("goodbye {reason}");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
        }
    }
}

/// Lines of standard input, read by a thread of their own.
fn read_commands() -> mpsc::Receiver<String> {
    let (sender, commands) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
            if sender.send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    commands
}

struct Chat {
    client: Client,
    user: UserId,
    number: u64,
}

impl Chat {
    fn command(&mut self, line: &str) -> Result<()> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let number = || first.parse::<u64>().map_err(|_| format!("{first:?} is no number"));
        let seq = || words.parse().map(Seq).map_err(|_| format!("{words:?} is no number"));
        match verb {
            "text" => self.text(UserId(number()?), words),
            "texts" => self.texts(UserId(number()?), words),
            "say" => self.say(RoomId(number()?), words),
            "join" => {
                let joined = self.client.join(RoomId(number()?))?;
                println!("joined {} head {}", joined.room.0, joined.head.0);
                Ok(())
            }
            "pull" => self.pull(ConversationId::private(self.user, UserId(number()?))),
            "history" => self.pull(ConversationId::room(RoomId(number()?))),
            "call" => {
                let (to, body) = (UserId(number()?), words.as_bytes());
                self.client.signal_call(SignalCall { to, call: 1, signal: 1, body })?;
                println!("done call");
                Ok(())
            }
            "read" | "revoke" => {
                let conversation = ConversationId::private(self.user, UserId(number()?));
                let seq = seq()?;
                let service = if verb == "read" {
                    Service::MarkRead(MarkRead { conversation, seq })
                } else {
                    Service::Revoke(Revoke { conversation, seq })
                };
                self.serve(verb, service)
            }
            "add" | "remove" => {
                let group = RoomId(number()?);
                let user = UserId(words.parse().map_err(|_| format!("{words:?} is no number"))?);
                let service = if verb == "add" {
                    Service::AddMember(AddMember { group, user, role: 0 })
                } else {
                    Service::RemoveMember(RemoveMember { group, user })
                };
                self.serve(verb, service)
            }
            _ => self.people(verb, rest, number().map(UserId), words),
        }
    }

    fn people(
        &mut self,
        verb: &str,
        rest: &str,
        user: std::result::Result<UserId, String>,
        words: &str,
    ) -> Result<()> {
        let (after, limit) = (UserId(0), 100);
        let service = match verb {
            "me" => Service::Me,
            "friends" => Service::Friends(Friends { after, limit }),
            "inbox" => Service::Inbox(Inbox { after: ConversationId::default(), limit }),
            "find" => {
                let username = rest.as_bytes();
                Service::FindUsers(FindUsers { after, limit, is_exact: 0, username })
            }
            "request" => {
                let (to, note) = (user?, words.as_bytes());
                Service::RequestFriend(RequestFriend { to, alias: b"", note })
            }
            "confirm" => Service::ConfirmFriend(ConfirmFriend { from: user?, alias: b"" }),
            "decline" => Service::DeclineFriend(DeclineFriend { from: user? }),
            "group" => Service::CreateGroup(CreateGroup { name: rest.as_bytes() }),
            "members" => Service::Members(Members { group: RoomId(user?.0), after, limit }),
            _ => return Err(format!("no such command: {verb}").into()),
        };
        self.serve(verb, service)
    }

    fn serve(&mut self, verb: &str, service: Service<'_>) -> Result<()> {
        let answered = self.client.serve(service)?;
        answered.news().for_each(|news| println!("{}", line_of(&news)));
        println!("done {verb}");
        Ok(())
    }

    fn next_number(&mut self) -> ClientMessageId {
        self.number += 1;
        ClientMessageId(self.number)
    }

    fn text(&mut self, to: UserId, body: &str) -> Result<()> {
        let number = self.next_number();
        let acked = self.client.send_text(to, number, body)?;
        println!("acked {} seq {}", to.0, acked.seq.0);
        Ok(())
    }

    fn texts(&mut self, to: UserId, bodies: &str) -> Result<()> {
        let texts: Vec<_> = bodies.split('|').map(|body| (self.next_number(), body)).collect();
        for acked in self.client.send_texts(to, &texts)? {
            println!("acked {} seq {}", to.0, acked.seq.0);
        }
        Ok(())
    }

    fn say(&mut self, room: RoomId, body: &str) -> Result<()> {
        let number = self.next_number();
        let acked = self.client.send_room(room, number, body)?;
        println!("acked {} seq {}", room.0, acked.seq.0);
        Ok(())
    }

    fn pull(&mut self, conversation: ConversationId) -> Result<()> {
        let page = self.client.pull(conversation, Seq(0), 256)?;
        for message in page.messages {
            let body = String::from_utf8_lossy(&message.body);
            println!("history {} from {}: {body}", message.seq.0, message.from.0);
        }
        println!("done pull");
        Ok(())
    }
}

fn tell(arrival: &Arrival) {
    match arrival {
        Arrival::Text(text) => {
            let place = match text.conversation.as_room() {
                Some(room) => format!(" in {}", room.0),
                None => String::new(),
            };
            let body = String::from_utf8_lossy(&text.body);
            println!("text {} from {}{place}: {body}", text.seq.0, text.from.0);
        }
        Arrival::Lost { first, last, .. } => println!("lost {} to {}", first.0, last.0),
        Arrival::News(frame) => {
            if let Some(news) = news_of(frame) {
                println!("{}", line_of(&news));
            }
        }
    }
}

/// News as a line: its kind, whom or what it is about, and its words.
fn line_of(news: &News<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match news {
        News::Done(_) => "done".to_owned(),
        News::Profile(p) => format!("profile {} {}", p.user.0, text(p.username)),
        News::Friend(f) => format!("friend {} {}", f.user.0, text(f.username)),
        News::FriendRequested(r) => {
            format!("requested by {} {}: {}", r.from.0, text(r.username), text(r.note))
        }
        News::Befriended(b) => format!("befriended {} {}", b.user.0, text(b.username)),
        News::Unfriended(u) => format!("unfriended {}", u.user.0),
        News::InboxItem(i) => {
            format!("inbox {} head {} unread {}", text(i.name), i.head.0, i.unread)
        }
        News::ReadUpTo(r) => format!("read by {} up to {}", r.user.0, r.seq.0),
        News::Revoked(r) => format!("revoked {} by {}", r.seq.0, r.by.0),
        News::Group(g) => format!("group {} {}", g.group.0, text(g.name)),
        News::Member(m) => format!("member {} {} role {}", m.user.0, text(m.username), m.role),
        News::MemberChanged(m) => {
            let what = if m.is_member == 1 { "in" } else { "out of" };
            format!("member {} is {what} {} {}", m.user.0, m.group.0, text(m.name))
        }
        News::CallSignal(c) => format!("call from {}: {}", c.from.0, text(c.body)),
    }
}
