//! How much the way to a viewer takes at once, found out while DTLS is under
//! way. Pure.
//!
//! A first key frame that is paced for a path of which nothing is known comes
//! 100 ms later than it could; one that bursts into a slow path fills its queue.
//! So right behind our first DTLS datagram a train leaves: a few connectivity
//! checks of full length, one behind the other. Whoever has answered a check
//! answers these too (RFC 8445 §7.3), with small messages. Until the last answer
//! the path has carried all of them: that is the least it can do, and whatever
//! holds up either end, or this process, only makes it seem less.
//!
//! The round trip of a small check is taken off, so that a long way is not taken
//! for a slow one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc::crypto::default_provider;
use rtc::stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_PRIORITY, ATTR_USERNAME, AttrType, RawAttribute,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Message, TransactionId};
use rtc::stun::textattrs::TextAttribute;

use super::stun::Transaction;
use super::{Endpoint, Guard};
use crate::secret::Secret;

/// Checks of a train. At 1 Mbit/s, where a key frame takes a third of a second,
/// they take 58 ms.
const CARS: usize = 6;
/// Of each, in bytes: what a packet of a picture has.
const LENGTH: usize = 1_200;
/// What stands around each on the wire: IPv6 (RFC 8200 §3) and UDP (RFC 768).
const AROUND: usize = 48;
/// What timers, threads and a browser's turn may take beside the path.
const SLACK: Duration = Duration::from_micros(1_500);

/// Comprehension is optional, and nobody has registered it (RFC 8489 §18.3): it
/// is passed over.
const FILLING: AttrType = AttrType(0xe0e0);
/// Of a peer-reflexive candidate, which these are not to become: below all
/// others (RFC 8445 §5.1.2).
const LOW: [u8; 4] = [0, 0, 0, 1];

/// What a check of ours is signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Credentials {
    /// `theirs:ours`.
    pub username: String,
    /// Theirs.
    pub password: Secret,
}

/// A train on its way.
#[derive(Debug)]
struct OnItsWay {
    socket: usize,
    to: SocketAddr,
    left: Instant,
    /// Of the first car; the others count on.
    transaction: Transaction,
    came: [Option<Instant>; CARS],
}

/// One connection's train.
#[derive(Debug, Default)]
pub(super) struct Train {
    credentials: Option<Credentials>,
    on_its_way: Option<OnItsWay>,
    round_trip: Option<Duration>,
}

impl Train {
    pub(super) fn signs_with(&mut self, credentials: Credentials) {
        self.credentials.get_or_insert(credentials);
    }

    /// An answer to a small check took so long.
    pub(super) fn round_trip(&mut self, took: Duration) {
        self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
    }

    /// The datagrams that leave for who has answered a check; once.
    pub(super) fn leave(&mut self, socket: usize, to: SocketAddr, now: Instant) -> Vec<Vec<u8>> {
        let Some(credentials) = &self.credentials else {
            return Vec::new();
        };
        if self.on_its_way.is_some() {
            return Vec::new();
        }
        let mut transaction = [0; 12];
        fastrand::fill(&mut transaction[..11]);
        let cars = (0..CARS as u8).filter_map(|car| {
            transaction[11] = car;
            check(credentials, transaction)
        });
        let cars = cars.collect();
        self.on_its_way = Some(OnItsWay {
            socket,
            to,
            left: now,
            transaction,
            came: [None; CARS],
        });
        cars
    }

    /// True where that is an answer to a car.
    pub(super) fn came(
        &mut self,
        socket: usize,
        from: SocketAddr,
        transaction: Transaction,
        now: Instant,
    ) -> bool {
        let Some(train) = &mut self.on_its_way else {
            return false;
        };
        if (socket, from) != (train.socket, train.to)
            || transaction[..11] != train.transaction[..11]
        {
            return false;
        }
        if let Some(came) = train.came.get_mut(usize::from(transaction[11])) {
            came.get_or_insert(now);
        }
        true
    }

    /// What the path carries at least, in bit/s, once every car has come: one that
    /// is missing may have found a queue full.
    pub(super) fn carries(&self) -> Option<u32> {
        let train = self.on_its_way.as_ref()?;
        let came = train.came.iter().map(|at| {
            let took = at.as_ref()?.saturating_duration_since(train.left);
            Some(took)
        });
        let came: Vec<Duration> = came.collect::<Option<_>>()?;
        let (first, last) = (*came.iter().min()?, *came.iter().max()?);
        let took = last.saturating_sub(self.round_trip?.min(first)) + SLACK;
        let bits = CARS * (LENGTH + AROUND) * 8;
        Some((bits as f64 / took.as_secs_f64()) as u32)
    }
}

/// A connectivity check of full length (RFC 8445 §7.2.2). The agent that answers
/// calls is controlled (§6.1.1).
fn check(credentials: &Credentials, transaction: Transaction) -> Option<Vec<u8>> {
    let provider = default_provider().ok()?;
    let username = TextAttribute::new(ATTR_USERNAME, credentials.username.clone());
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(
        credentials.password.expose().to_owned(),
        provider.crypto(),
    );
    let mut message = Message::new();
    let mut built = |filling: usize| -> rtc::shared::error::Result<Vec<u8>> {
        message.build(&[
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId(transaction)),
            Box::new(username.clone()),
            Box::new(raw(ATTR_PRIORITY, LOW.to_vec())),
            Box::new(raw(ATTR_ICE_CONTROLLED, vec![0; 8])),
            Box::new(raw(FILLING, vec![0; filling])),
            Box::new(integrity.clone()),
            Box::new(FINGERPRINT),
        ])?;
        Ok(message.raw.clone())
    };
    let empty = built(0).ok()?.len();
    built(LENGTH.checked_sub(empty)?).ok()
}

