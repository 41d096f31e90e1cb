//! Friends: requests, answers, and lists.

use store::Answer;
use wire::{
    ConfirmFriend, ConversationId, DeclineFriend, FriendRequests, Friends, News, Reject,
    RemoveFriend, RequestFriend, Service, UserId,
};

use crate::ground::Kind;
use crate::shop::{Heard, Shop, end, events, told};

fn request(to: UserId) -> Service<'static> {
    Service::RequestFriend(RequestFriend { to, alias: b"Bobby", note: b"It is me, Alice" })
}

fn confirm(from: UserId) -> Service<'static> {
    Service::ConfirmFriend(ConfirmFriend { from, alias: b"Al" })
}

const FRIENDS: Service<'_> = Service::Friends(Friends { after: UserId(0), limit: 256 });
const REQUESTS: Service<'_> =
    Service::FriendRequests(FriendRequests { after: UserId(0), limit: 256 });

/// Each friend with the name that the asker has for them.
fn friends(answer: &Answer) -> Vec<(UserId, String)> {
    let friend = |event| match event {
        Heard::News(News::Friend(friend)) => {
            Some((friend.user, String::from_utf8(friend.alias.to_vec()).expect("a name")))
        }
        _ => None,
    };
    events(&answer.frames).filter_map(friend).collect()
}

/// Who asks, and with what word.
fn askers(answer: &Answer) -> Vec<(UserId, String)> {
    let asker = |event| match event {
        Heard::News(News::FriendRequested(asked)) => {
            Some((asked.from, String::from_utf8(asked.note.to_vec()).expect("a word")))
        }
        _ => None,
    };
    events(&answer.frames).filter_map(asker).collect()
}

fn two_become_friends(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let asked = shop.granted(alice, request(bob));
    let [Heard::News(News::FriendRequested(pushed))] = told(&asked, bob)[..] else {
        panic!("bob hears of it")
    };
    assert_eq!(
        (pushed.from, pushed.username, pushed.note),
        (alice, &b"alice"[..], &b"It is me, Alice"[..])
    );
    assert!(told(&asked, alice).is_empty());
    let waiting = shop.granted(bob, REQUESTS);
    assert_eq!(askers(&waiting), [(alice, "It is me, Alice".to_owned())]);

    let confirmed = shop.granted(bob, confirm(alice));
    let conversation = ConversationId::private(alice, bob);
    for (one, other, alias) in [(alice, bob, &b"Bobby"[..]), (bob, alice, b"Al")] {
        let [Heard::News(News::Befriended(befriended)), Heard::Text(first), Heard::Text(second)] =
            told(&confirmed, one)[..]
        else {
            panic!("both hear of it, with two greetings")
        };
        assert_eq!((befriended.user, befriended.alias), (other, alias));
        assert_eq!(befriended.conversation, conversation);
        assert_eq!((first.seq.0, first.from, first.body), (1, alice, &b"It is me, Alice"[..]));
        assert_eq!((second.seq.0, second.from), (2, bob));
    }
    let greetings = shop.texts(conversation);
    assert_eq!(greetings.len(), 2, "what was told is stored: {greetings:?}");
    let of_alice = shop.granted(alice, FRIENDS);
    assert_eq!(friends(&of_alice), [(bob, "Bobby".to_owned())]);
    let of_bob = shop.granted(bob, FRIENDS);
    assert_eq!(friends(&of_bob), [(alice, "Al".to_owned())]);
    assert!(askers(&shop.granted(bob, REQUESTS)).is_empty());
    assert_eq!(shop.refused(bob, confirm(alice)), Reject::NotFound, "once");
    assert_eq!(shop.refused(alice, request(bob)), Reject::Exists);
    assert_eq!(shop.refused(bob, request(alice)), Reject::Exists);
}

