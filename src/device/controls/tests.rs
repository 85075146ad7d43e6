use std::cell::RefCell;

use super::ControlValue::{Label, Number, Switch};
use super::*;

fn control(name: &str, kind: Kind, range: (i64, i64, u64), menu: &[(i64, &str)]) -> CameraControl {
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
