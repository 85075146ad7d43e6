//! The plan, once a camera's driver was asked what it makes of it.

use super::error::MediaError;
use super::plan::PicturePlan;
use crate::device::discovery::frames;
use crate::device::{Camera, Mode};

/// Plans, asks the camera's driver what it makes of the mode, and plans again
/// where that is something else.
///
/// # Errors
///
/// Those of `plan`.
pub(crate) fn plan_with_driver(
    cameras: &mut [Camera],
    plan: impl Fn(&[Camera]) -> Result<PicturePlan, MediaError>,
) -> Result<PicturePlan, MediaError> {
    /// Sizes that may be untrue; an honest driver has none.
    const UNTRUE: usize = 8;
    for _ in 0..UNTRUE {
        let made = plan(cameras)?;
        let node = made.node.as_deref().unwrap_or_default();
        let camera = cameras.iter_mut().find(|camera| camera.is(node));
        let (Some(camera), Some(mode)) = (camera, &made.mode) else {
            return Ok(made);
        };
        let Some(true_mode) = frames::adjusted(camera, mode) else {
            return Ok(made);
        };
        correct(&mut camera.modes, mode, &true_mode);
    }
    plan(cameras)
}

/// Puts the true size in the place of one that is not.
fn correct(modes: &mut Vec<Mode>, untrue: &Mode, given: &Mode) {
    let is = |mode: &Mode, like: &Mode| {
        (&mode.fourcc, mode.width, mode.height) == (&like.fourcc, like.width, like.height)
    };
    if modes.iter().any(|mode| is(mode, given)) {
        modes.retain(|mode| !is(mode, untrue));
        return;
    }
    for mode in modes.iter_mut().filter(|mode| is(mode, untrue)) {
        (mode.width, mode.height) = (given.width, given.height);
        mode.interlaced = given.interlaced;
    }
}
