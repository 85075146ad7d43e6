//! A camera's controls: brightness, exposure, focus, pan, tilt, zoom and
//! whatever else the device has.
//!
//! They have the names that `v4l2-ctl -l` writes. What is asked for is checked
//! against what the device says of itself ([`check`], pure) before the device
//! is touched. Set from the configuration when the camera is opened
//! ([`apply`]), and by viewers where the configuration lets them
//! ([`crate::peer`]).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tracing::debug;

use super::Control;
use super::v4l2::{Listed, Node, name_of};
use crate::config::ControlValue;
use crate::reason::Code;

pub(crate) use super::v4l2::Kind;

/// A control and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CameraControl {
    /// What the device says of it.
    pub control: Control,
    /// What its number means.
    pub kind: Kind,
    /// Its present value.
    pub value: i64,
    /// Another control has taken it over, as automatic exposure does with the
    /// exposure time.
    pub inactive: bool,
}

/// Why a control cannot be set. Each names the control and says what would be
/// right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ControlError {
    /// The camera has none of this name.
    #[error("the camera has no control \"{name}\"; it has {}", list_of(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The camera's controls.
        known: Vec<String>,
    },
    /// Not a value that the control can have.
    #[error("{name} cannot be {wanted}: {range}")]
    Value {
        /// The control.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What can be, in words.
        range: String,
    },
    /// The device does not let it be set.
    #[error("{name} can only be read on this camera")]
    ReadOnly {
        /// The control.
        name: String,
    },
    /// It would do nothing now.
    #[error(
        "{name} is taken over by another control now, such as an automatic mode; turn that off first"
    )]
    Inactive {
        /// The control.
        name: String,
    },
    /// The device refused, or is not there.
    #[error("{what}: {problem}")]
    Device {
        /// The node or the control.
        what: String,
        /// Why, and what to do.
        problem: String,
    },
}

impl ControlError {
    /// For programs.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } => Code::ControlUnknown,
            Self::Value { .. } => Code::ControlValue,
            Self::ReadOnly { .. } => Code::ControlReadOnly,
            Self::Inactive { .. } => Code::ControlInactive,
            Self::Device { .. } => Code::ControlFailed,
        }
    }
}

fn list_of(names: &[String]) -> String {
    match names {
        [] => "none that can be set".to_owned(),
        names => names.join(", "),
    }
}

/// The number that `wanted` means to this control.
///
/// # Errors
///
/// One that says which values can be.
pub(crate) fn check(control: &CameraControl, wanted: &ControlValue) -> Result<i64, ControlError> {
    let what = &control.control;
    let name = || what.name.clone();
    if !what.writable {
        return Err(ControlError::ReadOnly { name: name() });
    }
    let number = match (control.kind, wanted) {
        (Kind::Boolean, ControlValue::Switch(on)) => Some(i64::from(*on)),
        (Kind::Menu | Kind::IntegerMenu, ControlValue::Label(label)) => what
            .menu
            .iter()
            .find(|(_, item)| item == label || name_of(item) == name_of(label))
            .map(|(number, _)| *number),
        (_, ControlValue::Number(number)) => Some(*number).filter(|n| can_be(control, *n)),
        (_, ControlValue::Switch(_) | ControlValue::Label(_)) => None,
    };
    let number = number.ok_or_else(|| ControlError::Value {
        name: name(),
        wanted: wanted.to_string(),
        range: range_of(control),
    })?;
    if control.inactive {
        return Err(ControlError::Inactive { name: name() });
    }
    Ok(number)
}

fn can_be(control: &CameraControl, number: i64) -> bool {
    let what = &control.control;
    match control.kind {
        Kind::Menu | Kind::IntegerMenu => what.menu.iter().any(|(item, _)| *item == number),
        Kind::Bitmask => number >= 0 && number & !what.maximum == 0,
        Kind::Integer | Kind::Boolean => {
            // Drivers have said 0 for "any".
            let step = i128::from(what.step.max(1));
            (what.minimum..=what.maximum).contains(&number)
                && (i128::from(number) - i128::from(what.minimum)) % step == 0
        }
    }
}

fn range_of(control: &CameraControl) -> String {
    let what = &control.control;
    match control.kind {
        Kind::Boolean => "it is true (1) or false (0)".to_owned(),
        Kind::Bitmask => format!("its bits are those of {}", what.maximum),
        Kind::Menu | Kind::IntegerMenu => {
            let items: Vec<_> = what
                .menu
                .iter()
                .map(|(number, label)| format!("{number} ({label})"))
                .collect();
            format!("it is one of {}", items.join(", "))
        }
        Kind::Integer if what.step > 1 => format!(
            "it goes from {} to {} in steps of {}",
            what.minimum, what.maximum, what.step
        ),
        Kind::Integer => format!("it goes from {} to {}", what.minimum, what.maximum),
    }
}

/// The controls of the camera at `node` and their present values. Blocks.
///
/// # Errors
///
/// The node cannot be opened or is no V4L2 device.
pub(crate) fn list(node: &str) -> Result<Vec<CameraControl>, ControlError> {
    Camera::controls(&open(node)?).map_err(|e| device(node, &e))
}

