//! The bundle's text, of what was gathered. Pure.

use serde_json::{Value, json};

use super::layout;
use super::log::{Line, Log};
use super::machine::Machine;
use super::redact::Redactor;
use crate::config::{AudioConfig, ControlValue, VideoConfig};
use crate::device::discovery::seen::SeenNode;
use crate::device::{Camera, Control, Microphone, OtherNode};
use crate::doctor::{Finding, Report};
use crate::inventory::{self, Outcome};
use crate::media::probe::Checked;

/// What its fields mean; another number for others.
pub(super) const FORMAT: u32 = 1;
/// Bytes of the whole.
pub(crate) const MOST: usize = 4 * 1024 * 1024;

/// Said to whoever opens the file.
const READ_ME: [&str; 4] = [
    "What camera-agent doctor --report found on a board. Read it before you send it.",
    "Names, logins, secrets, invitations, hosts, addresses, serial numbers and paths of your own \
     are replaced: name-1, host-1, ip-1, serial-1; the same thing by the same word.",
    "Take out what you do not want to show; the sections machine, wanted, devices, plan and \
     encoders have to stay for a test to be made of it.",
    "docs/boards.md says where to send it.",
];

/// All that a bundle tells.
pub(super) struct Gathered {
    pub machine: Machine,
    pub video: VideoConfig,
    pub audio: AudioConfig,
    pub nodes: Vec<SeenNode>,
    pub inventory: inventory::Report,
    pub encoders: Vec<Checked>,
    /// The id of the row that would make the picture.
    pub chosen: Option<String>,
    /// GStreamer's names of the raw formats that it takes.
    pub formats: Vec<String>,
    pub report: Report,
    pub log: Log,
}

/// The text: JSON, of [`MOST`] bytes at most. Of one that would be longer, the
/// log is left out, and where that is not enough, the cameras' controls.
pub(super) fn text(gathered: &Gathered, redactor: &mut Redactor) -> String {
    // Devices first: what is found of them here stands in the rest.
    let wanted = wanted(gathered, redactor);
    let mut devices = devices(gathered, redactor);
    let mut fields = vec![
        (
            "report",
            json!({"format": FORMAT, "by": format!("camera-agent {}", env!("CARGO_PKG_VERSION"))}),
        ),
        ("read_me", json!(READ_ME)),
        ("machine", machine(&gathered.machine, redactor)),
        ("wanted", wanted),
        ("devices", Value::Null),
        ("plan", plan(gathered, redactor)),
        ("encoders", encoders(&gathered.encoders, redactor)),
        ("findings", findings(&gathered.report.findings, redactor)),
        ("latency", json!(gathered.report.latency)),
        ("log", log(&gathered.log, redactor)),
    ];
    let mut put = |key: &str, value: Value| {
        let field = fields.iter_mut().find(|(k, _)| *k == key);
        if let Some((_, place)) = field {
            *place = value;
        }
        layout::object(&fields)
    };
    let mut text = put("devices", devices.clone());
    if text.len() > MOST {
        text = put(
            "log",
            json!({"problem": "left out: the report would be too long"}),
        );
    }
    if text.len() > MOST {
        for camera in devices["cameras"].as_array_mut().into_iter().flatten() {
            camera["controls"] = json!([]);
        }
        text = put("devices", devices);
    }
    text
}

fn machine(machine: &Machine, r: &mut Redactor) -> Value {
    let plugins = machine.plugins.iter();
    json!(Machine {
        board: r.ours(&machine.board),
        compatible: machine.compatible.iter().map(|text| r.ours(text)).collect(),
        // They look like addresses and are none.
        plugins: plugins
            .map(|(name, version)| (name.clone(), version.clone()))
            .collect(),
        kernel: machine.kernel.clone(),
        architecture: machine.architecture.clone(),
        system: machine.system.clone(),
        gstreamer: machine.gstreamer.clone(),
        cores: machine.cores,
    })
}

fn wanted(gathered: &Gathered, r: &mut Redactor) -> Value {
    let mut video = gathered.video.clone();
    // As it is called in the devices.
    for camera in &gathered.inventory.cameras {
        for path in camera.camera.paths() {
            r.device(path, &camera.camera.name);
        }
    }
    video.device = r.setting(&video.device);
    video.pipeline = video.pipeline.as_deref().map(|text| r.setting(text));
    for value in video.controls.values_mut() {
        if let ControlValue::Label(label) = value {
            *label = r.ours(label);
        }
    }
    let mut audio = gathered.audio.clone();
    audio.device = r.setting(&audio.device);
    audio.pipeline = audio.pipeline.as_deref().map(|text| r.setting(text));
    json!({"video": video, "audio": audio})
}

