//! Transport-wide sequence numbers on retransmissions too.
//!
//! The crate's interceptor numbers the streams it is bound to, which leaves
//! out their RTX streams; a bandwidth estimate then does not see what repair
//! costs. This binds it to both.

use std::time::Instant;

use rtc::interceptor::{Interceptor, StreamInfo, TaggedPacket, TwccSenderInterceptor};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

pub(super) struct Numbering(TwccSenderInterceptor);

impl Numbering {
    pub fn new(inner: TwccSenderInterceptor) -> Self {
        Self(inner)
    }
}

fn rtx(info: &StreamInfo) -> Option<StreamInfo> {
    Some(StreamInfo {
        ssrc: info.ssrc_rtx?,
        payload_type: info.payload_type_rtx?,
        ssrc_rtx: None,
        payload_type_rtx: None,
        ..info.clone()
    })
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Numbering {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.0.handle_read(packet)
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.0.poll_read()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.0.handle_write(packet)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.0.poll_write()
    }
}

impl Interceptor for Numbering {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.0.bind_local_stream(info);
        if let Some(rtx) = rtx(info) {
            self.0.bind_local_stream(&rtx);
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.0.unbind_local_stream(info);
        if let Some(rtx) = rtx(info) {
            self.0.unbind_local_stream(&rtx);
        }
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.0.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.0.unbind_remote_stream(info);
    }
}