/// Sets one control and says what the device made of the value. Blocks.
///
/// # Errors
///
/// There is no such control, it cannot have this value, or the device refused.
pub(crate) fn set(node: &str, name: &str, wanted: &ControlValue) -> Result<i64, ControlError> {
    let camera = open(node)?;
    let controls = Camera::controls(&camera).map_err(|e| device(node, &e))?;
    set_one(&camera, &controls, name, wanted)
}

/// Sets what the configuration asks for, and says what could not be set; the
/// rest is. Blocks.
pub(crate) fn apply(node: &str, wanted: &BTreeMap<String, ControlValue>) -> Vec<ControlError> {
    if wanted.is_empty() {
        return Vec::new();
    }
    match open(node) {
        Ok(camera) => set_all(&camera, node, wanted),
        Err(error) => vec![error],
    }
}

/// An open camera; a test has one of its own.
trait Camera {
    fn controls(&self) -> io::Result<Vec<CameraControl>>;
    fn set(&self, id: u32, value: i32) -> io::Result<i32>;
}

impl Camera for Node {
    fn controls(&self) -> io::Result<Vec<CameraControl>> {
        let listed = Node::controls(self)?.into_iter();
        Ok(listed.filter_map(|one| standing(self, one)).collect())
    }

    fn set(&self, id: u32, value: i32) -> io::Result<i32> {
        self.set_value(id, value)
    }
}

/// How a control stands; `None` where the device does not say.
fn standing(node: &Node, listed: Listed) -> Option<CameraControl> {
    let Listed {
        control,
        kind,
        inactive,
        readable,
    } = listed;
    let value = if readable {
        node.value(control.id).ok()?
    } else {
        control.default as i32
    };
    Some(CameraControl {
        value: match kind {
            Kind::Bitmask => i64::from(value as u32),
            _ => value.into(),
        },
        control,
        kind,
        inactive,
    })
}

fn open(node: &str) -> Result<Node, ControlError> {
    Node::open(Path::new(node)).map_err(|e| device(node, &e))
}

fn device(what: &str, error: &io::Error) -> ControlError {
    let problem = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            "the camera is not there; is it plugged in?".to_owned()
        }
        Some(libc::EACCES | libc::EPERM) => {
            "permission denied; add this user to the group \"video\"".to_owned()
        }
        Some(libc::ENOTTY) => "this device has no camera controls".to_owned(),
        Some(libc::EBUSY) => "cannot be changed while the camera is in use".to_owned(),
        _ => error.to_string(),
    };
    ControlError::Device {
        what: what.to_owned(),
        problem,
    }
}

fn set_one(
    camera: &impl Camera,
    controls: &[CameraControl],
    name: &str,
    wanted: &ControlValue,
) -> Result<i64, ControlError> {
    let control = controls
        .iter()
        .find(|c| c.control.name == name)
        .ok_or_else(|| ControlError::Unknown {
            name: name.to_owned(),
            known: controls.iter().map(|c| c.control.name.clone()).collect(),
        })?;
    let number = check(control, wanted)?;
    // All kinds here have 32 bits; those of a bitmask have no sign.
    let value = match i32::try_from(number) {
        Ok(value) => value,
        Err(_) if control.kind == Kind::Bitmask => number as u32 as i32,
        Err(_) => {
            return Err(ControlError::Value {
                name: name.to_owned(),
                wanted: wanted.to_string(),
                range: range_of(control),
            });
        }
    };
    let made = camera
        .set(control.control.id, value)
        .map_err(|e| match e.raw_os_error() {
            Some(libc::ERANGE) => ControlError::Value {
                name: name.to_owned(),
                wanted: wanted.to_string(),
                range: range_of(control),
            },
            _ => device(name, &e),
        })?;
    debug!(name, %wanted, made, "control set");
    Ok(made.into())
}

fn set_all(
    camera: &impl Camera,
    node: &str,
    wanted: &BTreeMap<String, ControlValue>,
) -> Vec<ControlError> {
    let mut errors = Vec::new();
    let mut left: Vec<_> = wanted.iter().collect();
    loop {
        let controls = match camera.controls() {
            Ok(controls) => controls,
            Err(error) => {
                errors.push(device(node, &error));
                return errors;
            }
        };
        let tried = left.len();
        let mut inactive = Vec::new();
        for (name, value) in left {
            match set_one(camera, &controls, name, value) {
                Ok(_) => {}
                Err(ControlError::Inactive { .. }) => inactive.push((name, value)),
                Err(error) => errors.push(error),
            }
        }
        // What an automatic mode had taken over may be free now that the mode
        // was set; the table's order says nothing.
        if inactive.is_empty() || inactive.len() == tried {
            errors.extend(
                inactive
                    .into_iter()
                    .map(|(name, _)| ControlError::Inactive { name: name.clone() }),
            );
            return errors;
        }
        left = inactive;
    }
}

#[cfg(test)]
mod tests;
