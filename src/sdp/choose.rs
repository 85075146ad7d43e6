//! What of a description is answered: which section gets the picture, which the
//! sound, which carries the transport.
//!
//! The crate has one transport a connection. So what is served is the section
//! that takes the picture, and of the others those that are bundled with it
//! (RFC 9143); the rest are rejected.

use super::attribute::{Fingerprint, Setup};
use super::candidate::{MAX_CANDIDATES, RemoteCandidate};
use super::format::{SoundFormat, VideoCodec, VideoFormat};
use super::h264::ProfileLevelId;
use super::read::Description;
use super::roles::{Line, Role};
use super::section::Section;
use super::voice::{self, Voice};
use super::{Offer, OfferError};
use crate::wire;

/// Places of [`MAX_CANDIDATES`] for what is said of sections whose transport
/// is not used: a browser that bundles by balance gathers for each section, and
/// all but the first have no effect (RFC 9143 §7.4).
const MAX_BESIDE: usize = MAX_CANDIDATES / 2;

/// Where the media of a call goes and how it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// The section that carries it.
    pub section: usize,
    pub ufrag: String,
    pub pwd: String,
    pub fingerprint: Fingerprint,
    pub ice_lite: bool,
    /// This side begins the DTLS handshake.
    pub we_begin: bool,
}

/// Data channels of the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    pub sctp_port: u16,
    pub max_message_size: u32,
}

/// Whether a candidate is of use to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is of the transport that the call goes over, as far as is known.
    OnPath,
    /// It is of a section that goes over another's transport.
    Beside,
    /// It is of a section that was rejected.
    Elsewhere,
}

impl Description {
    /// A new call.
    pub fn call(&self) -> Result<Offer, OfferError> {
        let (at, formats) = self.picture()?;
        let video = formats.first().ok_or(OfferError::NoFormat)?.clone();
        let bundle = self.bundle_of(at);
        let members = bundle.clone().unwrap_or_else(|| vec![at]);
        let path = self.path(&members, None)?;
        let mut offer = Offer {
            length: self.length,
            ufrags: self.ufrags.clone(),
            fingerprints: self.fingerprints.clone(),
            candidates: Vec::new(),
            video,
            formats,
            sound: None,
            voice: None,
            data: None,
            lines: self.lines(),
            bundle,
            path,
        };
        offer.lines[at].role = Role::Video { sends: true };
        let sound = |i: &usize| {
            let section = &self.sections[*i];
            let sound = section.kind == "audio" && section.receives() && section.is_muxed();
            SoundFormat::choose(section).filter(|_| sound && section.is_rtp())
        };
        if let Some((i, sound)) = members.iter().find_map(|i| Some((*i, sound(i)?))) {
            offer.voice = Voice::of(i, &self.sections[i], &sound, &offer.video);
            offer.sound = Some(sound);
            offer.lines[i].role = Role::Sound { sends: true };
        }
        self.finish_offer(&mut offer, &members);
        Ok(offer)
    }

    /// Another offer within a call that began with `first`: what is sent stays
    /// what it is, for its formats are settled (RFC 3264 §8.3.2).
    pub fn again(&self, first: &Offer) -> Result<Offer, OfferError> {
        // The section that takes it, that had it before, that comes first.
        let best = |kind: &str, has: &dyn Fn(&Section) -> bool, among: Vec<usize>| {
            let fits = |i: &usize| {
                let section = &self.sections[*i];
                section.kind == kind && self.is_usable(*i) && section.is_rtp() && has(section)
            };
            let had = |i: usize| first.lines.get(i).is_some_and(|l| l.role.carries(kind));
            let rank = |i: &usize| {
                let i = *i;
                (self.sections[i].receives(), had(i), std::cmp::Reverse(i))
            };
            among.into_iter().filter(fits).max_by_key(rank)
        };
        let has_video = |section: &Section| first.video.is_in(section);
        let video = best("video", &has_video, (0..self.sections.len()).collect());
        let Some(at) = video else {
            // The picture is what a call is for.
            self.picture()?;
            return Err(OfferError::OtherFormats);
        };
        let bundle = self.bundle_of(at);
        let members = bundle.clone().unwrap_or_else(|| vec![at]);
        let mut offer = Offer {
            length: self.length,
            ufrags: self.ufrags.clone(),
            fingerprints: self.fingerprints.clone(),
            candidates: Vec::new(),
            video: first.video.clone(),
            formats: {
                let has = |f: &&VideoFormat| f.is_in(&self.sections[at]);
                first.formats.iter().filter(has).cloned().collect()
            },
            sound: first.sound.clone(),
            voice: None,
            data: first.data,
            lines: self.lines(),
            bundle,
            path: self.path(&members, Some(&first.path))?,
        };
        offer.lines[at].role = Role::Video {
            sends: self.sections[at].receives(),
        };
        let has_sound = |section: &Section| {
            let sound = first.sound.as_ref();
            sound.is_some_and(|sound| section.is_muxed() && sound.is_in(section))
        };
        let sound = best("audio", &has_sound, members.clone());
        if let (Some(i), Some(format)) = (sound, &first.sound) {
            let section = &self.sections[i];
            let sends = section.receives();
            offer.voice = Voice::of(i, section, format, &offer.video);
            offer.lines[i].role = Role::Sound { sends };
        } else {
            self.voice_again(first, &mut offer, &members);
        }
        self.finish_offer(&mut offer, &members);
        Ok(offer)
    }

