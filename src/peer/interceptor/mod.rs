//! Between a stream and the crate's SRTP: what is done to each packet of RTP and
//! RTCP, one step a file, all of them in one [line](line::Line), which is an
//! interceptor on the [base](passing) that passes the rest on.

pub(super) mod burst;
pub(super) mod clock;
pub(super) mod feedback;
pub(super) mod line;
pub(super) mod numbers;
pub(super) mod pacer;
pub(super) mod passing;
pub(super) mod repair;
pub(super) mod row;
pub(super) mod screen;
