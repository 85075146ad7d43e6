//! What the device reads in a caller's offer, what the crate is told of it, and
//! what the caller is answered. Text in, text out; no connection, no policy.
//!
//! A stranger's text ends in this room. [`Description::read`] takes what it
//! understands of it into typed, bounded values; [`Description::call`] chooses
//! what of it a call is made of; [`Offer::for_crate`] writes a small offer of
//! that in our own words, and [`Offer::answer`] puts the crate's answer to it
//! back onto the caller's own sections: as many, in their order, with their
//! mids.
//!
//! The crate always sees the same sections in the same order under names of
//! ours, whatever the caller adds, moves or takes away within a call.

mod answer;
mod attribute;
mod candidate;
mod choose;
mod format;
mod h264;
mod read;
mod roles;
mod section;
mod voice;
mod write;

#[cfg(test)]
mod tests;

use crate::access::Side;
use crate::reason::Code;
pub use answer::AnswerError;
use attribute::Fingerprint;
pub(crate) use candidate::is_one_machine;
pub use candidate::{MAX_CANDIDATES, RemoteCandidate, Unfit};
pub use choose::{Candidates, Place};
use choose::{Data, Path};
pub use format::{RedFormat, SoundFormat, VideoCodec, VideoFormat};
pub use h264::ProfileLevelId;
pub use read::Description;
use read::MAX_SECTIONS;
use roles::{Line, Role};
pub use voice::Voice;

/// Longest description read, in bytes. A browser's offer has 5 to 15 kB.
pub(crate) const MAX_SDP_BYTES: usize = 60 * 1024;

/// Why an offer cannot be answered. Each says what the caller would have to
/// change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Longer than [`MAX_SDP_BYTES`].
    #[error("the offer has {0} bytes, the limit is {MAX_SDP_BYTES}")]
    TooLong(usize),
    /// More than the sections a call can need.
    #[error("the offer has more than {MAX_SECTIONS} media sections")]
    TooManySections,
    /// Not SDP.
    #[error("the offer is not readable SDP: it has no media section (m=)")]
    NoSections,
    /// A section, counted from 1, that an answer could not repeat.
    #[error("media section {0} of the offer is not readable: its m= line is incomplete")]
    BadSection(usize),
    /// No `m=video` section that wants to receive.
    #[error("the offer has no video section that receives (a=recvonly or a=sendrecv)")]
    NoVideo,
    /// A video section, but nothing in it that this device can encode.
    #[error("the offer has no video format this device can send (H.264 packetization-mode 1, VP8)")]
    NoFormat,
    /// RTCP on a port of its own.
    #[error("the offer's video section has no a=rtcp-mux: RTP and RTCP go over one port here")]
    NoRtcpMux,
    /// ICE or DTLS parameters are missing.
    #[error("the offer has no {0}")]
    Missing(&'static str),
    /// The formats that the call began with are gone.
    #[error("the offer no longer takes the video format that the call began with; call again")]
    OtherFormats,
}

impl OfferError {
    /// For programs; what a person could not mend has one together.
    pub fn code(&self) -> Code {
        match self {
            Self::NoVideo => Code::NoVideo,
            Self::NoFormat => Code::NoFormat,
            Self::OtherFormats => Code::OtherFormats,
            Self::TooLong(_)
            | Self::TooManySections
            | Self::NoSections
            | Self::BadSection(_)
            | Self::NoRtcpMux
            | Self::Missing(_) => Code::BadOffer,
        }
    }
}

/// What a call is made of, and how its sections are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Of the text that was read, in bytes.
    pub length: usize,
    /// Every ICE username fragment in the offer, in the order of the text.
    pub ufrags: Vec<String>,
    /// Every SHA-256 fingerprint in it, sorted: who calls, as far as that can be
    /// known.
    fingerprints: Vec<Fingerprint>,
    /// The candidates that came with it, fit for use and each place once; at
    /// most [`MAX_CANDIDATES`].
    pub candidates: Vec<RemoteCandidate>,
    /// What the caller is sent as video.
    pub video: VideoFormat,
    /// What they could be sent, best first.
    formats: Vec<VideoFormat>,
    /// How they take sound, where the offer takes Opus.
    pub sound: Option<SoundFormat>,
    /// What they say themselves.
    voice: Option<Voice>,
    data: Option<Data>,
    /// The offer's sections.
    lines: Vec<Line>,
    /// The sections that share a transport, where the offer says so.
    bundle: Option<Vec<usize>>,
    path: Path,
}