fn devices(gathered: &Gathered, r: &mut Redactor) -> Value {
    let found = &gathered.inventory;
    let cameras: Vec<_> = found.cameras.iter().map(|c| camera(&c.camera, r)).collect();
    let others = found.other_nodes.iter().map(|node| OtherNode {
        device: r.device(&node.device, &node.name),
        name: r.card(&node.name),
        driver: r.ours(&node.driver),
        what: node.what.clone(),
        reason: r.ours(&node.reason),
    });
    let others: Vec<_> = others.collect();
    let microphones = found.microphones.iter().map(|microphone| Microphone {
        device: r.setting(&microphone.device),
        kind: microphone.kind,
        name: r.card(&microphone.name),
        trouble: microphone.trouble.as_deref().map(|text| r.ours(text)),
    });
    let microphones: Vec<_> = microphones.collect();
    json!({
        "nodes": gathered.nodes, "cameras": cameras, "others": others,
        "microphones": microphones, "libcamera": found.libcamera,
    })
}

fn camera(camera: &Camera, r: &mut Redactor) -> Camera {
    let aliases = camera
        .aliases
        .iter()
        .map(|path| r.device(path, &camera.name));
    let aliases = aliases.collect();
    let controls = camera.controls.iter().map(|control| Control {
        name: r.ours(&control.name),
        menu: control
            .menu
            .iter()
            .map(|(n, label)| (*n, r.ours(label)))
            .collect(),
        ..control.clone()
    });
    Camera {
        controls: controls.collect(),
        device: r.device(&camera.device, &camera.name),
        aliases,
        name: r.card(&camera.name),
        driver: r.ours(&camera.driver),
        bus: r.ours(&camera.bus),
        trouble: camera.trouble.as_deref().map(|text| r.ours(text)),
        ..camera.clone()
    }
}

/// The same outcome, of the devices as they are called here.
fn outcome(outcome: &Outcome, r: &mut Redactor) -> Outcome {
    match outcome {
        Outcome::Plan {
            what,
            reason,
            mode,
            pipeline,
        } => Outcome::Plan {
            what: r.ours(what),
            reason: r.ours(reason),
            mode: mode.clone(),
            pipeline: r.ours(pipeline),
        },
        Outcome::Problem { problem } => Outcome::Problem {
            problem: r.ours(problem),
        },
    }
}

fn plan(gathered: &Gathered, r: &mut Redactor) -> Value {
    let sound = gathered.inventory.sound.as_ref();
    json!({
        "encoder": gathered.chosen, "formats": gathered.formats, "memory": "mmap",
        "pass_through": false, "skip_modes": 0,
        "picture": outcome(&gathered.inventory.picture, r),
        "sound": sound.map(|sound| outcome(sound, r)),
    })
}

fn encoders(all: &[Checked], r: &mut Redactor) -> Value {
    let rows = all.iter().map(|checked| {
        let Checked {
            row,
            report,
            present,
        } = checked;
        let mut value = json!({
            "id": row.id, "codec": row.codec.to_string(), "element": row.factory,
            "hardware": row.hardware, "present": present, "usable": report.is_usable(),
            "probe": r.ours(&report.words()),
        });
        if *present {
            let left_out = report.left_out.iter().map(|words| r.ours(words));
            value["left_out"] = left_out.collect();
            value["measured"] = json!(report.measured);
        }
        value
    });
    rows.collect()
}

fn findings(findings: &[Finding], r: &mut Redactor) -> Value {
    let each = findings.iter().map(|finding| {
        let remedy = finding.remedy.as_deref().map(|text| r.prose(text));
        let what = r.prose(&finding.what);
        json!(Finding {
            what,
            remedy,
            ..finding.clone()
        })
    });
    each.collect()
}

fn log(log: &Log, r: &mut Redactor) -> Value {
    let unit = r.prose(&log.unit);
    let lines = match &log.lines {
        Ok(lines) => lines,
        Err(problem) => return json!({"unit": unit, "problem": problem}),
    };
    let texts = r.log(lines.iter().map(|line| line.text.as_str()));
    let line = |(Line { ago, priority, .. }, text): (&Line, String)| {
        format!("-{ago:.1} s <{priority}> {}", text.trim())
    };
    let lines: Vec<_> = lines.iter().zip(texts).map(line).collect();
    json!({"unit": unit, "lines": lines})
}
