//! The rows of vendors' elements beside the descriptions of those, which are
//! their source's (tests/standins/): each property that a row sets is there and
//! takes the value, in the unit, and the pads let through what the row asks for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use camera_agent::media::encoder::{Encoder, KeyFrame, Knob, RateUnit};

/// What an element of a vendor's is.
#[derive(Debug, Default)]
struct Element {
    properties: HashMap<String, Property>,
    /// What else is said of it, by the first word.
    lines: HashMap<String, String>,
    signals: Vec<String>,
}

#[derive(Debug, Default)]
struct Property {
    kind: String,
    flags: Vec<String>,
    default: String,
    range: Option<(i128, i128)>,
    /// Numbers, nicks and names of an enumeration.
    values: Vec<[String; 3]>,
}

impl Property {
    fn read(words: &[&str]) -> Self {
        let number = |at: usize| words.get(at).and_then(|w| w.parse().ok());
        Self {
            kind: words[0].to_owned(),
            flags: words[2].split(',').map(str::to_owned).collect(),
            default: words[3].to_owned(),
            range: number(4).zip(number(5)),
            values: Vec::new(),
        }
    }

    /// Why it does not take this text as GStreamer reads it.
    fn refuses(&self, text: &str) -> Option<String> {
        if !self.flags.iter().any(|f| f == "rw") {
            return Some("it cannot be set".into());
        }
        let fits = match &*self.kind {
            "bool" => ["true", "false"].contains(&text),
            "enum" => self.values.iter().flatten().any(|known| known == text),
            "string" => true,
            _ => {
                let (least, most) = self.range.expect("a number has a range");
                let number = text.parse::<i128>();
                number.is_ok_and(|number| (least..=most).contains(&number))
            }
        };
        (!fits).then(|| format!("a {} of {:?} takes no {text}", self.kind, self.range))
    }
}

impl Element {
    fn line(&self, word: &str) -> &str {
        self.lines.get(word).map_or("", |line| line)
    }

    /// What a field of the caps of `pad` may be: a list or a range, as text.
    fn field(&self, pad: &str, field: &str) -> Option<Vec<&str>> {
        let (_, rest) = self.line(pad).split_once(&format!("{field}="))?;
        let all = match rest.split_once(['}', ']']) {
            Some((list, _)) if rest.starts_with(['{', '[']) => &list[1..],
            _ => rest.split([',', ';']).next()?,
        };
        Some(all.split(',').collect())
    }
}

/// All elements, by name.
fn elements() -> HashMap<String, Element> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standins");
    let mut elements = HashMap::new();
    for file in std::fs::read_dir(folder).expect("it is there") {
        let file = file.expect("read").path();
        if file.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        let (mut name, mut property) = (String::new(), String::new());
        let mut sources = 0;
        for line in std::fs::read_to_string(&file).expect("text").lines() {
            let line = line.trim();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let words: Vec<_> = rest.split(' ').collect();
            match word {
                "" | "#" | "not" => continue,
                "from" => {
                    sources += 1;
                    continue;
                }
                "element" => name = words[0].to_owned(),
                _ => {}
            }
            let element: &mut Element = elements.entry(name.clone()).or_default();
            match word {
                "element" => {}
                "property" => {
                    property = words[1].to_owned();
                    let read = Property::read(&words);
                    let before = element.properties.insert(property.clone(), read);
                    assert!(before.is_none(), "{name}: \"{property}\" twice");
                }
                "value" => {
                    let (number, names) = rest.split_once(' ').expect("a number");
                    let (nick, name) = names.split_once('|').expect("a nick and a name");
                    let value = [number, nick.trim(), name.trim()].map(str::to_owned);
                    let property = element.properties.get_mut(&property);
                    property.expect("it stands before").values.push(value);
                }
                "signal" => element.signals.push(words[0].to_owned()),
                _ => drop(element.lines.insert(word.to_owned(), rest.to_owned())),
            }
        }
        assert!(sources > 0, "{}: no source", file.display());
    }
    elements
}

/// Rows of hardware that are not of GStreamer's own V4L2 element, with what is
/// known of theirs.
fn rows() -> Vec<(Arc<Encoder>, Element)> {
    let mut elements = elements();
    let all = Encoder::all(&[]);
    let vendors = all
        .into_iter()
        .filter(|row| row.hardware && row.factory != "v4l2h264enc");
    vendors
        .map(|row| {
            let element = elements.remove(&*row.factory);
            let element = element.unwrap_or_else(|| panic!("{}: no description", row.id));
            (row, element)
        })
        .collect()
}

#[test]
fn what_a_property_does_not_take_is_refused() {
    let elements = elements();
    for (element, property, value, words) in [
        ("mpph264enc", "bps", "-1", Some("takes no -1")),
        (
            "mpph264enc",
            "rc-mode",
            "constant",
            Some("takes no constant"),
        ),
        ("mpph264enc", "rc-mode", "cbr", None),
        (
            "qsvh264enc",
            "target-usage",
            "8",
            Some("Some((1, 7)) takes no 8"),
        ),
        ("vah264enc", "aud", "1", Some("bool")),
        (
            "vah264enc",
            "device-path",
            "/dev/dri/card0",
            Some("cannot be set"),
        ),
        // Its nick is "Constant Bitrate".
        ("v4l2slh264enc", "rate-control", "cbr", None),
    ] {
        let refused = elements[element].properties[property].refuses(value);
        match words {
            None => assert_eq!(refused, None, "{element} {property}={value}"),
            Some(words) => assert!(
                refused.is_some_and(|r| r.contains(words)),
                "{element} {property}={value}"
            ),
        }
    }
    assert!(
        !elements["vpuenc_h264"]
            .properties
            .contains_key("rate-control")
    );
}

