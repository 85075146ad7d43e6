//! A viewer's message over the data channel, and a control that it asks for: for
//! fuzzing and for property tests. Not part of the program.

use serde_json::Value;

use super::{FromViewer, MAX_BYTES, controls, error, parse};
use crate::config::validate_zones;
use crate::device::Control;
use crate::device::controls::{CameraControl, Kind, check};
use crate::fuzzing::Draw;

/// Understood or refused in one line; and what it asks of a control is checked
/// whatever the control says of itself.
pub fn message(data: &[u8]) {
    let mut draw = Draw(data);
    let described = draw.bytes(64);
    let message = draw.0;
    match parse(message) {
        Ok(FromViewer::Control { name, value }) => {
            assert!(message.len() <= MAX_BYTES);
            let control = control(&mut Draw(described), name);
            match check(&control, &value) {
                Ok(number) if control.kind == Kind::Integer => {
                    let range = control.control.minimum..=control.control.maximum;
                    assert!(range.contains(&number), "{number}");
                }
                Ok(_) => {}
                Err(refused) => assert!(!refused.to_string().is_empty()),
            }
            let _: Value = serde_json::from_str(&controls([&control])).expect("JSON");
        }
        Ok(FromViewer::Zones(wish)) => match wish.applied_to(&[]) {
            Ok(zones) => assert!(validate_zones(&zones).is_ok()),
            Err(refused) => assert!(!refused.to_string().is_empty()),
        },
        Ok(
            FromViewer::Privacy { .. }
            | FromViewer::Quality { .. }
            | FromViewer::Stats { .. }
            | FromViewer::Talk { .. }
            | FromViewer::Ping { .. }
            | FromViewer::KeyKept { .. }
            | FromViewer::Unknown,
        ) => {}
        Err(refused) => {
            let text = error("control", &(&refused).into());
            let _: Value = serde_json::from_str(&text).expect("JSON");
        }
    }
}

/// A control of a camera that may say anything of itself.
fn control(draw: &mut Draw<'_>, name: String) -> CameraControl {
    let kind = match draw.byte() % 5 {
        0 => Kind::Integer,
        1 => Kind::Boolean,
        2 => Kind::Menu,
        3 => Kind::IntegerMenu,
        _ => Kind::Bitmask,
    };
    let inactive = draw.byte() % 2 == 1;
    let mut long = || {
        let number = i64::from(draw.short() as i16);
        match draw.byte() % 4 {
            0 => number,
            1 => number << 16,
            2 => number << 47,
            _ => i64::MAX.wrapping_add(number),
        }
    };
    let (minimum, maximum, step) = (long(), long(), long() as u64);
    let mut menu = Vec::new();
    while !draw.is_empty() {
        let place = i64::from(draw.byte());
        menu.push((place, draw.text()));
    }
    CameraControl {
        control: Control {
            id: 1,
            name,
            minimum,
            maximum,
            step,
            default: 0,
            menu,
            writable: true,
        },
        kind,
        value: 0,
        inactive,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_wish_of_a_viewer_is_checked(
            described in proptest::collection::vec(any::<u8>(), 64),
            value in prop_oneof!["-?[0-9]{1,25}", "\"\\PC{0,9}\"", "true", "null", "1e999", "0\\.[0-9]"],
        ) {
            let message = format!(r#"{{"type": "control", "name": "brightness", "value": {value}}}"#);
            super::message(&[described, message.into_bytes()].concat());
        }
    }
}
