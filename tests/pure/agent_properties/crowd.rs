//! Many strangers under many names, and whether those who mean it get in.

use super::*;

/// Strangers who offer evenly, each under one of `names` names in turn.
#[derive(Debug, Clone)]
struct Crowd {
    names: usize,
    /// Between two offers.
    every: Duration,
    /// What they send, in turn.
    kinds: Vec<Kind>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Junk(usize),
    /// A call that never gets a media path, of a certificate of its own or the
    /// one of the last.
    Call {
        anew: bool,
    },
}

fn crowd() -> impl Strategy<Value = Crowd> {
    let kind = prop_oneof![
        (0..60_000_usize).prop_map(Kind::Junk),
        any::<bool>().prop_map(|anew| Kind::Call { anew }),
    ];
    let kinds = proptest::collection::vec(kind, 1..6);
    (1..40_usize, 5..400_u64, kinds).prop_map(|(names, every, kinds)| Crowd {
        names,
        every: Duration::from_millis(every),
        kinds,
    })
}

/// Somebody who wants to see the camera.
#[derive(Debug, Clone)]
struct Honest {
    /// When they call.
    at: Duration,
    /// How long their media path takes.
    connects_in: Duration,
}

fn honest(from: u64) -> impl Strategy<Value = Honest> {
    (from..19_000_u64, 50..2_000_u64).prop_map(|(at, connects_in)| Honest {
        at: Duration::from_millis(at),
        connects_in: Duration::from_millis(connects_in),
    })
}

/// A crowd and honest people before one camera.
struct Siege {
    desk: Desk,
    /// Calls of honest people, and when their path will be up.
    calls: BTreeMap<SessionId, (usize, Instant)>,
    /// Who got no call, or lost it before its path was up.
    lost: Vec<usize>,
    /// Frames that the device sent.
    sent: usize,
}

impl Siege {
    /// Plays 22 s.
    fn play(crowd: &Crowd, honest: &[Honest]) -> Self {
        let mut this = Self {
            desk: Desk::online(8),
            calls: BTreeMap::new(),
            lost: Vec::new(),
            sent: 0,
        };
        let start = this.desk.now;
        let (mut next, mut count) = (start, 0);
        let mut waiting: Vec<_> = honest.iter().enumerate().collect();
        waiting.sort_by_key(|(_, person)| person.at);
        let mut waiting = waiting.into_iter().peekable();
        while this.desk.now < start + 22 * SECOND {
            let connects = this.calls.iter().map(|(id, (_, at))| (*at, *id)).min();
            let calls = waiting.peek().map(|(_, person)| start + person.at);
            let at = [connects.map(|(at, _)| at), calls, Some(next)];
            let at = at.into_iter().flatten().min().expect("one is there");
            let passed = this.desk.wait(at - this.desk.now);
            this.note(&passed);
            match connects {
                Some((due, id)) if due == at => this.connects(id),
                _ if calls == Some(at) => {
                    let (who, person) = waiting.next().expect("it was seen");
                    this.calls(who, at + person.connects_in);
                }
                _ => {
                    let (name, sdp) = crowd.message(count);
                    let commands = this.desk.offers(&name, &sdp);
                    this.note(&commands);
                    count += 1;
                    next += crowd.every;
                }
            }
            assert!(this.desk.agent.viewers() <= 8 + HALF_OPEN);
        }
        this
    }

    fn calls(&mut self, who: usize, connects_at: Instant) {
        let offered = self.desk.offers(&person(who), &offer("HHHH", 'c'));
        let opened = offered.iter().find_map(|c| match c {
            Command::Open { session, .. } => Some(*session),
            _ => None,
        });
        match opened {
            Some(id) => {
                let answer = PeerEvent::Answered { sdp: "v=0".into() };
                let answered = self.desk.peer(id, answer);
                self.note(&answered);
                self.calls.insert(id, (who, connects_at));
            }
            None => self.lost.push(who),
        }
        self.note(&offered);
    }

    /// And has seen enough at once.
    fn connects(&mut self, id: SessionId) {
        let Some((who, _)) = self.calls.remove(&id) else {
            return;
        };
        let commands = self.desk.peer(id, PeerEvent::Connected);
        self.note(&commands);
        if self.desk.agent.connected() != 1 {
            self.lost.push(who);
        }
        let commands = self.desk.hangs_up(&person(who), Some("camera"));
        self.note(&commands);
    }

    fn note(&mut self, commands: &[Command]) {
        for id in closed(commands) {
            if let Some((who, _)) = self.calls.remove(&id) {
                self.lost.push(who);
            }
        }
        let is_frame = |c: &&Command| matches!(c, Command::Send(_));
        self.sent += commands.iter().filter(is_frame).count();
    }
}

fn person(number: usize) -> String {
    format!("honest{number}")
}

impl Crowd {
    /// Their message of this number: who sends it, and what.
    fn message(&self, number: usize) -> (String, String) {
        let sdp = match self.kinds[number / self.names % self.kinds.len()] {
            Kind::Junk(bytes) => "x".repeat(bytes),
            Kind::Call { anew } => {
                let is_odd = number / self.names % 2 == 1;
                offer("MMMM", if anew && is_odd { 'a' } else { 'b' })
            }
        };
        (format!("m{}", number % self.names), sdp)
    }
}

/// As it was seen: most of eight callers got silence.
#[test]
fn sixteen_junk_offers_a_second_from_many_names_cost_no_caller_anything() {
    let crowd = Crowd {
        names: 64,
        every: SECOND / 16,
        kinds: vec![Kind::Junk(1)],
    };
    let honest: Vec<_> = (0..8)
        .map(|i| Honest {
            at: Duration::from_millis(2_000 * i + 1_500),
            connects_in: SECOND,
        })
        .collect();
    assert_eq!(Siege::play(&crowd, &honest).lost, Vec::<usize>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..Default::default() })]

    /// Whatever a crowd of some names sends and how fast, who was not here
    /// before is served, and keeps the call until the media path is up. In the
    /// first seconds the crowd was not here before, either.
    #[test]
    fn a_crowd_that_never_connects_keeps_nobody_out(
        crowd in crowd(),
        honest in proptest::collection::vec(honest(5_000), 1..6),
    ) {
        let Siege { lost, sent, .. } = Siege::play(&crowd, &honest);
        prop_assert!(lost.is_empty(), "{:?} of {:?}", lost, honest);
        prop_assert!(sent < 300 + 40 * 22, "our chat server would close it: {sent} frames");
    }
}
