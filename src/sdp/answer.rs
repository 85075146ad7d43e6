//! The crate's answer, put back onto the caller's own sections (RFC 3264 §6).

use super::Offer;
use super::h264::ProfileLevelId;
use super::roles::{Line, Role};
use super::section::LEVEL_URI;
use super::write::{DATA, SOUND, VIDEO, line};

/// Of the crate's end of data channels.
const SCTP_PORT: u16 = 5_000;

/// The crate answered otherwise than it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It left out or refused a section that a call cannot do without.
    #[error("the answer has no {0} section")]
    NoSection(&'static str),
    /// It has no ICE or DTLS parameters.
    #[error("the answer has no {0}")]
    Missing(&'static str),
}

/// The crate's answer, taken apart.
struct Crates<'a> {
    origin: &'a str,
    fingerprint: &'a str,
    ufrag: &'a str,
    pwd: &'a str,
    /// Of the first section, which are everybody's.
    candidates: Vec<&'a str>,
    sections: Vec<Answered<'a>>,
}

/// One of its sections.
struct Answered<'a> {
    mid: &'a str,
    formats: &'a str,
    attributes: Vec<&'a str>,
}

impl Offer {
    /// The answer as the caller is sent it, of the crate's answer to
    /// [`Self::for_crate`]: with the `profile-level-id` of the stream's own SPS,
    /// where it is known, since a mismatch is a black picture in Safari.
    pub fn answer(
        &self,
        of_crate: &str,
        stream: Option<ProfileLevelId>,
    ) -> Result<String, AnswerError> {
        let of_crate = Crates::read(of_crate)?;
        let mut text = format!("v=0\r\n{}\r\ns=-\r\nt=0 0\r\n", of_crate.origin);
        if let Some(bundle) = &self.bundle {
            text.push_str("a=group:BUNDLE");
            for &i in bundle.iter().filter(|i| self.is_accepted(**i)) {
                text.push(' ');
                text.push_str(self.lines[i].mid.as_deref().unwrap_or_default());
            }
            text.push_str("\r\n");
        }
        line(
            &mut text,
            format_args!("a=fingerprint:{}", of_crate.fingerprint),
        );
        line(&mut text, format_args!("a=msid-semantic:WMS *"));
        for (i, section) in self.lines.iter().enumerate() {
            self.section(&mut text, i, section, &of_crate, stream)?;
        }
        Ok(text)
    }

    fn is_accepted(&self, i: usize) -> bool {
        self.lines[i].role != Role::Rejected
    }

    /// The section whose transport the answer names: the first of the bundle
    /// that is accepted (RFC 9143 §7.3.1).
    pub(super) fn answer_tag(&self) -> usize {
        let accepted = |i: &usize| self.is_accepted(*i);
        let bundle = self.bundle.iter().flatten().copied();
        bundle
            .chain(0..self.lines.len())
            .find(accepted)
            .unwrap_or_default()
    }

    fn section(
        &self,
        text: &mut String,
        i: usize,
        section: &Line,
        of_crate: &Crates<'_>,
        stream: Option<ProfileLevelId>,
    ) -> Result<(), AnswerError> {
        let (kind, protocol) = (&section.kind, &section.protocol);
        let found = |mid| of_crate.section(mid).ok_or(AnswerError::NoSection(mid));
        let answered = match &section.role {
            Role::Video { .. } => Some(found(VIDEO)?),
            Role::Sound { .. } => Some(found(SOUND)?),
            Role::Data => Some(found(DATA)?),
            Role::Idle { .. } | Role::Rejected => None,
        };
        let (port, formats) = match (&section.role, answered) {
            (Role::Rejected, _) => (0, section.format.clone()),
            (Role::Idle { payload_type, .. }, _) => (9, payload_type.to_string()),
            (Role::Video { .. } | Role::Sound { .. }, Some(of_crate)) => {
                (9, of_crate.formats.to_owned())
            }
            // It is the port of this side (draft-ietf-mmusic-sctp-sdp-07 §4.1).
            (Role::Data, _) if section.sctpmap => (9, SCTP_PORT.to_string()),
            (Role::Video { .. } | Role::Sound { .. } | Role::Data, _) => {
                (9, section.format.clone())
            }
        };
        line(text, format_args!("m={kind} {port} {protocol} {formats}"));
        line(text, format_args!("c=IN IP4 0.0.0.0"));
        if let Some(mid) = &section.mid {
            line(text, format_args!("a=mid:{mid}"));
        }
        // Without need in a section that is rejected (RFC 8829 §5.3.1), but
        // webrtcbin refuses an answer in which one has none.
        self.transport(text, i, of_crate);
        if section.role == Role::Rejected {
            line(text, format_args!("a=inactive"));
            return Ok(());
        }
        let voice = self.voice_in(i);
        match &section.role {
            Role::Video { sends } | Role::Sound { sends } => {
                rtp(text, section, (*sends, voice.is_some()));
                for attribute in answered.iter().flat_map(|a| &a.attributes) {
                    self.attribute(text, attribute, stream);
                }
            }
            Role::Idle { payload_type, name } => {
                rtp(text, section, (false, voice.is_some()));
                if !name.is_empty() {
                    line(text, format_args!("a=rtpmap:{payload_type} {name}"));
                }
            }
            Role::Data => data(text, section, answered),
            Role::Rejected => {}
        }
        // The crate knows nothing of what is heard.
        if let Some(level) = voice.and_then(|voice| voice.level) {
            line(text, format_args!("a=extmap:{level} {LEVEL_URI}"));
        }
        Ok(())
    }