fn greetings_take_the_next_places_of_what_was_said_before(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let conversation = ConversationId::private(alice, bob);
    shop.say(alice, conversation, "before");
    shop.befriend(alice, bob);
    let after = shop.say(bob, conversation, "after");
    assert_eq!(after.0, 4);
    let seqs: Vec<u64> = shop.texts(conversation).iter().map(|(seq, ..)| *seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

fn a_request_waits_once_and_can_be_refused(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    shop.granted(alice, request(bob));
    let again = shop.granted(alice, request(bob));
    assert!(told(&again, bob).is_empty(), "nobody is asked twice");
    assert_eq!(askers(&shop.granted(bob, REQUESTS)).len(), 1);
    let decline = Service::DeclineFriend(DeclineFriend { from: alice });
    shop.granted(bob, decline);
    assert!(askers(&shop.granted(bob, REQUESTS)).is_empty());
    assert_eq!(shop.refused(bob, decline), Reject::NotFound);
    assert_eq!(shop.refused(bob, confirm(alice)), Reject::NotFound);
    let again = shop.granted(alice, request(bob));
    assert_eq!(told(&again, bob).len(), 1, "may ask again");
}

fn two_who_ask_each_other_are_friends_by_one_answer(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    shop.granted(alice, request(bob));
    shop.granted(bob, request(alice));
    shop.granted(alice, confirm(bob));
    assert_eq!(shop.refused(bob, confirm(alice)), Reject::NotFound);
    assert_eq!(friends(&shop.granted(bob, FRIENDS)).len(), 1);
    assert_eq!(friends(&shop.granted(alice, FRIENDS)).len(), 1);
}

fn nobody_asks_oneself_or_nobody(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    let before = shop.dump();
    assert_eq!(shop.refused(alice, request(alice)), Reject::Invalid);
    assert_eq!(shop.refused(alice, request(UserId(99))), Reject::NotFound);
    assert_eq!(shop.refused(alice, request(UserId(u64::MAX))), Reject::NotFound);
    assert_eq!(shop.refused(UserId(99), request(bob)), Reject::NotFound, "no account of one's own");
    assert_eq!(shop.refused(alice, confirm(bob)), Reject::NotFound);
    let alias = &b"two\nlines"[..];
    let bad = Service::RequestFriend(RequestFriend { to: bob, alias, note: b"" });
    assert_eq!(shop.refused(alice, bad), Reject::Invalid);
    assert_eq!(shop.dump(), before);
}

fn an_asker_cannot_confirm_for_the_other(on: Kind) {
    let (mut shop, [alice, bob, eve]) = Shop::with(on, ["alice", "bob", "eve"]);
    shop.granted(alice, request(bob));
    assert_eq!(shop.refused(alice, confirm(bob)), Reject::NotFound);
    assert_eq!(shop.refused(eve, confirm(alice)), Reject::NotFound);
    let decline = Service::DeclineFriend(DeclineFriend { from: alice });
    assert_eq!(shop.refused(eve, decline), Reject::NotFound);
}

fn a_friendship_ends_for_both(on: Kind) {
    let (mut shop, [alice, bob]) = Shop::with(on, ["alice", "bob"]);
    shop.befriend(alice, bob);
    let remove = Service::RemoveFriend(RemoveFriend { user: bob });
    let answer = shop.granted(alice, remove);
    assert!(matches!(
        told(&answer, bob)[..],
        [Heard::News(News::Unfriended(unfriended))] if unfriended.user == alice
    ));
    assert!(friends(&shop.granted(alice, FRIENDS)).is_empty());
    assert!(friends(&shop.granted(bob, FRIENDS)).is_empty());
    assert_eq!(shop.refused(alice, remove), Reject::NotFound);
    shop.granted(bob, request(alice));
}

fn lists_come_by_page(on: Kind) {
    let (mut shop, [alice]) = Shop::with(on, ["alice"]);
    let others: Vec<UserId> = (0..25).map(|n| shop.register(&format!("user{n}"))).collect();
    for other in &others {
        shop.granted(*other, request(alice));
    }
    let mut seen = Vec::new();
    let mut after = UserId(0);
    loop {
        let page = Service::FriendRequests(FriendRequests { after, limit: 10 });
        let answer = shop.granted(alice, page);
        seen.extend(askers(&answer).into_iter().map(|(user, _)| user));
        let end = end(&answer);
        after = UserId(end.next.first);
        if end.is_complete == 1 {
            break;
        }
    }
    assert_eq!(seen, others);
    for other in &others {
        shop.granted(alice, confirm(*other));
    }
    let ten = shop.granted(alice, Service::Friends(Friends { after: others[9], limit: 10 }));
    let users: Vec<UserId> = friends(&ten).into_iter().map(|(user, _)| user).collect();
    assert_eq!(users, others[10..20]);
    assert_eq!(end(&ten).is_complete, 0);
}

fn whoever_asks_everybody_is_stopped(on: Kind) {
    let (mut shop, [eve]) = Shop::with(on, ["eve"]);
    let most = store::limits::REQUESTS_MADE_MAX;
    for number in 0..most {
        let user = shop.register(&format!("user{number}"));
        shop.granted(eve, request(user));
    }
    let one_more = shop.register("onemore");
    assert_eq!(shop.refused(eve, request(one_more)), Reject::TooMany);
}

crate::on_every_backend!(
    two_become_friends,
    greetings_take_the_next_places_of_what_was_said_before,
    a_request_waits_once_and_can_be_refused,
    two_who_ask_each_other_are_friends_by_one_answer,
    nobody_asks_oneself_or_nobody,
    an_asker_cannot_confirm_for_the_other,
    a_friendship_ends_for_both,
    lists_come_by_page,
    whoever_asks_everybody_is_stopped,
);
