//! One media section of a stranger's description, line by line.

use super::attribute::{Direction, Extension, Feedback, Transport, set};
use super::candidate::{MAX_CANDIDATES, RemoteCandidate};

/// The level of what is said, in each packet (RFC 6464).
pub(super) const LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// Formats of a section, each taken once; a browser has up to 50. What follows
/// them is passed over.
const MAX_FORMATS: usize = 64;
/// Header extensions of a section; one-byte headers have no more ids than 14
/// (RFC 8285 §4.2).
const MAX_EXTENSION_ID: u8 = 14;
/// Longest word that an answer repeats: a kind, a protocol, a format.
const MAX_TOKEN: usize = 64;
/// Longest mid (RFC 9143 asks for 3 bytes and fewer).
const MAX_MID: usize = 16;
/// Longest parameters of a format that are looked at.
const MAX_FMTP: usize = 512;

/// One format of an RTP section that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Format {
    pub payload_type: u8,
    /// Of its `a=rtpmap`; empty where it has none.
    pub name: String,
    /// In Hz; 0 where it has none.
    pub clock: u32,
    pub fmtp: String,
    pub feedback: Feedback,
}

impl Format {
    pub(super) fn is(&self, name: &str, clock: u32) -> bool {
        self.clock == clock && self.name.eq_ignore_ascii_case(name)
    }

    /// A parameter of its `a=fmtp`.
    pub(super) fn parameter(&self, key: &str) -> Option<&str> {
        self.fmtp.split(';').find_map(|p| {
            let (k, v) = p.trim().split_once('=')?;
            k.trim_end().eq_ignore_ascii_case(key).then(|| v.trim())
        })
    }
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Section {
    pub kind: String,
    /// The port is 0: rejected, or bundle-only.
    pub portless: bool,
    pub bundle_only: bool,
    pub protocol: String,
    /// The first format, as it stands.
    pub first_format: String,
    /// Of an RTP section, in the offerer's order.
    pub formats: Vec<Format>,
    pub mid: Option<String>,
    pub direction: Option<Direction>,
    pub transport: Transport,
    pub rtcp_mux: bool,
    pub rtcp_rsize: bool,
    pub extensions: Vec<(u8, Extension)>,
    /// The id of the header extension with the level of what is said.
    pub level: Option<u8>,
    pub candidates: Vec<RemoteCandidate>,
    /// RFC 8841 §5.
    pub sctp_port: Option<u16>,
    /// In bytes; 0 is without a limit (RFC 8841 §6).
    pub max_message_size: Option<u32>,
    /// Data channels, as they were written before RFC 8841
    /// (draft-ietf-mmusic-sctp-sdp-07 and older).
    pub sctpmap: bool,
}

impl Section {
    /// Its RTCP goes with its RTP. A section that is there only as part of a
    /// bundle need not say so (RFC 9143 §9.3.1.1).
    pub(super) fn is_muxed(&self) -> bool {
        self.rtcp_mux || (self.bundle_only && self.portless)
    }

    /// RTP under DTLS, or what says no other thing: JSEP takes every RTP
    /// profile for the same (RFC 9429 §5.1.2).
    pub(super) fn is_rtp(&self) -> bool {
        let mut words = self.protocol.split('/').rev();
        let profile = words.next().unwrap_or_default().to_ascii_uppercase();
        matches!(profile.as_str(), "AVP" | "AVPF" | "SAVP" | "SAVPF")
            && words.next().is_some_and(|w| w.eq_ignore_ascii_case("RTP"))
    }

    pub(super) fn receives(&self) -> bool {
        match self.direction.unwrap_or_default() {
            Direction::SendRecv | Direction::RecvOnly => true,
            Direction::SendOnly | Direction::Inactive => false,
        }
    }

