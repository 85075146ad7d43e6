//! Any offer that a browser can write, and any that nobody would, answered by
//! the crate.

use proptest::prelude::*;
use proptest::sample::Index;

use super::written::written;
use super::*;
use crate::sdp::{Description, MAX_CANDIDATES, MAX_SDP_BYTES};

/// A section of a description: its first line's words, and its attributes.
struct Seen<'a> {
    words: Vec<&'a str>,
    attributes: Vec<&'a str>,
}

impl<'a> Seen<'a> {
    fn all(text: &'a str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for line in text.lines() {
            if let Some(media) = line.strip_prefix("m=") {
                all.push(Self {
                    words: media.split(' ').collect(),
                    attributes: Vec::new(),
                });
            } else if let (Some(section), Some(attribute)) =
                (all.last_mut(), line.strip_prefix("a="))
            {
                section.attributes.push(attribute);
            }
        }
        all
    }

    fn value(&self, key: &str) -> Option<&'a str> {
        self.attributes.iter().find_map(|a| a.strip_prefix(key))
    }

    fn accepted(&self) -> bool {
        self.words[1] != "0"
    }
}

/// What holds of each answer to each offer.
fn check(offered: &str, answered: &str) {
    let (offer, answer) = (Seen::all(offered), Seen::all(answered));
    assert_eq!(answer.len(), offer.len(), "{answered}");
    let mut pictures = 0;
    for (theirs, ours) in offer.iter().zip(&answer) {
        let same = |s: &Seen<'_>| (s.words[0].to_owned(), s.words[2].to_owned());
        assert_eq!(same(ours), same(theirs));
        assert_eq!(ours.value("mid:"), theirs.value("mid:"));
        assert!(
            ours.words[3..]
                .iter()
                .all(|f| theirs.words[3..].contains(f))
        );
        if ours.accepted() && ours.words[0] != "application" {
            assert!(ours.attributes.contains(&"rtcp-mux"));
            let sends = ours.attributes.contains(&"sendonly");
            assert!(sends != ours.attributes.contains(&"inactive"));
            pictures += usize::from(sends && ours.words[0] == "video");
        }
        for extmap in ours.attributes.iter().filter(|a| a.starts_with("extmap:")) {
            assert!(theirs.attributes.contains(extmap), "{extmap}");
        }
    }
    assert_eq!(pictures, 1, "{answered}");
    let accepted: Vec<_> = answer.iter().filter(|s| s.accepted()).collect();
    let group = answered
        .lines()
        .find_map(|l| l.strip_prefix("a=group:BUNDLE "));
    match group {
        Some(group) => {
            let mids: Vec<_> = accepted.iter().filter_map(|s| s.value("mid:")).collect();
            assert_eq!(group.split(' ').collect::<Vec<_>>(), mids);
        }
        None => assert_eq!(accepted.len(), 1),
    }
    assert!(!answered.contains("stranger"));
}

fn call(rehearsal: &Rehearsal, text: &str) -> Option<String> {
    let now = Instant::now();
    let offer = Offer::parse(text).ok()?;
    assert!(offer.candidates.len() <= MAX_CANDIDATES);
    assert!(!offer.for_crate().contains("stranger"));
    let mut call = rehearsal.call(&offer, now).expect("a connection");
    let answer = call.answer(&offer, now).expect("what is read is answered");
    // The same offer again, as after a change that says nothing.
    let again = Description::read(text).and_then(|d| d.again(&offer));
    let again = again.expect("it was read before");
    assert_eq!(again.for_crate(), offer.for_crate());
    let second = call.answer(&again, now).expect("and again");
    let roles = |text: &str| -> Vec<String> {
        let all = Seen::all(text);
        all.iter().map(|s| s.words.join(" ")).collect()
    };
    assert_eq!(roles(&second), roles(&answer));
    Some(answer)
}

fn fixtures() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/offers");
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .expect("the fixtures")
        .map(|f| std::fs::read_to_string(f.expect("a file").path()).expect("text"))
        .collect();
    all.push(include_str!("../../../tests/fixtures/offer-chromium.sdp").to_owned());
    all.push(include_str!("../../../tests/fixtures/offer-firefox-no-h264.sdp").to_owned());
    all
}

/// What somebody does to a text.
#[derive(Debug, Clone)]
enum Harm {
    Cut(Index, Index),
    Repeat(Index, Index, u8),
    Swap(Index, Index),
    Drop(Index),
    Put(Index, String),
}