impl Offer {
    /// Their ICE user and password, which checks of ours are signed with.
    pub(crate) fn credentials(&self) -> (&str, &str) {
        (&self.path.ufrag, &self.path.pwd)
    }
}

impl Description {
    /// It comes from the same peer connection as an earlier offer: with the same
    /// DTLS certificate. A page that was loaded anew has made itself another.
    pub(crate) fn is_of_same_peer(&self, offer: &Offer) -> bool {
        self.fingerprints == offer.fingerprints
    }
}

/// The first ICE user in a description's text.
pub(crate) fn first_ufrag(sdp: &str) -> &str {
    let value = |line| str::strip_prefix(line, "a=ice-ufrag:");
    sdp.lines().find_map(value).unwrap_or_default().trim()
}

/// Who a text says that it is of, at a glance: nothing is checked but what is
/// looked for, and whoever reads the text holds it against that.
#[derive(Debug)]
pub struct Glance<'a> {
    fingerprint: Fingerprint,
    ufrag: &'a str,
}

impl Glance<'_> {
    /// As [`Description::author`].
    pub fn author(&self) -> Side<'_> {
        Side {
            fingerprint: &self.fingerprint.0,
            ufrag: self.ufrag,
        }
    }
}

/// Looks for the fingerprint that every line for one has, and for the first ICE
/// user. `None` where the text is too long, or there are several fingerprints or
/// none.
pub(crate) fn glance(sdp: &str) -> Option<Glance<'_>> {
    if sdp.len() > MAX_SDP_BYTES {
        return None;
    }
    let values = |key: &'static str| {
        sdp.match_indices(key).map(move |(at, _)| {
            let value = &sdp[at + key.len()..];
            let end = value.find(['\r', '\n']).unwrap_or(value.len());
            value[..end].trim()
        })
    };
    let mut fingerprints = values("a=fingerprint:").map(Fingerprint::read);
    let fingerprint = fingerprints.next()??;
    let ufrag = values("a=ice-ufrag:").next()?;
    fingerprints
        .all(|other| other == Some(fingerprint))
        .then_some(Glance { fingerprint, ufrag })
}

impl Description {
    /// Who wrote it, where every fingerprint in it is the same SHA-256: that,
    /// and the first ICE user in the text.
    pub fn author(&self) -> Option<Side<'_>> {
        match (&self.fingerprints[..], self.ufrags.first()) {
            ([Fingerprint(fingerprint)], Some(ufrag)) if !self.other_fingerprints => {
                Some(Side { fingerprint, ufrag })
            }
            _ => None,
        }
    }
}

impl Offer {
    /// Of a certificate that it names, by which whoever wrote it is known.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.path.fingerprint.0
    }

    /// Reads the offer of a new call.
    pub fn parse(sdp: &str) -> Result<Self, OfferError> {
        Description::read(sdp)?.call()
    }

    /// The section that our candidates belong to: its mid, where it has one,
    /// and its index.
    pub(crate) fn carrier(&self) -> (Option<&str>, usize) {
        let at = self.answer_tag();
        (self.lines[at].mid.as_deref(), at)
    }

    /// How many sections it has.
    pub fn sections(&self) -> usize {
        self.lines.len()
    }

    /// The caller takes the picture now.
    pub fn takes_picture(&self) -> bool {
        let takes = |l: &Line| l.role == Role::Video { sends: true };
        self.lines.iter().any(takes)
    }

    /// The caller takes the sound now.
    pub fn takes_sound(&self) -> bool {
        let takes = |l: &Line| l.role == Role::Sound { sends: true };
        self.lines.iter().any(takes)
    }
}
