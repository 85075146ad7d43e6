//! The rows of V4L2 encoders beside what is known of their drivers
//! (tests/shims/personality.c): each control that a row sets is there and takes
//! the value.

use std::collections::HashMap;
use std::path::Path;

use camera_agent::media::encoder::{Encoder, KeyFrame, Knob};

/// The controls of a driver, by the names that GStreamer has for them, with the
/// least and the greatest value.
type Controls = HashMap<String, (i64, i64)>;

/// Whose driver is which.
const DRIVERS: &[(&str, &str)] = &[
    ("raspberry-pi", "bcm2835-codec"),
    ("nxp-v4l2", "vsi_v4l2"),
    ("ti-wave5", "wave5"),
    ("qualcomm-v4l2", "venus"),
];

/// What a row sets though this driver has no such control, and why. GStreamer's element
/// warns of it in its own log, and sets the others (gst-plugins-good 1.22,
/// sys/v4l2/v4l2_calls.c, set_control()).
const LACKING: &[(&str, &str, &str)] = &[(
    "qualcomm-v4l2",
    "prepend_sps_and_pps_to_idr",
    "the row is for Iris too, which has it (torvalds/linux a4a508df2aa3, iris_ctrls.c); \
     Venus repeats SPS and PPS where its sequence_header_mode says so (venc_ctrls.c)",
)];

/// gst_v4l2_normalise_control_name().
fn as_gstreamer_writes(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_ascii_lowercase()
}

/// The first words of C between the parentheses of INTEGER(…), MENU(…) and so on.
fn control(kind: &str, words: &str) -> Option<(String, (i64, i64))> {
    let (name, rest) = words.split_once('"').expect("a name ends");
    // The kernel has room for so much of it, and a zero.
    assert!(name.len() < 32, "{name}");
    let numbers: Vec<_> = rest.split([',', ')']).map(str::trim).collect();
    let number = |at: usize| match numbers[at] {
        "INT32_MAX" => i64::from(i32::MAX),
        // An entry of a menu by its name.
        text if text.starts_with("V4L2_") => i64::MAX,
        text => text
            .parse()
            .unwrap_or_else(|e| panic!("{name} {text}: {e}")),
    };
    let range = match kind {
        "INTEGER" => (number(2), number(3)),
        "MENU" => (0, number(2)),
        "BOOLEAN" => (0, 1),
        // Whatever it is set to.
        "BUTTON" => (i64::MIN, i64::MAX),
        _ => return None,
    };
    Some((as_gstreamer_writes(name), range))
}

fn drivers() -> HashMap<String, Controls> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shims/personality.c");
    let text = std::fs::read_to_string(file).expect("it is there");
    let (_, table) = text
        .split_once("static const struct personality all[] = {")
        .expect("the table");
    let rows = table.split(".name = \"").skip(1);
    rows.map(|row| {
        let (name, row) = row.split_once('"').expect("a name ends");
        let (_, controls) = row.split_once(".controls =").expect("it has some");
        let mut all = Controls::new();
        for (at, _) in controls.match_indices("(\"") {
            let kind = controls[..at].rsplit([' ', '\n']).next().unwrap_or("");
            let (control, range) =
                control(kind, &controls[at + 2..]).unwrap_or_else(|| panic!("{name}: {kind}"));
            let before = all.insert(control.clone(), range);
            assert!(before.is_none(), "{name}: \"{control}\" twice");
        }
        (name.to_owned(), all)
    })
    .collect()
}

/// Why a control cannot be set to this.
fn refusal(controls: &Controls, name: &str, value: i64) -> Option<String> {
    let Some((least, most)) = controls.get(name) else {
        return Some("there is none".into());
    };
    let fits = (*least..=*most).contains(&value);
    (!fits).then(|| format!("it takes {least} to {most}"))
}

/// What a row sets, with the least and the greatest value of each.
fn set_by(row: &Encoder) -> Vec<(String, i64)> {
    let mut all: Vec<_> = row
        .controls
        .iter()
        .map(|(name, value)| (name.to_string(), i64::from(*value)))
        .collect();
    for (knob, values) in [
        (&row.gop, [2, row.gop_most]),
        (&row.rate, [row.rate_value(0), row.rate_value(u32::MAX)]),
    ] {
        let Knob::Control(name) = knob else {
            panic!("{}: {knob:?}", row.id);
        };
        all.extend(values.map(|value| (name.to_string(), i64::from(value))));
    }
    match &row.key_frame {
        KeyFrame::Control(name) => all.push((name.to_string(), 1)),
        // The element's own way.
        KeyFrame::Event => {}
        other => panic!("{}: {other:?}", row.id),
    }
    all
}

#[test]
fn what_a_driver_lacks_or_does_not_take_is_refused() {
    let drivers = drivers();
    assert_eq!(drivers.len(), DRIVERS.len());
    for (driver, name, value, words) in [
        ("wave5", "force_key_frame", 1, Some("there is none")),
        ("wave5", "video_gop_size", 2048, Some("it takes 0 to 2047")),
        ("wave5", "video_gop_size", 2047, None),
        (
            "venus",
            "video_peak_bitrate",
            31_999,
            Some("it takes 32000"),
        ),
        ("venus", "Video Peak Bitrate", 32_000, Some("there is none")),
        ("bcm2835-codec", "repeat_sequence_header", 2, Some("0 to 1")),
        ("bcm2835-codec", "force_key_frame", 1, None),
        ("vsi_v4l2", "h264_i_frame_qp_value", -1, None),
    ] {
        let refused = refusal(&drivers[driver], name, value);
        match words {
            None => assert_eq!(refused, None, "{driver} {name}={value}"),
            Some(words) => {
                let why = refused.unwrap_or_else(|| panic!("{driver} {name}={value}"));
                assert!(why.contains(words), "{driver} {name}={value}: {why}");
            }
        }
    }
}

#[test]
fn every_control_of_a_row_is_its_drivers_and_takes_the_value() {
    let drivers = drivers();
    let rows = Encoder::all(&[]);
    let rows: Vec<_> = rows.iter().filter(|r| r.factory == "v4l2h264enc").collect();
    assert_eq!(rows.len(), DRIVERS.len());
    let mut lacking = Vec::new();
    for row in rows {
        let driver = DRIVERS.iter().find(|(id, _)| row.id == *id);
        let (id, driver) = driver.unwrap_or_else(|| panic!("{}: whose is it?", row.id));
        assert!(row.properties.is_empty(), "{id}: properties");
        for (name, value) in set_by(row) {
            let known = LACKING
                .iter()
                .find(|(row, lacks, _)| row == id && *lacks == name);
            let Some(why) = refusal(&drivers[*driver], &name, value) else {
                assert_eq!(known, None, "{id}: its driver has \"{name}\"");
                continue;
            };
            assert!(known.is_some(), "{id}: {driver}: {name}={value}: {why}");
            lacking.push(name);
        }
    }
    assert_eq!(lacking.len(), LACKING.len(), "{lacking:?}");
}
