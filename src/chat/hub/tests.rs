//! The hub beside a model of it: a room of its own that hears the same, and for
//! each connection the frames that have to wait there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;

const LIMITS: Limits = Limits {
    connections: 6,
    reserve: 1,
    per_source: 3,
    nameless: Duration::from_secs(10),
    device_grace: Duration::from_secs(2),
    burst: 400,
    per_second: 60,
    abuse: 50,
};
/// What may wait of one sender and of the room itself, as `room::Mailbox` has it.
const SENDER_BYTES: usize = 128 * 1024;
const SENDER_FRAMES: usize = 512;
const TOTAL_BYTES: usize = 1024 * 1024;
const OWN_FRAMES: usize = 32;
const FRAME_COST: usize = 64;
const SECRET: [u8; 32] = [7; 32];

#[derive(Debug, Clone)]
enum Step {
    /// From one of three addresses; sometimes nobody waits for it any more.
    Join {
        from: u8,
        abandoned: bool,
    },
    /// Of one that may have been closed before.
    Leave(usize),
    Claim {
        who: usize,
        name: usize,
        device: bool,
    },
    /// So many frames of so many bytes, to one or to all.
    Say {
        who: usize,
        to: Option<usize>,
        frames: usize,
        bytes: usize,
    },
    Junk(usize),
    /// So many frames are taken out; a line that is never read is slow.
    Read {
        who: usize,
        frames: usize,
    },
    Wait(u64),
}

const NAMES: [&str; 4] = ["a", "b", "c", "camera"];

fn step() -> impl Strategy<Value = Step> {
    let who = 0..8_usize;
    prop_oneof![
        4 => (0..3_u8, prop::bool::weighted(0.2))
            .prop_map(|(from, abandoned)| Step::Join { from, abandoned }),
        2 => who.clone().prop_map(Step::Leave),
        5 => (who.clone(), 0..NAMES.len(), prop::bool::weighted(0.2))
            .prop_map(|(who, name, device)| Step::Claim { who, name, device }),
        10 => (who.clone(), prop::option::of(0..NAMES.len()), 1..6_usize, 0..40_000_usize)
            .prop_map(|(who, to, frames, bytes)| Step::Say { who, to, frames, bytes }),
        2 => (who.clone(), prop::option::of(0..NAMES.len()), 1..700_usize)
            .prop_map(|(who, to, frames)| Step::Say { who, to, frames, bytes: 0 }),
        1 => who.clone().prop_map(Step::Junk),
        8 => (who, 1..60_usize).prop_map(|(who, frames)| Step::Read { who, frames }),
        3 => (0..4_000_u64).prop_map(Step::Wait),
    ]
}

/// What has to wait for one connection.
#[derive(Default)]
struct Line {
    own: VecDeque<Arc<str>>,
    list: Option<Arc<str>>,
    /// Of each sender, in their order; who comes first is the mailbox's matter.
    senders: BTreeMap<ConnectionId, VecDeque<Arc<str>>>,
    check: bool,
    close: Option<Close>,
}

impl Line {
    fn posts(&mut self, from: ConnectionId, text: Arc<str>) -> bool {
        let waiting = self.senders.entry(from).or_default();
        let wanted = bytes(waiting) + text.len() + FRAME_COST;
        if waiting.len() >= SENDER_FRAMES || wanted > SENDER_BYTES {
            return false;
        }
        // Too much from all: who has most loses the last.
        let cost = text.len() + FRAME_COST;
        while self.senders.values().map(bytes).sum::<usize>() + cost > TOTAL_BYTES {
            let all = self
                .senders
                .iter_mut()
                .map(|(conn, w)| (bytes(w), *conn, w));
            let (most, conn, waiting) = all.max_by_key(|(b, c, _)| (*b, *c)).expect("somebody");
            if most <= wanted || conn == from {
                return false;
            }
            waiting.pop_back();
        }
        self.senders.entry(from).or_default().push_back(text);
        true
    }