    fn lines(&self) -> Vec<Line> {
        let line = |s: &Section| Line {
            kind: s.kind.clone(),
            protocol: s.protocol.clone(),
            format: s.first_format.clone(),
            mid: s.mid.clone(),
            rtcp_rsize: s.rtcp_rsize,
            sctpmap: s.sctpmap,
            role: Role::Rejected,
        };
        self.sections.iter().map(line).collect()
    }

    /// The first section that takes a picture which this device can send.
    fn picture(&self) -> Result<(usize, Vec<VideoFormat>), OfferError> {
        let mut error = OfferError::NoVideo;
        for (i, section) in self.sections.iter().enumerate() {
            if section.kind != "video" || !self.is_usable(i) || !section.receives() {
                continue;
            }
            let formats = VideoFormat::choose(section);
            if formats.is_empty() || !section.is_rtp() {
                error = OfferError::NoFormat;
            } else if !section.is_muxed() {
                error = OfferError::NoRtcpMux;
            } else {
                return Ok((i, formats));
            }
        }
        Err(error)
    }

    /// A port of 0 is a section that was rejected or removed, but for one that
    /// is there only as part of a bundle (RFC 9143 §6).
    fn is_usable(&self, i: usize) -> bool {
        let section = &self.sections[i];
        !section.portless || (section.bundle_only && self.group_of(i).is_some())
    }

    fn group_of(&self, i: usize) -> Option<&Vec<usize>> {
        self.bundles.iter().find(|group| group.contains(&i))
    }

    /// The sections that share a transport with this one, itself among them.
    fn bundle_of(&self, i: usize) -> Option<Vec<usize>> {
        let group = self.group_of(i)?;
        Some(
            group
                .iter()
                .copied()
                .filter(|i| self.is_usable(*i))
                .collect(),
        )
    }

    /// The transport of these sections is that of their first (RFC 9143 §7.2),
    /// or of the next that says how it is made.
    fn path(&self, members: &[usize], first: Option<&Path>) -> Result<Path, OfferError> {
        let mut missing = OfferError::Missing("ICE username and password (a=ice-ufrag, a=ice-pwd)");
        for &i in members {
            let transport = &self.sections[i].transport;
            let (Some(ufrag), Some(pwd)) = (&transport.ufrag, &transport.pwd) else {
                continue;
            };
            let Some(fingerprint) = transport.fingerprint else {
                missing = OfferError::Missing(
                    "DTLS fingerprint (a=fingerprint:sha-256): only encrypted calls are answered",
                );
                continue;
            };
            // A caller who leaves it to us gets the first flight with the
            // answer, unless they are one that only answers.
            let we_begin = match transport.setup.unwrap_or_default() {
                Setup::Active => false,
                Setup::Passive => true,
                Setup::ActPass => !self.ice_lite,
            };
            return Ok(Path {
                section: i,
                ufrag: ufrag.clone(),
                pwd: pwd.clone(),
                fingerprint,
                ice_lite: self.ice_lite,
                we_begin: first.map_or(we_begin, |path| path.we_begin),
            });
        }
        Err(missing)
    }

    /// What does not depend on whether the call is new.
    fn finish_offer(&self, offer: &mut Offer, members: &[usize]) {
        let data = members.iter().find_map(|i| Some((*i, self.data(*i)?)));
        if let Some((i, data)) = data {
            offer.data.get_or_insert(data);
            offer.lines[i].role = Role::Data;
        }
        offer.part_extensions();
        // The bundle's first section cannot be rejected alone.
        if let Some(&tagged) = members.first()
            && offer.lines[tagged].role == Role::Rejected
        {
            offer.lines[tagged].role = idle(&self.sections[tagged]);
        }
        let (on_path, beside): (Vec<_>, Vec<_>) = (0..self.sections.len())
            .filter(|i| members.contains(i))
            .partition(|i| *i == offer.path.section);
        let of = |sections: Vec<usize>| {
            let all = sections
                .into_iter()
                .flat_map(|i| &self.sections[i].candidates);
            all.cloned().collect::<Vec<_>>()
        };
        let mut all = Candidates::default();
        for candidate in of(on_path) {
            all.take(candidate, Place::OnPath);
        }
        for candidate in of(beside) {
            all.take(candidate, Place::Beside);
        }
        offer.candidates = all.taken;
    }

