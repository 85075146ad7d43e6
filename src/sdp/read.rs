//! Reads a stranger's description: tolerant, bounded, in one pass.
//!
//! What is not understood is passed over, line by line, and what is missing has
//! the default of its RFC. Nothing here decides whether an offer can be
//! answered; see [`super::choose`].
//!
//! Lines end with LF, CRLF or the text. Each line costs time by its length
//! alone, and what is kept of a section is bounded by the constants below.

use super::attribute::{Direction, Fingerprint, Transport};
use super::section::{Section, media_line};
use super::{MAX_SDP_BYTES, OfferError};

/// Most media sections; a browser's page has two or three.
pub(super) const MAX_SECTIONS: usize = 32;
/// Attributes of a section, and of the session; a browser has up to 300. What
/// follows them is passed over.
const MAX_ATTRIBUTES: usize = 512;

/// A description, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Of the text, in bytes.
    pub(super) length: usize,
    pub(super) sections: Vec<Section>,
    /// The sections of each BUNDLE group (RFC 9143), in the group's order.
    pub(super) bundles: Vec<Vec<usize>>,
    /// Every ICE username fragment, in the order of the text.
    pub(super) ufrags: Vec<String>,
    /// Every SHA-256 fingerprint, sorted.
    pub(super) fingerprints: Vec<Fingerprint>,
    /// There are fingerprints of other kinds, or two at one place.
    pub(super) other_fingerprints: bool,
    /// The offerer only answers checks (RFC 8839 §5.3).
    pub(super) ice_lite: bool,
}

impl Description {
    /// Reads a text. It fails where the text is too large, or where its media
    /// sections cannot be told apart.
    pub fn read(text: &str) -> Result<Self, OfferError> {
        if text.len() > MAX_SDP_BYTES {
            return Err(OfferError::TooLong(text.len()));
        }
        let mut this = Self {
            length: text.len(),
            ..Self::default()
        };
        let mut session = Session::default();
        let mut attributes = 0;
        for line in text.split(['\r', '\n']) {
            let line = line.trim();
            if let Some(media) = line.strip_prefix("m=") {
                if this.sections.len() == MAX_SECTIONS {
                    return Err(OfferError::TooManySections);
                }
                let section =
                    media_line(media).ok_or(OfferError::BadSection(this.sections.len() + 1))?;
                this.sections.push(section);
                attributes = 0;
            } else if let Some(attribute) = line.strip_prefix("a=") {
                attributes += 1;
                if attributes > MAX_ATTRIBUTES {
                    continue;
                }
                let (key, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                let (key, value) = (key.trim(), value.trim());
                match this.sections.last_mut() {
                    Some(section) => section.attribute(key, value),
                    None => session.attribute(key, value),
                }
            }
        }
        if this.sections.is_empty() {
            return Err(OfferError::NoSections);
        }
        this.finish(session);
        Ok(this)
    }

    /// What sections leave unsaid, the session says for them.
    fn finish(&mut self, session: Session) {
        self.ice_lite = session.ice_lite;
        self.note(&session.transport);
        for i in 0..self.sections.len() {
            let transport = self.sections[i].transport.clone();
            self.note(&transport);
            let section = &mut self.sections[i];
            let inherited = &session.transport;
            section.direction = section.direction.or(session.direction);
            let own = &mut section.transport;
            own.ufrag = own.ufrag.take().or_else(|| inherited.ufrag.clone());
            own.pwd = own.pwd.take().or_else(|| inherited.pwd.clone());
            own.fingerprint = own.fingerprint.or(inherited.fingerprint);
            own.setup = own.setup.or(inherited.setup);
            section.rtcp_mux |= session.rtcp_mux;
            // The first owner keeps a mid.
            let (before, rest) = self.sections.split_at_mut(i);
            let mid = &mut rest[0].mid;
            if before.iter().any(|s| s.mid.is_some() && s.mid == *mid) {
                *mid = None;
            }
        }
        self.fingerprints.sort();
        self.fingerprints.dedup();
        for group in session.bundles {
            let mut members = Vec::new();
            for mid in group.split_ascii_whitespace() {
                if let Some(i) = self.section_of(mid)
                    && !members.contains(&i)
                {
                    members.push(i);
                }
            }
            self.bundles.push(members);
        }
    }

    fn note(&mut self, transport: &Transport) {
        if let Some(ufrag) = &transport.ufrag
            && !self.ufrags.contains(ufrag)
        {
            self.ufrags.push(ufrag.clone());
        }
        self.fingerprints.extend(transport.fingerprint);
        self.other_fingerprints |= transport.another_fingerprint;
    }

    pub(super) fn section_of(&self, mid: &str) -> Option<usize> {
        self.sections
            .iter()
            .position(|s| s.mid.as_deref() == Some(mid))
    }
}

/// What is said before the first section.
#[derive(Debug, Default)]
struct Session {
    transport: Transport,
    direction: Option<Direction>,
    ice_lite: bool,
    rtcp_mux: bool,
    /// The mids of each BUNDLE group.
    bundles: Vec<String>,
}

impl Session {
    fn attribute(&mut self, key: &str, value: &str) {
        match key {
            "group" => {
                if let Some((semantics, mids)) = value.split_once([' ', '\t'])
                    && semantics.eq_ignore_ascii_case("BUNDLE")
                    && self.bundles.len() < MAX_SECTIONS
                {
                    self.bundles.push(mids.to_owned());
                }
            }
            "ice-lite" => self.ice_lite = true,
            "rtcp-mux" => self.rtcp_mux = true,
            _ => {
                if let Some(direction) = Direction::read(key) {
                    self.direction.get_or_insert(direction);
                } else {
                    self.transport.attribute(key, value);
                }
            }
        }
    }
}
