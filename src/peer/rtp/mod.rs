//! One viewer's packets: from frames that all share to RTP of their own, and
//! what is left out on the way.

pub(super) mod capture_time;
pub(super) mod gate;
pub(super) mod red;
pub(super) mod sender;