fn raw(typ: AttrType, value: Vec<u8>) -> RawAttribute {
    RawAttribute {
        typ,
        length: 0,
        value,
    }
}

impl Guard {
    /// What checks of our own are signed with.
    pub(crate) fn signs_with(&mut self, credentials: Credentials) {
        self.train.signs_with(credentials);
    }

    /// What the path carries at least, in bit/s, as far as it is known by now.
    pub(crate) fn carries(&self) -> Option<u32> {
        self.train.carries()
    }

    /// What leaves behind a datagram of DTLS that has just left.
    pub(super) fn train(&mut self, socket: usize, to: SocketAddr, now: Instant) -> Vec<Vec<u8>> {
        let direct = Endpoint {
            server: None,
            address: to,
        };
        let pair = self.find(socket, direct);
        match pair.is_some_and(|pair| self.pairs[pair].proven) {
            true => self.train.leave(socket, to, now),
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::stun::{Class, Kind, Method, look};
    use super::*;

    fn to() -> SocketAddr {
        ([192, 0, 2, 1], 4_000).into()
    }

    fn train() -> Train {
        let mut train = Train::default();
        train.signs_with(Credentials {
            username: "them:us".to_owned(),
            password: Secret::new("a password of twenty-two"),
        });
        train
    }

    fn transaction(datagram: &[u8]) -> Transaction {
        datagram[8..20].try_into().expect("a header")
    }

    /// What a path of so many bit/s and so long a round trip seems to carry.
    fn seems(bits_per_second: f64, round_trip: Duration, held_up: Duration) -> u32 {
        let (mut train, now) = (train(), Instant::now());
        train.round_trip(round_trip);
        let mut queue = Duration::ZERO;
        for car in train.leave(0, to(), now) {
            let bits = (car.len() + AROUND) as f64 * 8.0;
            queue += Duration::from_secs_f64(bits / bits_per_second);
            // Who is held up finds all answers at once.
            let at = now + (queue + round_trip).max(held_up);
            assert!(train.came(0, to(), transaction(&car), at));
        }
        train.carries().expect("all came")
    }

    #[test]
    fn each_car_is_a_check_that_is_well_signed() {
        let cars = train().leave(0, to(), Instant::now());
        assert_eq!(cars.len(), CARS);
        for car in &cars {
            assert_eq!(car.len(), LENGTH);
            let Kind::Stun(stun) = look(car) else {
                panic!("a check is STUN");
            };
            assert_eq!((stun.class, stun.method), (Class::Request, Method::Binding));
            assert_eq!(stun.username(), Some(b"them:us".as_slice()));
            let mut message = Message::new();
            message.unmarshal_binary(car).expect("whole");
            let provider = default_provider().expect("there is one");
            let key = b"a password of twenty-two";
            MessageIntegrity::check(&mut message, key, provider.crypto()).expect("signed");
            FINGERPRINT.check(&message).expect("its sum");
        }
    }

    #[test]
    fn a_slow_path_seems_slow_and_a_fast_one_fast_however_long() {
        for round_trip in [1, 20, 100, 300].map(Duration::from_millis) {
            for (is, least, most) in [
                (300e3, 250e3, 300e3),
                (1e6, 0.9e6, 1e6),
                (5e6, 4e6, 5e6),
                (100e6, 20e6, 100e6),
            ] {
                let seems = f64::from(seems(is, round_trip, Duration::ZERO));
                assert!(least <= seems && seems <= most, "{is} seems {seems}");
            }
        }
    }

    #[test]
    fn who_knows_too_little_says_nothing() {
        let now = Instant::now();
        assert!(Train::default().leave(0, to(), now).is_empty(), "unsigned");
        let mut train = train();
        let cars = train.leave(0, to(), now);
        assert!(train.leave(0, to(), now).is_empty(), "it leaves once");
        for car in &cars {
            assert_eq!(train.carries(), None, "no round trip is known");
            assert!(!train.came(1, to(), transaction(car), now), "by another");
            assert!(train.came(0, to(), transaction(car), now));
        }
        assert!(!train.came(0, to(), [9; 12], now), "of another check");
        train.round_trip(Duration::from_millis(1));
        assert!(train.carries().is_some());
    }

    /// A queue that takes four at once and drops two passes the four at any speed.
    #[test]
    fn a_train_that_lost_a_car_says_nothing() {
        for lost in 0..CARS {
            let (mut train, now) = (train(), Instant::now());
            train.round_trip(Duration::from_millis(1));
            let mut cars = train.leave(0, to(), now);
            let late = cars.remove(lost);
            for car in &cars {
                assert!(train.came(0, to(), transaction(car), now));
            }
            assert_eq!(train.carries(), None);
            let later = now + Duration::from_millis(300);
            assert!(train.came(0, to(), transaction(&late), later));
            assert!(train.carries().is_some_and(|bits| bits < 250_000));
        }
    }

    proptest! {
        /// Whatever this process or the browser is held up by, a path never seems
        /// to carry more than it does.
        #[test]
        fn a_busy_machine_makes_no_path_seem_faster(
            bits_per_second in 100e3..50e6,
            round_trip in 0..300_u64,
            held_up in 0..200_u64,
        ) {
            let [round_trip, held_up] = [round_trip, held_up].map(Duration::from_millis);
            let seems = f64::from(seems(bits_per_second, round_trip, held_up));
            prop_assert!(seems <= bits_per_second);
        }
    }
}
