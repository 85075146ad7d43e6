//! Who may sign in to the chat server, in simulated time: brakes on guessing,
//! sessions, and the text of the users file.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use camera_agent::login::{
    Brakes, Credential, Hash, MOST_OF_ONE, MOST_TOKENS, MOST_WAIT, Remembered, SESSION, Sessions,
    Users, hash, name,
};
use camera_agent::room::Source;
use camera_agent::secret::Secret;
use camera_agent::wire::UserName;
use proptest::prelude::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn named(text: &str) -> UserName {
    name(text).expect("a name")
}

fn v4(number: u32) -> Source {
    Source::of(Ipv4Addr::from(0xC000_0000 + number).into())
}

/// "north", so cheap that a test may try it often.
fn north() -> Hash {
    Hash::parse(
        "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$\
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    )
    .expect("a hash")
}

/// What one passes in so long, failing each time and coming again as soon as it
/// may; and the waits that it was told.
fn guesses(
    brakes: &mut Brakes,
    who: &UserName,
    source: impl Fn(u32) -> Source,
    begin: Instant,
    during: Duration,
) -> (u32, Vec<Duration>) {
    let (mut now, mut tried, mut waits) = (begin, 0, Vec::new());
    while now < begin + during {
        match brakes.begin(who, source(tried), now) {
            Ok(_failed) => tried += 1,
            Err(wait) => {
                waits.push(wait);
                now += wait;
            }
        }
    }
    (tried, waits)
}

#[test]
fn each_failure_from_an_address_makes_the_next_wait_longer() {
    let mut brakes = Brakes::default();
    let begin = Instant::now();
    // Another name each time: it is the address that is slowed.
    let mut waits = Vec::new();
    let mut now = begin;
    for each in 0..20 {
        loop {
            match brakes.begin(&named(&format!("user{each}")), v4(1), now) {
                Ok(_failed) => break,
                Err(wait) => {
                    waits.push(wait.as_secs());
                    now += wait;
                }
            }
        }
    }
    let most = MOST_WAIT.as_secs();
    assert_eq!(waits[..9], [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    assert!(waits[9..].iter().all(|w| *w == most), "{waits:?}");
    // Another address is not slowed for it.
    assert!(brakes.begin(&named("user1"), v4(2), now).is_ok());
    let later = now + Duration::from_secs(3601);
    assert!(brakes.begin(&named("user1"), v4(1), later).is_ok());
}

#[test]
fn an_ipv6_network_is_one_address() {
    let mut brakes = Brakes::default();
    let now = Instant::now();
    let of = |last: u32| {
        let address = Ipv6Addr::from(0x2001_0db8_0001_0002_0000_0000_0000_0000 + u128::from(last));
        Source::of(address.into())
    };
    let passed = (0..1000u32).filter(|n| {
        brakes
            .begin(&named(&format!("user{n}")), of(*n), now)
            .is_ok()
    });
    assert_eq!(passed.count(), 5);
}

/// A name is tried from as many addresses as there are.
#[test]
fn a_name_is_tried_twice_a_minute_at_most_whoever_guesses_and_its_waits_stay_short() {
    let mut brakes = Brakes::default();
    let alice = named("alice");
    let (tried, waits) = guesses(&mut brakes, &alice, v4, Instant::now(), DAY);
    assert!((2880..2920).contains(&tried), "{tried} in a day");
    let longest = waits.iter().max().expect("waits");
    assert_eq!(*longest, Duration::from_secs(30));
}

#[test]
fn who_signed_in_from_an_address_before_is_not_slowed_by_what_others_guess() {
    let mut brakes = Brakes::default();
    let (alice, home, now) = (named("alice"), v4(7), Instant::now());
    let attempt = brakes.begin(&alice, home, now).expect("nothing yet");
    assert!(!attempt.is_known());
    brakes.succeeded(attempt);
    guesses(&mut brakes, &alice, |n| v4(100 + n), now, DAY);
    // And a camera there with a wrong password of its own.
    guesses(&mut brakes, &named("camera"), |_| home, now, DAY);
    // The wait of the last guess is not over.
    let later = now + DAY - Duration::from_secs(1);
    assert!(
        brakes.begin(&alice, v4(8), later).is_err(),
        "a stranger waits"
    );
    let attempt = brakes.begin(&alice, home, later).expect("no wait");
    assert!(attempt.is_known());
    brakes.succeeded(attempt);
    // Who guesses there, at that very name, is slowed as anywhere.
    let (tried, _) = guesses(&mut brakes, &alice, |_| home, later, DAY);
    assert!(tried < 300 + 10, "{tried} in a day");
}

#[test]
fn many_at_once_are_no_way_around_and_who_is_right_owes_nothing() {
    let mut brakes = Brakes::default();
    let (alice, now) = (named("alice"), Instant::now());
    let attempts: Vec<_> = (0..100)
        .filter_map(|_| brakes.begin(&alice, v4(1), now).ok())
        .collect();
    assert_eq!(attempts.len(), 5);
    attempts.into_iter().for_each(|a| brakes.take_back(a));
    assert!(brakes.is_empty());
    for _ in 0..1000 {
        let attempt = brakes.begin(&alice, v4(1), now).expect("never slowed");
        brakes.succeeded(attempt);
    }
    assert!(brakes.is_empty());
}

/// All who come by a proxy that nobody told of are one; the rest of the world
/// must not keep them out for minutes.
#[test]
fn what_comes_by_this_machine_waits_seconds() {
    let mut brakes = Brakes::default();
    let local = Source::of(Ipv4Addr::LOCALHOST.into());
    let (mut now, mut longest) = (Instant::now(), Duration::ZERO);
    for each in 0..500 {
        let who = named(&format!("user{each}"));
        while let Err(wait) = brakes.begin(&who, local, now) {
            longest = longest.max(wait);
            now += wait;
        }
    }
    assert_eq!(longest, Duration::from_secs(4));
}

#[test]
fn the_tables_are_bounded_and_who_guesses_most_stays_in_them() {
    let mut brakes = Brakes::default();
    let (alice, now) = (named("alice"), Instant::now());
    let (.., waits) = guesses(&mut brakes, &alice, |_| v4(1), now, DAY / 24);
    assert!(!waits.is_empty());
    let at = now + DAY / 24 - Duration::from_secs(1);
    for each in 0..6_000 {
        let _failed = brakes.begin(&named(&format!("user{each}")), v4(1000 + each), at);
    }
    assert!(brakes.len() <= 3 * 4096, "{}", brakes.len());
    assert!(brakes.begin(&alice, v4(1), at).is_err(), "not forgotten");
}

fn any_credential(users: &mut Users, who: &UserName) -> Credential {
    let token = users.add_token(who).expect("there is place");
    users.token(token.expose()).expect("it is good").1
}

#[test]
fn a_session_ends_when_it_is_idle_when_it_is_old_and_when_it_is_told() {
    let (mut users, mut sessions) = (Users::default(), Sessions::default());
    let (alice, begin) = (named("alice"), Instant::now());
    let credential = any_credential(&mut users, &alice);
    let always = |_: &UserName, _: &Credential| true;
    let (token, _) = sessions.begin(&alice, credential, begin);
    let token = token.expose();
    let found = sessions.find(token, begin).expect("there");
    assert_eq!((&found.user, found.credential), (&alice, credential));
    assert!(sessions.find("another", begin).is_none());
    // Used each day it lasts a month, and no longer.
    for day in 1..30 {
        assert!(sessions.find(token, begin + day * DAY).is_some(), "{day}");
    }
    assert!(sessions.find(token, begin + SESSION).is_none());
    assert_eq!(sessions.sweep(begin + SESSION, always), [found.number]);
    // Unused it lasts a week; an open page uses it.
    for is_open in [true, false] {
        let (token, _) = sessions.begin(&alice, credential, begin);
        let number = sessions.find(token.expose(), begin).expect("there").number;
        assert!(!is_open || sessions.opened(number));
        let week = begin + 7 * DAY;
        let over = sessions.sweep(week, always);
        assert_eq!(over.is_empty(), is_open);
        if is_open {
            sessions.closed(number, week);
            assert!(sessions.sweep(week + 6 * DAY, always).is_empty());
            assert_eq!(sessions.sweep(week + 7 * DAY, always), [number]);
        }
    }
    let (token, _) = sessions.begin(&alice, credential, begin);
    let number = sessions.find(token.expose(), begin).expect("there").number;
    assert_eq!(sessions.end(token.expose()), Some(number));
    assert!(sessions.find(token.expose(), begin).is_none() && !sessions.opened(number));
}

#[test]
fn sessions_are_so_many_and_end_with_what_they_were_made_with() {
    let (mut users, mut sessions) = (Users::default(), Sessions::default());
    let (alice, bob, begin) = (named("alice"), named("bob"), Instant::now());
    let of_alice = any_credential(&mut users, &alice);
    let of_bob = any_credential(&mut users, &bob);
    let (bobs, _) = sessions.begin(&bob, of_bob, begin);
    let (first, _) = sessions.begin(&alice, of_alice, begin);
    let first = sessions.find(first.expose(), begin).expect("there").number;
    assert!(sessions.opened(first));
    for each in 1..100u32 {
        let (_, gone) = sessions.begin(&alice, of_alice, begin + Duration::from_secs(each.into()));
        assert_eq!(gone.is_some(), each as usize >= MOST_OF_ONE);
        assert_ne!(gone, Some(first), "one in use goes last");
    }
    assert_eq!(sessions.len(), MOST_OF_ONE + 1);
    assert!(users.remove(&alice));
    let over = sessions.sweep(begin, |user, credential| users.has(user, credential));
    assert_eq!(over.len(), MOST_OF_ONE);
    assert!(sessions.find(bobs.expose(), begin).is_some());
}

#[test]
fn a_password_that_was_tried_is_known_where_it_came_from_alone_and_for_a_while() {
    let mut remembered = Remembered::default();
    let (alice, now, mut users) = (named("alice"), Instant::now(), Users::default());
    let credential = any_credential(&mut users, &alice);
    let password = Secret::new("north");
    let here = remembered.guess(&alice, &password, v4(1));
    let there = remembered.guess(&alice, &password, v4(2));
    remembered.tried(here, Some(credential), now);
    assert_eq!(remembered.right(&here, now), Some(credential));
    assert_eq!(remembered.right(&there, now), None);
    let hour = Duration::from_secs(3600);
    assert_eq!(remembered.right(&here, now + hour), None);
    remembered.tried(there, None, now);
    assert!(remembered.is_wrong(&there, now) && !remembered.is_wrong(&here, now));
    assert!(!remembered.is_wrong(&there, now + hour));
    remembered.tried(here, Some(credential), now);
    remembered.clear();
    assert_eq!(remembered.right(&here, now), None);
    assert!(!remembered.is_wrong(&there, now));
    // A name and a password are two things.
    let (a, b) = (Secret::new("bc"), Secret::new("c"));
    let first = remembered.guess(&named("a"), &a, v4(1));
    assert_ne!(first, remembered.guess(&named("ab"), &b, v4(1)));
}

#[test]
fn a_name_that_nobody_has_is_tried_against_somebodys_hash() {
    let mut users = Users::default();
    let (alice, nobody) = (named("alice"), named("nobody"));
    assert!(users.to_try(&nobody, 0).is_none());
    users.set_password(&alice, north()).expect("set");
    users.add_token(&named("camera")).expect("made");
    for (who, pick) in [("nobody", 0), ("nobody", u64::MAX), ("camera", 7)] {
        let (hash, of) = users.to_try(&named(who), pick).expect("a hash");
        assert_eq!((hash, of), (north(), None), "{who}");
    }
    let (_, of) = users.to_try(&alice, 0).expect("a hash");
    assert!(users.has(&alice, &of.expect("hers")));
    users
        .set_password(&alice, hash(&Secret::new("south south")).expect("made"))
        .expect("set");
    assert!(!users.has(&alice, &of.expect("hers")), "another password");
}

#[test]
fn a_hash_is_of_its_password_alone() {
    let made = hash(&Secret::new("north north")).expect("made");
    assert!(made.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(made.is_of(&Secret::new("north north")));
    assert!(!made.is_of(&Secret::new("north nortH")));
    assert_ne!(
        hash(&Secret::new("north north")).expect("made"),
        made,
        "a salt of its own"
    );
    // argon2 of Debian: echo -n north | argon2 somesaltsomesalt -id -t 2 -k 64 -e
    for (bad, why) in [
        ("", "no whole"),
        ("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ", "no whole"),
        (
            "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
            "another kind",
        ),
        (
            "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
            "costs more",
        ),
        (
            "$argon2id$v=19$m=8,t=4000000000,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA",
            "costs more",
        ),
        (&"$argon2id".repeat(100), "too long"),
    ] {
        let error = Hash::parse(bad).expect_err(bad);
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn a_line_that_makes_no_sense_is_named_and_not_shown() {
    let good = format!("# who\n\nalice:{}\n", north().as_str());
    assert!(Users::read(&good).is_ok());
    let token = "$sha256$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (line, why) in [
        ("north".to_owned(), "line 4: it is no name"),
        ("bob:north".to_owned(), "line 4: its hash is no whole"),
        (
            ":$sha256$x".to_owned(),
            "line 4: a username cannot be empty",
        ),
        (
            "bob:$sha256$north".to_owned(),
            "line 4: its hash of a token is damaged",
        ),
        (
            format!("alice:{}", north().as_str()),
            "line 4: there is another password",
        ),
        (
            format!("bob:{token}\n").repeat(MOST_TOKENS + 1),
            "line 12: nobody has more",
        ),
    ] {
        let error = Users::read(&format!("{good}{line}"))
            .expect_err(&line)
            .to_string();
        assert!(
            error.contains(why) && !error.contains("north"),
            "{line}: {error}"
        );
    }
    let many: String = (0..300).map(|n| format!("user{n}:{token}\n")).collect();
    assert!(
        Users::read(&many)
            .expect_err("too many")
            .to_string()
            .contains("256 users")
    );
    assert!(
        Users::read(&"#\n".repeat(400_000))
            .expect_err("too long")
            .to_string()
            .contains("bytes")
    );
}

proptest! {
    /// Whatever is read is written as what is read again, and nothing panics.
    #[test]
    fn a_file_of_any_text_is_read_or_refused(text in "(?s).{0,300}", names in prop::collection::vec("[^:\\p{C}#\\s][^:\\p{C}]{0,20}", 0..5)) {
        let _ = Users::read(&text);
        let mut users = Users::default();
        for each in &names {
            if let Ok(name) = name(each.trim()) {
                users.set_password(&name, north()).expect("place");
                users.add_token(&name).expect("place");
            }
        }
        prop_assert_eq!(Users::read(&users.write()), Ok(users));
    }
}