    pub(super) fn sends(&self) -> bool {
        match self.direction.unwrap_or_default() {
            Direction::SendRecv | Direction::SendOnly => true,
            Direction::RecvOnly | Direction::Inactive => false,
        }
    }
}

/// Something that stands between spaces in an answer.
fn is_token(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What is taken for a profile and for a format that were not written. The
/// section is rejected, and its line in the answer has to be whole.
const NO_PROFILE: &str = "UDP/TLS/RTP/SAVPF";
const NO_FORMAT: &str = "0";

/// A section of its line, `<media> <port>[/<number>] <proto> <fmt> …` (RFC 8866
/// §5.14), or nothing, if an answer could not repeat that. A line that breaks
/// off is of a section that nothing can be sent to.
pub(super) fn media_line(line: &str) -> Option<Section> {
    let mut words = line.split_ascii_whitespace();
    let (kind, port) = (words.next()?, words.next().unwrap_or_default());
    let protocol = words.next().unwrap_or(NO_PROFILE);
    let first = words.next();
    let (first, port) = (first.unwrap_or(NO_FORMAT), first.map_or("0", |_| port));
    if ![kind, protocol, first]
        .iter()
        .all(|w| is_token(w, MAX_TOKEN))
    {
        return None;
    }
    let port = port.split('/').next().unwrap_or_default();
    let mut section = Section {
        kind: kind.to_owned(),
        // A port that is none cannot be sent to.
        portless: port.parse::<u16>().is_ok_and(|p| p == 0) || port.parse::<u16>().is_err(),
        protocol: protocol.to_owned(),
        first_format: first.to_owned(),
        ..Section::default()
    };
    if !section.is_rtp() {
        return Some(section);
    }
    let mut seen = [false; 128];
    for word in std::iter::once(first).chain(words) {
        let Some(payload_type) = word.parse::<u8>().ok().filter(|pt| *pt < 128) else {
            continue;
        };
        if !std::mem::replace(&mut seen[usize::from(payload_type)], true) {
            section.formats.push(Format {
                payload_type,
                ..Format::default()
            });
            if section.formats.len() == MAX_FORMATS {
                break;
            }
        }
    }
    Some(section)
}

impl Section {
    pub(super) fn attribute(&mut self, key: &str, value: &str) {
        match key {
            "mid" if is_token(value, MAX_MID) => set(&mut self.mid, value),
            "bundle-only" => self.bundle_only = true,
            "rtcp-mux" | "rtcp-mux-only" => self.rtcp_mux = true,
            "rtcp-rsize" => self.rtcp_rsize = true,
            "rtpmap" => self.rtpmap(value),
            "fmtp" => self.fmtp(value),
            "rtcp-fb" => self.rtcp_fb(value),
            "extmap" => self.extmap(value),
            "candidate" => {
                // What cannot be used takes no place.
                if self.candidates.len() < MAX_CANDIDATES {
                    self.candidates.extend(RemoteCandidate::read(value));
                }
            }
            "sctp-port" => self.sctp_port = self.sctp_port.or(value.parse().ok()),
            "sctpmap" => self.sctpmap(value),
            "max-message-size" => {
                self.max_message_size = self.max_message_size.or(value.parse().ok());
            }
            _ => {
                if let Some(direction) = Direction::read(key) {
                    self.direction.get_or_insert(direction);
                } else {
                    self.transport.attribute(key, value);
                }
            }
        }
    }

    fn format(&mut self, payload_type: &str) -> Option<&mut Format> {
        let payload_type = payload_type.parse::<u8>().ok()?;
        self.formats
            .iter_mut()
            .find(|f| f.payload_type == payload_type)
    }

    /// `<pt> <name>/<clock>[/<channels>]` (RFC 8866 §6.6).
    fn rtpmap(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let (Some(pt), Some(encoding)) = (words.next(), words.next()) else {
            return;
        };
        let mut parts = encoding.split('/');
        let (name, clock) = (parts.next().unwrap_or_default(), parts.next());
        let clock = clock.and_then(|c| c.parse().ok());
        if let Some(format) = self.format(pt)
            && let Some(clock) = clock
            && is_token(name, MAX_TOKEN)
            && format.name.is_empty()
        {
            name.clone_into(&mut format.name);
            format.clock = clock;
        }
    }

    fn fmtp(&mut self, value: &str) {
        let Some((pt, parameters)) = value.split_once(|c: char| c.is_ascii_whitespace()) else {
            return;
        };
        let parameters = parameters.trim();
        if let Some(format) = self.format(pt)
            && format.fmtp.len() + parameters.len() <= MAX_FMTP
        {
            // In several lines as in one; of a parameter the first one counts.
            if !format.fmtp.is_empty() {
                format.fmtp.push(';');
            }
            format.fmtp.push_str(parameters);
        }
    }

    fn rtcp_fb(&mut self, value: &str) {
        let Some((pt, feedback)) = value.split_once(|c: char| c.is_ascii_whitespace()) else {
            return;
        };
        let feedback = Feedback::read(feedback);
        if pt == "*" {
            for format in &mut self.formats {
                format.feedback = format.feedback.and(feedback);
            }
        } else if let Some(format) = self.format(pt) {
            format.feedback = format.feedback.and(feedback);
        }
    }

    /// `<port> webrtc-datachannel [<streams>]`.
    fn sctpmap(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let port = words.next().and_then(|port| port.parse().ok());
        if let Some(port) = port
            && words.next() == Some("webrtc-datachannel")
        {
            self.sctp_port = self.sctp_port.or(Some(port));
            self.sctpmap = true;
        }
    }

    /// `<id>[/<direction>] <uri> …` (RFC 8285 §5).
    fn extmap(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let (Some(id), Some(uri)) = (words.next(), words.next()) else {
            return;
        };
        let (id, direction) = id.split_once('/').unwrap_or((id, "sendrecv"));
        let direction = Direction::read(direction);
        let Some(id) = id
            .parse()
            .ok()
            .filter(|id| (1..=MAX_EXTENSION_ID).contains(id))
        else {
            return;
        };
        if uri == LEVEL_URI && matches!(direction, Some(Direction::SendRecv | Direction::SendOnly))
        {
            self.level.get_or_insert(id);
        }
        // One that the offerer takes.
        let is_received = matches!(direction, Some(Direction::SendRecv | Direction::RecvOnly));
        let Some(extension) = Extension::read(uri).filter(|_| is_received) else {
            return;
        };
        let is_new = |(i, e): &(u8, Extension)| *i != id && *e != extension;
        if self.extensions.iter().all(is_new) {
            self.extensions.push((id, extension));
        }
    }
}