impl Harm {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        prop_oneof![
            (at(), at()).prop_map(|(a, b)| Self::Cut(a, b)),
            (at(), at(), 1_u8..20).prop_map(|(a, b, n)| Self::Repeat(a, b, n)),
            (at(), at()).prop_map(|(a, b)| Self::Swap(a, b)),
            at().prop_map(Self::Drop),
            (at(), "[ -~\r\n]{0,12}").prop_map(|(a, text)| Self::Put(a, text)),
        ]
    }

    fn to(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return String::new();
        }
        let most = lines.len();
        match self {
            Self::Cut(a, b) => {
                let line = &mut lines[a.index(most)];
                let at = line.floor_char_boundary(b.index(line.len() + 1));
                line.truncate(at);
            }
            Self::Repeat(a, b, n) => {
                let line = lines[a.index(most)].clone();
                for _ in 0..*n {
                    lines.insert(b.index(most), line.clone());
                }
            }
            Self::Swap(a, b) => lines.swap(a.index(most), b.index(most)),
            Self::Drop(a) => {
                lines.remove(a.index(most));
            }
            Self::Put(a, new) => {
                let line = &mut lines[a.index(most)];
                let at = line.floor_char_boundary(a.index(line.len() + 1));
                line.insert_str(at, new);
            }
        }
        lines.join("\r\n")
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn any_offer_that_a_browser_can_write_is_answered_section_by_section() {
    let rehearsal = Rehearsal::new().expect("a certificate");
    proptest!(cases(96), |(written in written())| {
        let text = written.text();
        let answer = call(&rehearsal, &text).expect("it takes a picture");
        check(&text, &answer);
    });
}

#[test]
fn whatever_is_done_to_an_offer_what_is_read_of_it_is_answered() {
    let rehearsal = Rehearsal::new().expect("a certificate");
    let fixtures = fixtures();
    let harms = proptest::collection::vec(Harm::any(), 1..12);
    proptest!(cases(128), |(at in any::<Index>(), harms in harms)| {
        let whole = at.get(&fixtures).clone();
        let text = harms.iter().fold(whole, |text, harm| harm.to(&text));
        if let Some(answer) = call(&rehearsal, &text) {
            prop_assert!(answer.lines().filter(|l| l.starts_with("m=")).count() > 0);
        }
    });
}

/// The first two rows of what a stranger can do, and their neighbours: one
/// offer of nearly 60 kB, of whatever costs most.
#[test]
fn an_offer_that_is_large_in_any_way_costs_little() {
    let rehearsal = Rehearsal::new().expect("a certificate");
    let whole = include_str!("../../../tests/fixtures/offers/three-sections.sdp");
    let fill = |line: &str| line.repeat((MAX_SDP_BYTES - whole.len() - 100) / line.len());
    let numbered = |f: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for i in 0.. {
            let line = f(i);
            if text.len() + line.len() + whole.len() + 100 > MAX_SDP_BYTES {
                return text;
            }
            text.push_str(&line);
        }
        unreachable!("it ends when it is full")
    };
    let in_video = |text: &str| {
        let after = "m=application";
        whole.replacen(after, &format!("{text}{after}"), 1)
    };
    let formats = whole.replacen(" 96 102", &format!(" 96 102{}", fill(" 8")), 1);
    let mut all = vec![formats];
    for line in [
        "a=rtcp-fb:96 nack\r\n",
        "a=rtcp-fb:* nack\r\n",
        "a=x\r\n",
        "a=\r\n",
        "\n",
        "x",
    ] {
        all.push(in_video(&fill(line)));
    }
    for numbered in [
        numbered(&|i| format!("a=candidate:{i} 1 udp 1 192.0.2.1 {} typ host\r\n", 1 + i)),
        numbered(&|i| format!("a=rtpmap:{} VP8/90000\r\n", i % 128)),
        numbered(&|i| format!("a=fmtp:{} apt={}\r\n", i % 128, i % 64)),
        numbered(&|i| format!("a=extmap:{i} urn:{i}\r\n")),
        numbered(&|i| format!("a=ssrc:{i} cname:{i}\r\n")),
        numbered(&|i| format!("a=rid:{i} recv\r\n")),
        numbered(&|i| format!("a=ice-ufrag:abcd{i}\r\n")),
    ] {
        all.push(in_video(&numbered));
    }
    all.push(whole.replacen("BUNDLE 0 1 2", &format!("BUNDLE 0 1 2{}", fill(" 1")), 1));
    all.push(whole.replacen(
        "a=group",
        &format!("{}a=group", fill("a=group:BUNDLE 0 1\r\n")),
        1,
    ));
    all.push(whole.replacen(
        "a=mid:1",
        &format!("a=fmtp:96 {}\r\na=mid:1", fill("x=1;")),
        1,
    ));
    for (i, text) in all.iter().enumerate() {
        assert!(
            text.len() > MAX_SDP_BYTES - 500 && text.len() <= MAX_SDP_BYTES,
            "{i}"
        );
        let started = Instant::now();
        let answer = call(&rehearsal, text);
        let took = started.elapsed();
        let answer = answer.unwrap_or_else(|| panic!("{i}: {:?}", Offer::parse(text)));
        check(text, &answer);
        // Two calls, in a build for debugging, on a machine at work.
        assert!(took.as_millis() < 1_000, "{i}: {took:?}");
        let given = Offer::parse(text).expect("read before").for_crate();
        assert!(given.len() < 4_000, "{i}: {} bytes", given.len());
    }
}
