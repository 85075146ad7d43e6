//! A viewer's message over the data channel: understood or refused in one line;
//! and what it asks of a control is checked whatever the control says of itself.
#![no_main]

use arbitrary::Arbitrary;
use camera_agent::device::controls::{CameraControl, Kind, check};
use camera_agent::device::Control;
use camera_agent::peer::messages::{self, FromViewer, MAX_BYTES};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    message: &'a [u8],
    kind: u8,
    minimum: i64,
    maximum: i64,
    step: u64,
    menu: Vec<(i64, &'a str)>,
    inactive: bool,
}

fuzz_target!(|input: Input| {
    match messages::parse(input.message) {
        Ok(FromViewer::Control { name, value }) => {
            assert!(input.message.len() <= MAX_BYTES);
            let kind = match input.kind % 5 {
                0 => Kind::Integer,
                1 => Kind::Boolean,
                2 => Kind::Menu,
                3 => Kind::IntegerMenu,
                _ => Kind::Bitmask,
            };
            let control = CameraControl {
                control: Control {
                    id: 1,
                    name,
                    minimum: input.minimum,
                    maximum: input.maximum,
                    step: input.step,
                    default: 0,
                    menu: input.menu.iter().map(|(i, label)| (*i, (*label).to_owned())).collect(),
                    writable: true,
                },
                kind,
                value: 0,
                inactive: input.inactive,
            };
            match check(&control, &value) {
                Ok(number) if kind == Kind::Integer => {
                    assert!((input.minimum..=input.maximum).contains(&number));
                }
                Ok(_) => {}
                Err(error) => assert!(!error.to_string().is_empty()),
            }
            let text = messages::controls([&control]);
            let _: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        }
        Ok(
            FromViewer::Quality { .. }
            | FromViewer::Stats { .. }
            | FromViewer::Ping { .. }
            | FromViewer::KeyKept { .. }
            | FromViewer::Unknown,
        ) => {}
        Err(error) => {
            let text = messages::error("control", &error.to_string());
            let _: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        }
    }
});