    /// Whether this is what comes next, and takes it out.
    fn takes(&mut self, outgoing: &Option<Outgoing>) -> bool {
        if let Some(close) = self.close {
            return matches!(outgoing, Some(Outgoing::Close(other)) if *other == close);
        }
        if std::mem::take(&mut self.check) {
            return matches!(outgoing, Some(Outgoing::Check));
        }
        let own = self.own.pop_front().or_else(|| self.list.take());
        match outgoing {
            Some(Outgoing::Frame(text)) => match own {
                Some(own) => own == *text,
                None => self.senders.values_mut().any(|waiting| {
                    let is_next = waiting.front() == Some(text);
                    is_next && waiting.pop_front().is_some()
                }),
            },
            Some(_) => false,
            None => own.is_none() && self.senders.values().all(VecDeque::is_empty),
        }
    }
}

fn bytes(waiting: &VecDeque<Arc<str>>) -> usize {
    waiting.iter().map(|text| text.len() + FRAME_COST).sum()
}

/// Both, side by side.
struct Pair {
    hub: Exchange,
    room: Room,
    now: Instant,
    /// Everybody who was ever let in, in their order, and their side of it.
    lines: BTreeMap<ConnectionId, (Line, Outbox)>,
    /// Frames are told apart by this.
    said: usize,
}

impl Pair {
    fn new() -> Self {
        let room = || Room::new(1, LIMITS, SECRET);
        Self {
            hub: Exchange {
                room: room(),
                doors: HashMap::new(),
                store: Store::default(),
            },
            room: room(),
            now: Instant::now(),
            lines: BTreeMap::new(),
            said: 0,
        }
    }

    /// One of those who are here or were lately.
    fn pick(&self, who: usize) -> Option<ConnectionId> {
        self.lines.keys().rev().nth(who).copied()
    }

    /// The room's outputs go where they have to wait.
    fn deliver(&mut self) {
        while let Some(output) = self.room.next_output() {
            let line = |to: ConnectionId,
                        lines: &mut BTreeMap<_, (Line, Outbox)>,
                        what: &mut dyn FnMut(&mut Line)| {
                // Nobody waited for the join of others.
                if let Some((line, _)) = lines.get_mut(&to) {
                    what(line);
                }
            };
            let lines = &mut self.lines;
            match output {
                Output::Send { to, text } => line(to, lines, &mut |line| {
                    if line.own.len() == OWN_FRAMES {
                        line.own.pop_front();
                    }
                    line.own.push_back(text.clone());
                }),
                Output::List { to, text } => {
                    line(to, lines, &mut |line| line.list = Some(text.clone()))
                }
                Output::Relay { from, to, text } => {
                    let mut posted = true;
                    line(to, lines, &mut |line| {
                        posted = line.posts(from, text.clone())
                    });
                    if !posted {
                        self.room.undelivered(from, to, self.now);
                    }
                }
                Output::Check { conn } => line(conn, lines, &mut |line| line.check = true),
                Output::Close { conn, code, reason } => {
                    line(conn, lines, &mut |line| {
                        line.close = Some(Close { code, reason })
                    });
                }
            }
        }
    }

    fn event(&mut self, event: Option<Event>) {
        match &event {
            None => self.room.timeout(self.now),
            Some(Event::Frame(conn, text)) => self.room.receive(*conn, text, self.now),
            Some(Event::Leave(conn)) => self.room.leave(*conn, self.now),
            Some(Event::Join(..)) => unreachable!("`join` is for that"),
        }
        self.deliver();
        self.hub.handle(event, self.now);
    }