    fn transport(&self, text: &mut String, i: usize, of_crate: &Crates<'_>) {
        let setup = if self.path.we_begin {
            "active"
        } else {
            "passive"
        };
        line(text, format_args!("a=ice-ufrag:{}", of_crate.ufrag));
        line(text, format_args!("a=ice-pwd:{}", of_crate.pwd));
        line(text, format_args!("a=ice-options:trickle"));
        line(text, format_args!("a=setup:{setup}"));
        if i == self.answer_tag() {
            for candidate in &of_crate.candidates {
                line(text, format_args!("a={candidate}"));
            }
        }
    }

    fn attribute(&self, text: &mut String, attribute: &str, stream: Option<ProfileLevelId>) {
        let fmtp = format!("fmtp:{} ", self.video.payload_type);
        let profile = self.video.profile.zip(stream);
        match profile.filter(|_| attribute.starts_with(&fmtp)) {
            Some((offered, stream)) => {
                let ours = offered.answered(stream, self.video.asymmetry);
                let named = format!("profile-level-id={ours}");
                let parameters = self.video.fmtp.split(';').map(|p| {
                    if p.starts_with("profile-level-id=") {
                        named.as_str()
                    } else {
                        p
                    }
                });
                let parameters: Vec<_> = parameters.collect();
                line(text, format_args!("a={fmtp}{}", parameters.join(";")));
            }
            None => line(text, format_args!("a={attribute}")),
        }
    }
}

fn rtp(text: &mut String, section: &Line, sends_and_hears: (bool, bool)) {
    let direction = match sends_and_hears {
        (true, true) => "sendrecv",
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    };
    line(text, format_args!("a={direction}"));
    line(text, format_args!("a=rtcp-mux"));
    if section.rtcp_rsize {
        line(text, format_args!("a=rtcp-rsize"));
    }
}

fn data(text: &mut String, section: &Line, answered: Option<&Answered<'_>>) {
    if section.sctpmap {
        line(
            text,
            format_args!("a=sctpmap:{SCTP_PORT} webrtc-datachannel 1024"),
        );
        return;
    }
    let attributes = answered.iter().flat_map(|a| &a.attributes);
    for attribute in attributes {
        line(text, format_args!("a={attribute}"));
    }
}

impl<'a> Crates<'a> {
    fn read(text: &'a str) -> Result<Self, AnswerError> {
        let mut this = Self {
            origin: "",
            fingerprint: "",
            ufrag: "",
            pwd: "",
            candidates: Vec::new(),
            sections: Vec::new(),
        };
        for line in text.lines() {
            if line.starts_with("o=") && this.origin.is_empty() {
                this.origin = line;
            } else if let Some(media) = line.strip_prefix("m=") {
                // <media> <port> <proto> <fmt> …; port 0 is a refusal.
                let mut parts = media.splitn(4, ' ');
                let accepted = parts.nth(1).is_some_and(|port| port != "0");
                let formats = parts.nth(1).filter(|_| accepted).unwrap_or_default();
                this.sections.push(Answered {
                    mid: "",
                    formats,
                    attributes: Vec::new(),
                });
            } else if let Some(attribute) = line.strip_prefix("a=") {
                this.attribute(attribute);
            }
        }
        for (text, what) in [
            (this.origin, "origin"),
            (this.fingerprint, "DTLS fingerprint"),
            (this.ufrag, "ICE username"),
            (this.pwd, "ICE password"),
        ] {
            if text.is_empty() {
                return Err(AnswerError::Missing(what));
            }
        }
        Ok(this)
    }

    fn attribute(&mut self, attribute: &'a str) {
        let (key, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let section = self.sections.last_mut();
        match (key, section) {
            ("fingerprint", _) => self.fingerprint = value,
            ("ice-ufrag", _) => self.ufrag = value,
            ("ice-pwd", _) => self.pwd = value,
            // Of the second component there is nothing with rtcp-mux.
            ("candidate", _) => {
                if value.split(' ').nth(1) == Some("1") {
                    self.candidates.push(attribute);
                }
            }
            ("end-of-candidates", _) => self.candidates.push(attribute),
            ("mid", Some(section)) => section.mid = value,
            // Said anew.
            (
                "setup" | "sendrecv" | "sendonly" | "recvonly" | "inactive" | "rtcp-mux"
                | "rtcp-rsize" | "ice-options",
                _,
            ) => {}
            (_, Some(section)) => section.attributes.push(attribute),
            (_, None) => {}
        }
    }

    /// The section that the crate knows under this mid, if it accepted it.
    fn section(&self, mid: &str) -> Option<&Answered<'a>> {
        let is_it = |s: &&Answered<'_>| s.mid == mid && !s.formats.is_empty();
        self.sections.iter().find(is_it)
    }
}
