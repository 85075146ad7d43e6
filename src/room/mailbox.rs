//! What waits for one connection, in a fair order.
//!
//! Whoever sends much waits for their own frames and not others' for theirs: the
//! next frame is that of the sender who was served least (self-clocked fair
//! queueing, Golestani 1994). Each sender has a share of the room; when all of it
//! is taken, the sender with most loses frames. The reader loses nothing for what
//! others do, and is not closed for it.
//!
//! All mailboxes of a [`Store`] are one sum. While that is large, who lets much wait
//! has a smaller one: memory is held by those who do not read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ConnectionId;

/// Bytes that may wait from one sender: two of the largest frames.
const SENDER_BYTES: usize = 128 * 1024;
/// Frames that may wait from one sender: the candidates of many calls.
const SENDER_FRAMES: usize = 512;
/// Bytes that may wait from all of them.
const TOTAL_BYTES: usize = 1024 * 1024;
/// The same while more than [`STORE_BYTES`] wait in all mailboxes: a frame of the
/// largest kind.
const SHORT_BYTES: usize = 80 * 1024;
const STORE_BYTES: usize = 12 * 1024 * 1024;
/// What a frame costs beside its bytes, in bytes: small ones are not for nothing.
const FRAME_COST: usize = 64;
/// Answers of the room itself; each is to something that this connection sent.
const OWN_FRAMES: usize = 32;

/// Bytes that wait in all mailboxes of a room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store(Arc<AtomicUsize>);

impl Store {
    fn is_large(&self) -> bool {
        self.0.load(Ordering::Relaxed) > STORE_BYTES
    }
}

/// Frames for one connection.
#[derive(Debug, Default)]
pub struct Mailbox {
    store: Store,
    /// Of the room itself; they go first.
    own: VecDeque<Arc<str>>,
    /// The user list: only the last one counts.
    list: Option<Arc<str>>,
    /// In the order in which they go, by virtual finish time.
    frames: BTreeMap<(u64, u64), Waiting>,
    senders: HashMap<ConnectionId, Sender>,
    bytes: usize,
    next: u64,
    /// The finish time of the frame that went last.
    clock: u64,
}

#[derive(Debug)]
struct Waiting {
    from: ConnectionId,
    text: Arc<str>,
}

#[derive(Debug, Default)]
struct Sender {
    frames: usize,
    bytes: usize,
    finish: u64,
}

impl Mailbox {
    /// An empty one, beside others.
    pub(crate) fn of(store: Store) -> Self {
        let mut mailbox = Self::default();
        mailbox.store = store;
        mailbox
    }

    /// A frame of the room itself.
    pub(crate) fn post_own(&mut self, text: Arc<str>) {
        if self.own.len() >= OWN_FRAMES {
            self.own.pop_front();
        }
        self.own.push_back(text);
    }

    /// The user list, in the place of one that still waits.
    pub(crate) fn post_list(&mut self, text: Arc<str>) {
        self.list = Some(text);
    }

    /// A frame of another connection. False where it was dropped, for its sender
    /// has too much here; it may be another frame that goes for it, and then that
    /// one's sender has.
    pub fn post(&mut self, from: ConnectionId, text: Arc<str>) -> bool {
        let cost = cost(&text);
        let sender = self.senders.entry(from).or_default();
        if sender.frames >= SENDER_FRAMES || sender.bytes + cost > SENDER_BYTES {
            return false;
        }
        let wanted = sender.bytes + cost;
        let total = match self.store.is_large() {
            true => SHORT_BYTES,
            false => TOTAL_BYTES,
        };
        while self.bytes + cost > total {
            let greediest = self
                .senders
                .iter()
                .max_by_key(|(conn, s)| (s.bytes, **conn));
            let (greediest, most) = match greediest {
                Some((conn, sender)) => (*conn, sender.bytes),
                None => return false,
            };
            if most <= wanted || greediest == from {
                return false;
            }
            self.drop_last_of(greediest);
        }
        let sender = self.senders.entry(from).or_default();
        sender.frames += 1;
        sender.bytes += cost;
        sender.finish = sender.finish.max(self.clock) + cost as u64;
        self.bytes += cost;
        self.store.0.fetch_add(cost, Ordering::Relaxed);
        self.frames
            .insert((sender.finish, self.next), Waiting { from, text });
        self.next += 1;
        true
    }

    /// The next frame to send.
    pub fn next_frame(&mut self) -> Option<Arc<str>> {
        if let Some(text) = self.own.pop_front().or_else(|| self.list.take()) {
            return Some(text);
        }
        let ((finish, _), Waiting { from, text }) = self.frames.pop_first()?;
        self.clock = finish;
        self.gone(from, &text);
        Some(text)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.list.is_none() && self.frames.is_empty()
    }

