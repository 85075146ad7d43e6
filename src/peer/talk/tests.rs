//! Who asks, and what becomes of it, over a speaker that plays to nobody.

use super::*;
use crate::access::{Gate, Guests, Invitation, Invite, May, Mode, Stage};
use crate::media::replay::Replay;
use crate::wire::UserName;

struct Bench {
    talk: Arc<TalkBack>,
    _thread: crate::media::hub::HubThread,
}

impl Bench {
    fn new() -> Self {
        crate::media::element::init().expect("GStreamer is installed");
        let config = SpeakerConfig {
            device: Some("null".to_owned()),
            strangers: true,
            ..SpeakerConfig::default()
        };
        let clip = include_bytes!("../../../tests/fixtures/clip.h264");
        let (hub, thread) = Hub::start(Box::new(Replay::new(clip, 30)), None);
        Self {
            talk: TalkBack::of(&config, &hub, None).expect("a speaker"),
            _thread: thread,
        }
    }

    /// A stranger whose page has the button.
    fn stranger(&self, number: u64) -> FloorLine {
        let session = SessionId::new(number);
        let person = Person::named(&UserName::parse(&format!("s{number}")).expect("a name"));
        let talker = self.talk.join(session, ("somebody", person), None);
        assert!(talker.is_some(), "they may");
        FloorLine::of(Some(self.talk.clone()), talker, session)
    }
}

#[tokio::test]
async fn a_call_gets_five_turns_at_once_and_then_one_a_second() {
    let bench = Bench::new();
    let (alice, mut bob) = (bench.stranger(1), bench.stranger(2));
    for _ in 0..5 {
        alice.ask(true, false).expect("it is theirs");
        alice.ask(true, false).expect("it is theirs still");
        alice.ask(false, false).expect("given back");
    }
    let refused = alice.ask(true, true).expect_err("too often");
    assert_eq!(refused.code, Code::TooOften);
    // That is nobody else's affair.
    bob.ask(true, false).expect("it is theirs");
    assert_eq!(bob.words().place, Place::Talks);
}

#[test]
fn without_a_speaker_there_is_nothing_of_all_this() {
    let clip = include_bytes!("../../../tests/fixtures/clip.h264");
    let (hub, _thread) = Hub::start(Box::new(Replay::new(clip, 30)), None);
    assert!(TalkBack::of(&SpeakerConfig::default(), &hub, None).is_none());
    assert!(
        !hub.played().is_wanted(),
        "the microphone's canceller rests"
    );
}

/// At an open camera; where strangers are not let in their word does not count.
#[tokio::test]
async fn who_was_not_invited_to_talk_talks_as_a_stranger_where_strangers_may() {
    let bench = Bench::new();
    let invite = Invite::of([7; 16]);
    let bob = Person::named(&UserName::parse("bob").expect("a name"));
    for (words, mode, rank) in [
        ("watch", Mode::Open, Some(Rank::Stranger)),
        ("watch", Mode::Invited, None),
        ("watch,talk", Mode::Open, Some(Rank::Invited)),
    ] {
        let invitation = Invitation {
            label: UserName::parse("bob").expect("a name"),
            may: May::parse(words).expect("rights"),
            made: 1,
            until: None,
            stage: Stage::Shared,
            key: (invite.id(), invite.key()),
            given: Vec::new(),
        };
        let guests = Guests::of(&[invitation], 10);
        let guest = guests.get(invite.id()).expect("invited");
        let guest = Gate::new(mode, "camera", [0xdd; 32]).admits(guest);
        let session = SessionId::new(9);
        let talker = bench.talk.join(session, ("bob", bob.clone()), Some(&guest));
        let member = bench.talk.lock().members.get(&session).map(|m| m.by.rank);
        assert_eq!(member, rank, "{words}");
        assert_eq!(talker.is_some(), rank.is_some(), "{words}");
    }
}

#[tokio::test]
async fn a_stranger_is_told_who_took_it_from_them() {
    let bench = Bench::new();
    let mut stranger = bench.stranger(1);
    let owner = bench.stranger(2);
    let session = SessionId::new(2);
    if let Some(member) = bench.talk.lock().members.get_mut(&session) {
        member.by.rank = Rank::Invited;
    }
    stranger.ask(true, true).expect("it is theirs");
    owner.ask(true, false).expect("it is theirs at once");
    let words = stranger.words();
    assert_eq!(words.place, Place::Listens);
    assert_eq!(words.why.map(|why| why.code), Some(Code::FloorPassedOn));
}

/// They were told that they asked too often, who had asked once.
#[tokio::test]
async fn who_has_talked_for_three_minutes_is_told_that_it_is_the_turn_of_others() {
    let bench = Bench::new();
    let line = bench.stranger(1);
    {
        let mut state = bench.talk.lock();
        let by = state.members.get(&SessionId::new(1)).map(|m| m.by.clone());
        let (by, now) = (by.expect("a member"), Instant::now());
        let began = now - crate::floor::STRANGERS_TURN;
        state.floor.ask(by.clone(), true, began);
        assert!(state.floor.speaks(&by, true, false, now));
        bench.talk.poll(&mut state, now);
    }
    let refused = line.ask(true, true).expect_err("they rest");
    assert_eq!(refused.code, Code::FloorPassedOn);
}

#[tokio::test]
async fn who_talks_as_all_are_silenced_is_told_why_whoever_waits() {
    let bench = Bench::new();
    let mut lines: Vec<_> = (1..4).map(|n| bench.stranger(n)).collect();
    for line in &lines {
        line.ask(true, true).expect("theirs, or soon");
    }
    bench.talk.clear(&mut bench.talk.lock(), &PRIVATE);
    let why = lines
        .iter_mut()
        .map(|line| line.words().why.map(|w| w.code));
    assert_eq!(why.collect::<Vec<_>>(), [Some(Code::Privacy), None, None]);
    let places = lines.iter_mut().map(|line| line.words().place);
    assert!(places.into_iter().all(|place| place == Place::Listens));
}

#[tokio::test]
async fn a_speaker_of_another_configuration_is_no_more_to_be_talked_by() {
    let bench = Bench::new();
    let mut line = bench.stranger(1);
    assert!(line.words().may);
    bench.talk.close();
    tokio::time::timeout(std::time::Duration::from_secs(5), line.changed())
        .await
        .expect("it is told");
    assert!(!line.words().may);
}