#[test]
fn every_property_of_a_row_is_its_elements_and_takes_the_value() {
    let rows = rows();
    assert_eq!(rows.len(), 9);
    for (row, element) in &rows {
        let (id, mut asked) = (&row.id, row.properties.clone());
        for (knob, values) in [
            (&row.gop, [2, row.gop_most]),
            (&row.rate, [row.rate_value(0), row.rate_value(u32::MAX)]),
        ] {
            let Knob::Property(name) = knob else {
                panic!("{id}: {knob:?}");
            };
            asked.extend(values.map(|value| (name.clone(), value.to_string().into())));
        }
        for (name, value) in asked {
            let property = element.properties.get(&*name);
            let property = property.unwrap_or_else(|| panic!("{id}: no property \"{name}\""));
            assert_eq!(property.refuses(&value), None, "{id}: {name}={value}");
        }
        assert!(row.controls.is_empty(), "{id}: V4L2 controls");
    }
}

#[test]
fn the_bitrate_is_set_in_the_elements_unit_while_it_runs() {
    for (row, element) in rows() {
        let Knob::Property(name) = &row.rate else {
            panic!("{}: no bitrate", row.id);
        };
        let unit = match row.rate_unit {
            RateUnit::BitsPerSecond => "bit/s",
            RateUnit::KilobitsPerSecond => "kbit/s",
        };
        assert_eq!(element.line("bits"), format!("{name} {unit}"), "{}", row.id);
        let Knob::Property(gop) = &row.gop else {
            panic!("{}: no distance of key frames", row.id);
        };
        assert_eq!(element.line("distance"), gop, "{}", row.id);
        let is_mutable = element.properties[&**name]
            .flags
            .iter()
            .any(|f| f == "playing");
        assert!(
            is_mutable || !element.lines.contains_key("enforced"),
            "{}",
            row.id
        );
    }
}

#[test]
fn a_key_frame_is_asked_for_in_the_elements_way_and_is_an_idr_frame() {
    for (row, element) in rows() {
        match (&row.key_frame, element.line("key")) {
            (KeyFrame::Event | KeyFrame::TimedEvent, "event") => {}
            // It has no way; the request does no harm, and the probe finds it out.
            (KeyFrame::Event, "none") => {}
            (KeyFrame::Signal(name), way) if name == way => {
                assert!(element.signals.iter().any(|s| s == way), "{}", row.id);
            }
            (row_s, elements) => panic!("{}: {row_s:?}, not {elements}", row.id),
        }
        // As many I frames that are none lie between two that are.
        let between = element.line("idr-every");
        let set = row.properties.iter().find(|(name, _)| name == between);
        let default = element.properties.get(between).map(|p| &*p.default);
        let between = set.map(|(_, value)| &**value).or(default);
        assert_eq!(between.unwrap_or("0"), "0", "{}", row.id);
    }
}

#[test]
fn frames_are_in_order() {
    for (row, element) in rows() {
        let name = element.line("reorders");
        let set = row.properties.iter().find(|(known, _)| known == name);
        let default = element.properties.get(name).map(|p| &*p.default);
        let b_frames = set.map(|(_, value)| &**value).or(default);
        // qtic2venc: "Allow B-frame only for VBR", and the row says constant.
        let of_the_component = b_frames == Some("4294967295") && row.factory == "qtic2venc";
        assert!(
            of_the_component || b_frames.unwrap_or("0") == "0",
            "{}",
            row.id
        );
    }
}

#[test]
fn the_pads_let_through_what_the_row_asks_for() {
    let converters = elements();
    for (row, element) in rows() {
        let id = &row.id;
        // Behind a converter the pad of that is what takes the picture.
        let first = row.ahead.split(' ').next().filter(|name| !name.is_empty());
        let taker = first.map_or(&element, |name| &converters[name]);
        let formats = taker.field("sink", "format").expect("formats");
        for format in &row.formats {
            assert!(formats.contains(&&**format), "{id}: {format}");
        }
        for (field, least, most) in [
            ("width", row.sizes.least.0, row.sizes.most.0),
            ("height", row.sizes.least.1, row.sizes.most.1),
        ] {
            let range = taker.field("sink", field).expect("a size");
            let numbers: Vec<u32> = range.iter().map(|n| n.parse().expect("one")).collect();
            // A driver's range is no more than what one of them said.
            let is_drivers = ["va", "va-lp", "vaapi"].contains(&&**id);
            assert!(is_drivers || least >= numbers[0], "{id}: {field} {least}");
            assert!(is_drivers || most <= numbers[1], "{id}: {field} {most}");
        }
        let profile = row.caps.split(',').find_map(|f| f.strip_prefix("profile="));
        if let Some(profile) = profile {
            // One that says a profile of its own in its caps is not told one.
            assert!(!element.lines.contains_key("profile"), "{id}: {profile}");
            let known = element.field("src", "profile").expect("profiles");
            assert!(known.contains(&profile), "{id}: {profile} of {known:?}");
        }
        let streams = element.field("src", "stream-format").expect("formats");
        assert!(streams.contains(&"byte-stream"), "{id}: {streams:?}");
    }
}