    /// Bytes that wait from other connections, and what each frame takes beside its own.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_last_of(&mut self, conn: ConnectionId) {
        let last = self
            .frames
            .iter()
            .rev()
            .find(|(_, waiting)| waiting.from == conn);
        let Some(key) = last.map(|(key, _)| *key) else {
            return;
        };
        if let Some(Waiting { from, text }) = self.frames.remove(&key) {
            if let Some(sender) = self.senders.get_mut(&from) {
                sender.finish -= cost(&text) as u64;
            }
            self.gone(from, &text);
        }
    }

    fn gone(&mut self, from: ConnectionId, text: &str) {
        let cost = cost(text);
        self.bytes -= cost;
        self.store.0.fetch_sub(cost, Ordering::Relaxed);
        if let Some(sender) = self.senders.get_mut(&from) {
            sender.frames -= 1;
            sender.bytes -= cost;
        }
        // Who has nothing here and was not served more than others is as good
        // as new.
        let clock = self.clock;
        self.senders
            .retain(|_, sender| sender.frames > 0 || sender.finish > clock);
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.store.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn cost(text: &str) -> usize {
    text.len() + FRAME_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(number: u64) -> ConnectionId {
        ConnectionId(number)
    }

    fn frame(length: usize) -> Arc<str> {
        "x".repeat(length).into()
    }

    fn drain(mailbox: &mut Mailbox) -> Vec<Arc<str>> {
        std::iter::from_fn(|| mailbox.next_frame()).collect()
    }

    #[test]
    fn who_sends_little_does_not_wait_for_who_sends_much() {
        let mut mailbox = Mailbox::default();
        for sender in 1..=12 {
            assert!(mailbox.post(conn(sender), frame(60_000)));
            mailbox.post(conn(sender), frame(60_001));
        }
        for _ in 0..6 {
            mailbox.next_frame().expect("there");
        }
        assert!(mailbox.post(conn(99), "offer".into()));
        let position = drain(&mut mailbox)
            .iter()
            .position(|text| **text == *"offer");
        assert!(position.is_some_and(|p| p <= 6), "{position:?}");
        let mut fresh = Mailbox::default();
        for _ in 0..500 {
            fresh.post(conn(1), frame(200));
        }
        fresh.next_frame();
        fresh.post(conn(2), "offer".into());
        fresh.post(conn(2), "candidate".into());
        let next: Vec<_> = (0..2).filter_map(|_| fresh.next_frame()).collect();
        assert_eq!(&*next[0], "offer");
        assert_eq!(&*next[1], "candidate", "in the order in which they came");
    }

    #[test]
    fn a_sender_s_share_is_bounded_and_so_is_all() {
        let mut mailbox = Mailbox::default();
        let taken = (0..100)
            .filter(|_| mailbox.post(conn(1), frame(10_000)))
            .count();
        assert_eq!(taken, 13);
        for sender in 2..100 {
            while mailbox.post(conn(sender), frame(30_000)) {}
        }
        assert!(mailbox.bytes() <= TOTAL_BYTES);
        assert!(
            mailbox.post(conn(500), frame(6_000)),
            "one who has nothing here"
        );
        assert!(mailbox.bytes() <= TOTAL_BYTES);
        drain(&mut mailbox);
        let small = (0..10_000)
            .filter(|_| mailbox.post(conn(501), frame(1)))
            .count();
        assert_eq!(small, SENDER_FRAMES);
        drain(&mut mailbox);
        assert!(mailbox.is_empty() && mailbox.bytes() == 0);
        assert!(mailbox.senders.len() <= 1, "{:?}", mailbox.senders);
    }

    /// A crowd that sends to readers who read nothing, and one who reads.
    #[test]
    fn all_mailboxes_are_one_sum_and_who_reads_gets_everything() {
        let store = Store::default();
        let mut slow: Vec<_> = (0..272).map(|_| Mailbox::of(store.clone())).collect();
        let mut reader = Mailbox::of(store.clone());
        for round in 0..20 {
            for (to, mailbox) in slow.iter_mut().enumerate() {
                for from in 0..16 {
                    mailbox.post(conn((to as u64 + from * 17) % 272), frame(60_000));
                }
            }
            for length in [64 * 1024, 100, 9_000] {
                let from = conn(1000 + round);
                assert!(reader.post(from, frame(length)), "an honest reader's");
            }
            assert_eq!(drain(&mut reader).len(), 3);
        }
        let sum: usize = slow.iter().map(Mailbox::bytes).sum();
        assert_eq!(store.0.load(Ordering::Relaxed), sum);
        assert!(sum <= 36 << 20, "{} MiB wait", sum >> 20);
        // A slow one has a place for a caller still.
        assert!(slow[7].post(conn(5000), frame(5_000)));
        drop(slow);
        assert_eq!(store.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn small_frames_cost_what_they_take() {
        let mut mailbox = Mailbox::default();
        for sender in 0..1_000 {
            while mailbox.post(conn(sender), frame(1)) {}
        }
        assert!(mailbox.frames.len() <= TOTAL_BYTES / (FRAME_COST + 1));
    }

    #[test]
    fn the_room_s_own_words_go_first_and_only_the_last_list_goes() {
        let mut mailbox = Mailbox::default();
        mailbox.post(conn(1), "relayed".into());
        mailbox.post_list("old".into());
        mailbox.post_list("new".into());
        mailbox.post_own("id".into());
        let all = drain(&mut mailbox);
        let all: Vec<&str> = all.iter().map(|text| &**text).collect();
        assert_eq!(all, ["id", "new", "relayed"]);
    }
}
