//! Which encoder of a pipeline something is of.

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::media::stream::Encoding;
use crate::sdp::VideoCodec;

/// Which encoder: they come and go, and late news of one is no news of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BranchId {
    pub encoding: Encoding,
    pub serial: u64,
}

impl BranchId {
    /// The bin's name.
    pub(super) fn name(self) -> String {
        let Encoding { codec, tier } = self.encoding;
        format!("branch-{codec}-{tier}-{}", self.serial)
    }

    /// The branch that `object` is in.
    pub(super) fn of(object: &gst::Object) -> Option<Self> {
        let mut object = Some(object.clone());
        while let Some(this) = object {
            if let Some(id) = Self::parse(&this.name()) {
                return Some(id);
            }
            object = this.parent();
        }
        None
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("branch-")?.split('-');
        let codec = parts.next()?;
        let codec = [VideoCodec::H264, VideoCodec::Vp8]
            .into_iter()
            .find(|c| c.name() == codec)?;
        let tier = parts.next()?.parse().ok()?;
        let serial = parts.next()?.parse().ok()?;
        let encoding = Encoding { codec, tier };
        Some(Self { encoding, serial })
    }
}
