//! Picture and sound, made once for all viewers.
//!
//! * [`stream`] and [`error`] are the words that all of this shares.
//! * [`hub`] starts a [source](hub::source) with its first viewer, stops it some
//!   seconds after the last, payloads every access unit once ([`frame`]) and
//!   gives the frame to every viewer. Sources are GStreamer ([`gst`]) and a
//!   recording ([`replay`]).
//! * [`element`] is GStreamer as both [`gst`] and [`probe`] use it.
//! * [`encoder`] and [`plan`] are pure: which encoder, and the GStreamer
//!   description around it. [`probe`] tries an encoder out before it is used,
//!   [`driver`] asks a camera's driver about a plan.
//! * [`recovery`] is pure: what to do when a device or an encoder fails.
//!   [`status`] is what viewers are told.
//! * [`bitstream`] looks into what cameras and encoders give us.
//! * [`moved`] is what is told of motion, which [`gst`] looks for where it is asked
//!   to.
//! * [`duck`] is pure: when the microphone is silent, since the speaker speaks.
//! * [`playout`] is pure: when each packet of what somebody says is played.
//! * [`drift`] is how far a sound card's pace is from the clock's.
//! * [`latency`] is where a frame's time goes.
//!
//! The devices are [`crate::device`]'s. Nothing here knows WebRTC; the viewers'
//! side is [`crate::peer`].

pub mod bitstream;
pub(crate) mod drift;
pub(crate) mod driver;
pub(crate) mod duck;
pub mod element;
pub mod encoder;
pub mod error;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod gst;
pub mod hub;
pub(crate) mod latency;
mod liveness;
pub mod moved;
pub(crate) mod opus;
pub mod plan;
pub(crate) mod playout;
pub mod probe;
pub(crate) mod recovery;
pub mod replay;
pub(crate) mod status;
pub mod stream;
