//! What single attributes say: the few of SDP's that a call is made of, each a
//! value that is understood, or nothing.

/// Which way media may flow, as the offerer sees it (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(super) fn read(key: &str) -> Option<Self> {
        match key {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }
}

/// Who begins the DTLS handshake, as the offerer sees it (RFC 4145 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Setup {
    /// The offerer; also where nothing is said.
    #[default]
    Active,
    Passive,
    ActPass,
}

impl Setup {
    pub(super) fn read(value: &str) -> Option<Self> {
        match value {
            "active" => Some(Self::Active),
            "passive" => Some(Self::Passive),
            "actpass" => Some(Self::ActPass),
            _ => None,
        }
    }
}

/// A DTLS certificate's SHA-256 (RFC 8122 §5), the only hash that the crate
/// compares and one that every offerer has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        if !words.next()?.eq_ignore_ascii_case("sha-256") {
            return None;
        }
        let mut bytes = [0; 32];
        let mut pairs = words.next()?.split(':');
        for byte in &mut bytes {
            let pair = pairs.next()?;
            if pair.len() != 2 || !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha-256 ")?;
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// What RTCP a receiver sends about a format (RFC 4585 §4.2) and is of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Feedback {
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    pub transport_cc: bool,
    pub remb: bool,
}

impl Feedback {
    pub(super) fn read(value: &str) -> Self {
        let mut words = value.split_ascii_whitespace();
        let mut this = Self::default();
        match (words.next().unwrap_or_default(), words.next()) {
            ("nack", None) => this.nack = true,
            ("nack", Some("pli")) => this.pli = true,
            ("ccm", Some("fir")) => this.fir = true,
            ("transport-cc", None) => this.transport_cc = true,
            ("goog-remb", None) => this.remb = true,
            _ => {}
        }
        this
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            nack: self.nack || other.nack,
            pli: self.pli || other.pli,
            fir: self.fir || other.fir,
            transport_cc: self.transport_cc || other.transport_cc,
            remb: self.remb || other.remb,
        }
    }
}

/// A header extension (RFC 8285) that this device writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    TransportCc,
    PlayoutDelay,
    CaptureTime,
}

impl Extension {
    pub(super) fn uri(self) -> &'static str {
        match self {
            Self::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::CaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        }
    }

    pub(super) fn read(uri: &str) -> Option<Self> {
        [Self::TransportCc, Self::PlayoutDelay, Self::CaptureTime]
            .into_iter()
            .find(|e| e.uri() == uri)
    }
}

/// How a section's transport is made, at the level where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Transport {
    pub ufrag: Option<String>,
    pub pwd: Option<String>,
    pub fingerprint: Option<Fingerprint>,
    /// There is a fingerprint beside it that is another, or of another kind.
    pub another_fingerprint: bool,
    pub setup: Option<Setup>,
}

impl Transport {
    pub(super) fn attribute(&mut self, key: &str, value: &str) {
        match key {
            "ice-ufrag" if is_ice_text(value, 4) => set(&mut self.ufrag, value),
            "ice-pwd" if is_ice_text(value, 22) => set(&mut self.pwd, value),
            "fingerprint" => {
                let read = Fingerprint::read(value);
                self.fingerprint = self.fingerprint.or(read);
                self.another_fingerprint |= read.is_none() || read != self.fingerprint;
            }
            "setup" => self.setup = self.setup.or(Setup::read(value)),
            _ => {}
        }
    }
}

/// The first one counts.
pub(super) fn set(text: &mut Option<String>, value: &str) {
    text.get_or_insert_with(|| value.to_owned());
}

/// `ice-char`s, at most 256 of them (RFC 8839 §5.4).
fn is_ice_text(text: &str, least: usize) -> bool {
    let is_ice_char = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    (least..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
}