    fn data(&self, i: usize) -> Option<Data> {
        let section = &self.sections[i];
        let protocol = section.protocol.to_ascii_uppercase();
        let is_data = match protocol.as_str() {
            "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP" => section.first_format == "webrtc-datachannel",
            "DTLS/SCTP" => section.sctpmap,
            _ => false,
        };
        (section.kind == "application" && is_data).then_some(Data {
            // RFC 8841 §5.2 has no default; the port is one of SCTP's own, in
            // DTLS, and everybody's is this.
            sctp_port: section.sctp_port.unwrap_or(5_000),
            max_message_size: section.max_message_size.unwrap_or(65_536),
        })
    }
}

/// A section on which nothing is sent.
fn idle(section: &Section) -> Role {
    match section.formats.first() {
        Some(format) if section.is_muxed() => Role::Idle {
            payload_type: format.payload_type,
            name: match format.name.as_str() {
                "" => String::new(),
                name => format!("{name}/{}", format.clock),
            },
        },
        _ => Role::Rejected,
    }
}

impl Offer {
    /// The device has no sound: the section that takes it stands still.
    pub(crate) fn without_sound(mut self) -> Self {
        if let Some(sound) = self.sound.take() {
            for line in &mut self.lines {
                if let Role::Sound { .. } = line.role {
                    voice::unsent(line, sound.opus);
                }
            }
        }
        self
    }

    /// A camera's own H.264 has this profile, and may be what everybody is sent:
    /// the best format that covers it. Where none does and it `passes` now, it is
    /// VP8; else this caller's presence keeps it from passing, and what they get
    /// is encoded here.
    pub(crate) fn suited(mut self, own: ProfileLevelId, passes: bool) -> Self {
        let covers = |f: &&VideoFormat| f.profile.is_some_and(|p| p.covers(own));
        let vp8 = |f: &&VideoFormat| passes && f.codec == VideoCodec::Vp8;
        let mut formats = self.formats.iter();
        let suited = formats.clone().find(covers).or_else(|| formats.find(vp8));
        if let Some(format) = suited {
            self.video = format.clone();
        }
        self
    }

    /// A later offer, where what is sent was chosen. Nothing, if that is no
    /// longer offered.
    pub fn sending(mut self, format: &VideoFormat) -> Option<Self> {
        let is_it =
            |f: &VideoFormat| (f.codec, f.payload_type) == (format.codec, format.payload_type);
        self.video = self.formats.iter().find(|f| is_it(f))?.clone();
        Some(self)
    }

    /// Bundled sections have one table of header extensions (RFC 9143 §13); of
    /// two that are in each other's way the picture's stays.
    fn part_extensions(&mut self) {
        let video = &self.video.extensions;
        if let Some(sound) = &mut self.sound {
            sound
                .extensions
                .retain(|(id, e)| video.iter().all(|(i, v)| (i == id) == (v == e)));
        }
    }

    /// Where a trickled candidate belongs.
    pub fn place(&self, candidate: &wire::Candidate) -> Place {
        let mid = candidate.sdp_mid.as_deref().filter(|mid| !mid.is_empty());
        let by_mid = mid.and_then(|mid| {
            let is_it = |l: &Line| l.mid.as_deref() == Some(mid);
            self.lines.iter().position(is_it)
        });
        let by_index = || candidate.sdp_mline_index.map(usize::from);
        let section = by_mid.or_else(by_index).filter(|i| *i < self.lines.len());
        let on_path = section.is_none_or(|i| i == self.path.section);
        match candidate.ufrag() {
            Some(ufrag) if ufrag == self.path.ufrag && on_path => Place::OnPath,
            Some(ufrag) if ufrag == self.path.ufrag => Place::Beside,
            Some(ufrag) if self.ufrags.iter().any(|u| u == ufrag) => Place::Elsewhere,
            // Of an earlier generation, or it does not say.
            Some(_) | None if on_path => Place::OnPath,
            Some(_) | None => match (&self.bundle, section) {
                (Some(bundle), Some(i)) if bundle.contains(&i) => Place::Beside,
                _ => Place::Elsewhere,
            },
        }
    }
}

/// The candidates of one ICE generation, each place once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidates {
    taken: Vec<RemoteCandidate>,
    beside: usize,
}

impl Candidates {
    /// Returns true for one that is new and still finds room.
    pub fn take(&mut self, candidate: RemoteCandidate, place: Place) -> bool {
        let is_new = !self.taken.iter().any(|t| t.is_same_place(&candidate));
        let has_room = match place {
            Place::OnPath => self.taken.len() < MAX_CANDIDATES,
            Place::Beside => self.taken.len() < MAX_CANDIDATES && self.beside < MAX_BESIDE,
            Place::Elsewhere => false,
        };
        if is_new && has_room {
            self.beside += usize::from(place == Place::Beside);
            self.taken.push(candidate);
        }
        is_new && has_room
    }

    /// There is room for no more.
    pub(crate) fn is_full(&self) -> bool {
        self.taken.len() >= MAX_CANDIDATES
    }
}