    fn join(&mut self, from: u8, abandoned: bool) -> Result<(), TestCaseError> {
        let source = Source::of([192, 0, 2, from].into());
        let (reply, joined) = oneshot::channel();
        let mut joined = (!abandoned).then_some(joined);
        self.hub.handle(Some(Event::Join(source, reply)), self.now);
        let expected = self.room.join(source, self.now);
        let got = joined
            .as_mut()
            .map(|joined| joined.try_recv().expect("an answer at once"));
        match (got, expected) {
            (Some(Ok((conn, outbox))), Ok(expected)) => {
                prop_assert_eq!(conn, expected);
                self.lines.insert(conn, (Line::default(), outbox));
            }
            (Some(Err(full)), Err(expected)) => prop_assert_eq!(full, expected),
            (None, Ok(conn)) => self.room.leave(conn, self.now),
            (None, Err(_)) => {}
            _ => prop_assert!(false, "one let them in and the other did not"),
        }
        self.deliver();
        Ok(())
    }

    fn read(&mut self, conn: ConnectionId, frames: usize) -> Result<(), TestCaseError> {
        let Some((line, outbox)) = self.lines.get_mut(&conn) else {
            return Ok(());
        };
        for _ in 0..frames {
            let outgoing = outbox.take();
            prop_assert!(line.takes(&outgoing), "{} was given something else", conn);
            if outgoing.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn play(&mut self, step: Step) -> Result<(), TestCaseError> {
        let who = match step {
            Step::Join { from, abandoned } => return self.join(from, abandoned),
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.event(None);
                return Ok(());
            }
            Step::Leave(who)
            | Step::Claim { who, .. }
            | Step::Say { who, .. }
            | Step::Junk(who)
            | Step::Read { who, .. } => who,
        };
        let Some(conn) = self.pick(who) else {
            return Ok(());
        };
        match step {
            Step::Leave(_) => {
                self.event(Some(Event::Leave(conn)));
                self.gone(conn);
            }
            Step::Claim { name, device, .. } => {
                let claim = json!({"type": "username", "name": NAMES[name], "id": conn.number(),
                    "device": device, "date": 0});
                self.event(Some(Event::Frame(conn, claim.to_string().into())));
            }
            Step::Say {
                to, frames, bytes, ..
            } => {
                for _ in 0..frames {
                    self.said += 1;
                    let target = to.map(|name| NAMES[name]);
                    let frame = json!({"type": "x", "target": target, "number": self.said,
                        "text": "x".repeat(bytes)});
                    self.event(Some(Event::Frame(conn, frame.to_string().into())));
                }
            }
            Step::Junk(_) => self.event(Some(Event::Frame(conn, "[".into()))),
            Step::Read { frames, .. } => self.read(conn, frames)?,
            Step::Join { .. } | Step::Wait(_) => unreachable!("they are done"),
        }
        Ok(())
    }

    /// Who has left by themselves hears nothing but that it is over.
    fn gone(&mut self, conn: ConnectionId) {
        if let Some((line, _)) = self.lines.get_mut(&conn) {
            line.close.get_or_insert(GONE);
        }
    }

    /// What is always so.
    fn holds(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(
            self.hub.doors.len(),
            self.hub.room.len(),
            "a door for each who is here"
        );
        prop_assert_eq!(self.hub.room.len(), self.room.len());
        let (names, expected): (Vec<_>, Vec<_>) =
            (self.hub.room.names().collect(), self.room.names().collect());
        prop_assert_eq!(names, expected);
        for (conn, (line, outbox)) in &self.lines {
            let is_here = self.hub.doors.contains_key(conn);
            prop_assert_eq!(is_here, line.close.is_none(), "{} has a door", conn);
            // A slow line is bounded by who sends to it.
            let waits = outbox.0.state().mailbox.bytes();
            prop_assert!(waits <= TOTAL_BYTES, "{} bytes wait", waits);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Every frame is where the model has it, in order and once; who was closed
    /// hears that alone; a join that nobody waited for leaves nothing.
    #[test]
    fn the_hub_is_as_its_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.play(step)?;
            pair.holds()?;
        }
        // Lists that were held back, and everything that still waits.
        pair.play(Step::Wait(3_000))?;
        let all: Vec<_> = pair.lines.keys().copied().collect();
        for conn in all {
            pair.read(conn, 10_000)?;
        }
        // The room's task ends: everybody hears that.
        let Pair { hub, mut lines, .. } = pair;
        drop(hub);
        for (line, outbox) in lines.values_mut() {
            line.close.get_or_insert(GONE);
            prop_assert!(line.takes(&outbox.take()));
        }
    }

    /// The same through its task: whoever waits is woken, a line that is read
    /// slowly loses nothing that it may hold, and joins that were given up in
    /// the middle are in nobody's way.
    #[test]
    fn who_waits_for_the_hub_is_woken(
        slow in prop::collection::vec(any::<bool>(), 2..6),
        given_up in prop::collection::vec(any::<bool>(), 40),
        frames in 1..40_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(crowd(&slow, &given_up, frames));
    }
}

/// Everybody sends so many frames to the next one.
async fn crowd(slow: &[bool], given_up: &[bool], frames: usize) {
    let (hub, run) = new(Limits::default());
    let task = tokio::spawn(run);
    let done = Arc::new(Semaphore::new(0));
    let (mut people, mut readers) = (Vec::new(), Vec::new());
    for (n, slow) in slow.iter().enumerate() {
        let source = Source::of([192, 0, 2, n as u8].into());
        let joined = hub.join(source).await.expect("it runs");
        let (conn, outbox) = joined.expect("a place");
        let claim = json!({"type": "username", "name": format!("p{n}"), "id": conn.number()});
        hub.frame(conn, claim.to_string().into()).await;
        let reader = Reader {
            outbox,
            may_read: Arc::new(Semaphore::new(if *slow { 0 } else { 1_000 })),
            done: done.clone(),
        };
        people.push((conn, reader.may_read.clone()));
        readers.push(tokio::spawn(reader.read(frames)));
    }
    for number in 0..frames {
        for (from, (conn, _)) in people.iter().enumerate() {
            if given_up[(number + from) % given_up.len()] {
                let source = Source::of([198, 51, 100, 1].into());
                let _ = hub.join(source).now_or_never();
            }
            let to = (from + 1) % people.len();
            let frame = json!({"type": "x", "target": format!("p{to}"), "number": number});
            hub.frame(*conn, frame.to_string().into()).await;
        }
        tokio::task::yield_now().await;
    }
    for (_, may_read) in &people {
        may_read.add_permits(1_000);
    }
    let all = u32::try_from(people.len()).expect("few");
    let read = tokio::time::timeout(Duration::from_secs(20), done.acquire_many(all));
    let _ = read.await.expect("somebody was not woken").expect("open");
    drop(hub);
    task.await.expect("it ends with the last handle");
    for reader in readers {
        assert_eq!(reader.await.expect("it was no panic"), GONE);
    }
}

/// A connection that reads when it may.
struct Reader {
    outbox: Outbox,
    may_read: Arc<Semaphore>,
    done: Arc<Semaphore>,
}

impl Reader {
    /// Until it is over; so many numbered frames have to come, in their order.
    async fn read(mut self, frames: usize) -> Close {
        let mut next = 0;
        loop {
            self.may_read.acquire().await.expect("open").forget();
            match self.outbox.next().await {
                Outgoing::Frame(text) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if frame["type"] == "x" {
                        assert_eq!(frame["number"], next);
                        next += 1;
                        if next == frames {
                            self.done.add_permits(1);
                        }
                    }
                }
                Outgoing::Check => {}
                Outgoing::Close(close) => return close,
            }
        }
    }
}

#[test]
fn a_join_that_nobody_waits_for_leaves_nothing() {
    let mut exchange = Exchange {
        room: Room::new(1, Limits::default(), [7; 32]),
        doors: HashMap::new(),
        store: Store::default(),
    };
    let now = Instant::now();
    let source = Source::of([192, 0, 2, 1].into());
    let (reply, joined) = oneshot::channel();
    drop(joined);
    exchange.join(source, reply, now);
    exchange.deliver(now);
    assert!(exchange.doors.is_empty());
    assert_eq!(exchange.room.len(), 0);
}
