//! What looks at the picture for motion.

use super::{Carries, EVERY, FIREWALL, H264_DECODER, NEWEST};

/// The queue through which only a few pictures a second are let.
pub(crate) const WATCHING: &str = "watching";

/// Hangs on the tee beside the encoders. It holds none of a camera's buffers
/// longer than it looks at it, and what is too much is left out.
pub(crate) fn watching(carries: &Carries) -> String {
    let newest = NEWEST.replacen("queue ", &format!("queue name={WATCHING} "), 1);
    let decode = match carries {
        Carries::Raw(_) => String::new(),
        // A picture of it is one of all since the last key frame.
        Carries::H264 => format!("{EVERY} ! {H264_DECODER} ! "),
    };
    format!(
        "{FIREWALL} ! {decode}{newest} ! \
         appsink name=out sync=false async=false drop=true max-buffers=1 enable-last-sample=false"
    )
}
