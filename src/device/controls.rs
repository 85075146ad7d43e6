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

pub use super::v4l2::Kind;

/// A control and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraControl {
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
pub enum ControlError {
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
pub fn check(control: &CameraControl, wanted: &ControlValue) -> Result<i64, ControlError> {
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
pub fn list(node: &str) -> Result<Vec<CameraControl>, ControlError> {
    Camera::controls(&open(node)?).map_err(|e| device(node, &e))
}

/// Sets one control and says what the device made of the value. Blocks.
///
/// # Errors
///
/// There is no such control, it cannot have this value, or the device refused.
pub fn set(node: &str, name: &str, wanted: &ControlValue) -> Result<i64, ControlError> {
    let camera = open(node)?;
    let controls = Camera::controls(&camera).map_err(|e| device(node, &e))?;
    set_one(&camera, &controls, name, wanted)
}

/// Sets what the configuration asks for, and says what could not be set; the
/// rest is. Blocks.
pub fn apply(node: &str, wanted: &BTreeMap<String, ControlValue>) -> Vec<ControlError> {
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
mod tests {
    use std::cell::RefCell;

    use super::ControlValue::{Label, Number, Switch};
    use super::*;

    fn control(
        name: &str,
        kind: Kind,
        range: (i64, i64, u64),
        menu: &[(i64, &str)],
    ) -> CameraControl {
        CameraControl {
            control: Control {
                id: name.len() as u32,
                name: name.into(),
                minimum: range.0,
                maximum: range.1,
                step: range.2,
                default: range.0,
                menu: menu
                    .iter()
                    .map(|(n, label)| (*n, (*label).into()))
                    .collect(),
                writable: true,
            },
            kind,
            value: range.0,
            inactive: false,
        }
    }

    fn refusal(control: &CameraControl, wanted: &ControlValue) -> String {
        check(control, wanted).expect_err("refused").to_string()
    }

    #[test]
    fn a_number_is_held_to_range_and_step_and_the_refusal_says_them() {
        let zoom = control("zoom_absolute", Kind::Integer, (100, 500, 50), &[]);
        assert_eq!(check(&zoom, &Number(150)), Ok(150));
        for wanted in [99, 125, 501, i64::MIN, i64::MAX] {
            let error = refusal(&zoom, &Number(wanted));
            assert_eq!(
                error,
                format!("zoom_absolute cannot be {wanted}: it goes from 100 to 500 in steps of 50")
            );
        }
        let error = refusal(&zoom, &Switch(true));
        assert!(error.contains("cannot be true"), "{error}");
    }

    #[test]
    fn odd_ranges_neither_panic_nor_pass() {
        let any = control("x", Kind::Integer, (i64::MIN, i64::MAX, 0), &[]);
        assert_eq!(check(&any, &Number(7)), Ok(7));
        let none = control("x", Kind::Integer, (5, -5, u64::MAX), &[]);
        assert!(check(&none, &Number(0)).is_err());
    }

    #[test]
    fn a_menu_takes_its_items_by_number_and_by_label_and_no_others() {
        // The C920's: two of the four items.
        let items = [(1, "Manual Mode"), (3, "Aperture Priority Mode")];
        let menu = control("auto_exposure", Kind::Menu, (0, 3, 1), &items);
        assert_eq!(check(&menu, &Number(3)), Ok(3));
        assert_eq!(check(&menu, &Label("manual mode".into())), Ok(1));
        assert_eq!(
            refusal(&menu, &Number(2)),
            "auto_exposure cannot be 2: it is one of 1 (Manual Mode), 3 (Aperture Priority Mode)"
        );
        assert!(refusal(&menu, &Label("Shutter".into())).contains("\"Shutter\""));
    }

    #[test]
    fn switches_and_bits() {
        let switch = control("autofocus", Kind::Boolean, (0, 1, 1), &[]);
        assert_eq!(check(&switch, &Switch(true)), Ok(1));
        assert_eq!(check(&switch, &Number(0)), Ok(0));
        assert!(refusal(&switch, &Number(2)).contains("true (1) or false (0)"));
        let bits = control("bits", Kind::Bitmask, (0, 0xff00_0000, 0), &[]);
        assert_eq!(check(&bits, &Number(0x8000_0000)), Ok(0x8000_0000));
        assert!(check(&bits, &Number(1)).is_err());
        assert!(check(&bits, &Number(-1)).is_err());
    }

    #[test]
    fn read_only_and_taken_over_controls_are_refused_in_words() {
        let mut gain = control("gain", Kind::Integer, (0, 9, 1), &[]);
        gain.inactive = true;
        assert!(refusal(&gain, &Number(1)).contains("automatic mode"));
        assert!(
            refusal(&gain, &Number(10)).contains("from 0 to 9"),
            "the range first"
        );
        gain.control.writable = false;
        assert!(refusal(&gain, &Number(1)).contains("only be read"));
    }

    /// Exposure time is free while the mode is 1.
    struct Webcam(RefCell<Vec<CameraControl>>);

    impl Camera for Webcam {
        fn controls(&self) -> io::Result<Vec<CameraControl>> {
            Ok(self.0.borrow().clone())
        }

        fn set(&self, id: u32, value: i32) -> io::Result<i32> {
            let mut controls = self.0.borrow_mut();
            let set = controls.iter_mut().find(|c| c.control.id == id);
            set.expect("it is one of ours").value = value.into();
            let manual = controls
                .iter()
                .any(|c| c.control.name == "z_mode" && c.value == 1);
            for control in controls.iter_mut().filter(|c| c.control.name == "exposure") {
                control.inactive = !manual;
            }
            Ok(value)
        }
    }

    #[test]
    fn the_configuration_is_applied_whatever_its_order_and_what_cannot_be_is_named() {
        let mut exposure = control("exposure", Kind::Integer, (1, 500, 1), &[]);
        exposure.inactive = true;
        let mode = control(
            "z_mode",
            Kind::Menu,
            (0, 1, 1),
            &[(0, "Auto"), (1, "Manual")],
        );
        let webcam = Webcam(RefCell::new(vec![exposure, mode]));
        let mut wanted = BTreeMap::from([
            ("exposure".to_owned(), Number(100)),
            ("nonsense".to_owned(), Number(1)),
            ("z_mode".to_owned(), Label("Manual".into())),
        ]);
        let errors = set_all(&webcam, "/dev/video0", &wanted);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(
            errors[0].to_string(),
            "the camera has no control \"nonsense\"; it has exposure, z_mode"
        );
        assert_eq!(webcam.0.borrow()[0].value, 100);

        wanted.remove("nonsense");
        wanted.insert("z_mode".into(), Label("Auto".into()));
        let errors = set_all(&webcam, "/dev/video0", &wanted);
        assert!(
            errors.is_empty(),
            "it was free when the first pass began: {errors:?}"
        );
        let errors = set_all(&webcam, "/dev/video0", &wanted);
        assert!(
            matches!(errors[..], [ControlError::Inactive { .. }]),
            "{errors:?}"
        );
    }

    #[test]
    fn a_camera_that_is_not_there_is_named() {
        let wanted = BTreeMap::from([("brightness".to_owned(), Number(1))]);
        let errors = apply("/dev/no-such-camera", &wanted);
        let words = errors[0].to_string();
        assert!(
            words.contains("/dev/no-such-camera") && words.contains("plugged in"),
            "{words}"
        );
        assert!(
            list("/dev/null")
                .expect_err("no camera")
                .to_string()
                .contains("no camera controls")
        );
    }
}
