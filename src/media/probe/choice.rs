//! The encoders of this machine: which of the table are there and do what they
//! should, best first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use gstreamer as gst;
use tracing::{debug, warn};

use super::cache::{self, Cache};
use super::{Job, Report, child, probe, requirements};
use crate::config::{Config, VideoConfig};
use crate::lock::lock;
use crate::media::encoder::Encoder;
use crate::media::error::MediaError;
use crate::sdp::VideoCodec;

/// Who tries an encoder out.
#[derive(Debug, Clone)]
pub enum Prober {
    /// A child process, which may crash and hang.
    Process {
        /// This very program; it has the sub-command [`child::COMMAND`].
        program: PathBuf,
        /// How long it may take.
        limit: Duration,
    },
    /// This process: only where every candidate is known to be sound.
    InProcess,
}

impl Prober {
    /// This program as a child, with the usual limit.
    pub(crate) fn this_program() -> Self {
        Self::Process {
            // The kernel's name for it: also right after an upgrade has put
            // another file in its place.
            program: "/proc/self/exe".into(),
            limit: child::LIMIT,
        }
    }
}

/// What is known of one row.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The row, as in the table.
    pub row: Arc<Encoder>,
    /// What was found; [`Report::words`] is for people.
    pub report: Arc<Report>,
    /// It is on this machine, and so it was tried, now or earlier.
    pub present: bool,
}

/// An encoder that works.
#[derive(Debug, Clone)]
pub struct Found {
    /// The row to run, fitted to what is installed.
    pub encoder: Arc<Encoder>,
    /// What it does.
    pub report: Arc<Report>,
}

/// The encoders of this machine. Methods block while an encoder is tried out,
/// [`child::LIMIT`] each at most; call them from a thread of your own. Those that
/// end in `_at_once` never do: they say nothing where a trial would be needed.
#[derive(Debug)]
pub struct Encoders {
    rows: Vec<Arc<Encoder>>,
    video: VideoConfig,
    prober: Prober,
    cache: Cache,
    known: Mutex<HashMap<String, Checked>>,
    /// Held while one is tried: two at a time would disturb each other.
    trial: Mutex<()>,
}

impl Encoders {
    /// The table with the rows of the configuration. GStreamer has started.
    ///
    /// # Errors
    ///
    /// `video.encoder` names no row.
    pub fn new(config: &Config, prober: Prober, cache: Cache) -> Result<Self, MediaError> {
        let rows = Encoder::all(&config.encoders);
        let wanted = &config.video.encoder;
        let is_h264 = |row: &&Arc<Encoder>| row.codec == VideoCodec::H264;
        if wanted != "auto" && !rows.iter().filter(is_h264).any(|row| row.id == *wanted) {
            let known: Vec<&str> = rows.iter().filter(is_h264).map(|row| &*row.id).collect();
            return Err(MediaError::UnknownEncoder {
                wanted: wanted.clone(),
                known: known.join(", "),
            });
        }
        Ok(Self {
            rows,
            video: config.video.clone(),
            prober,
            cache,
            known: Mutex::default(),
            trial: Mutex::default(),
        })
    }

    /// The same, tried by children of this program, whose findings are
    /// remembered.
    ///
    /// # Errors
    ///
    /// As above.
    pub(crate) fn for_this_machine(config: &Config) -> Result<Self, MediaError> {
        Self::new(config, Prober::this_program(), Cache::standard())
    }

    /// The best for `codec` that works; `video.encoder` narrows H.264 to one.
    ///
    /// # Errors
    ///
    /// None works; the error says why not.
    pub fn best(&self, codec: VideoCodec) -> Result<Found, MediaError> {
        self.best_if(codec, true).unwrap_or_else(|| unknown(codec))
    }

    /// The same where it is known.
    pub(crate) fn best_at_once(&self, codec: VideoCodec) -> Option<Result<Found, MediaError>> {
        self.best_if(codec, false)
    }

    fn best_if(&self, codec: VideoCodec, may_try: bool) -> Option<Result<Found, MediaError>> {
        let mut reasons = Vec::new();
        for row in self.candidates(codec) {
            let checked = self.look(row, may_try)?;
            if checked.report.is_usable() {
                // They were told when it was tried.
                for warning in checked.report.warnings.iter().filter(|_| may_try) {
                    warn!(encoder = %row.id, "{warning}");
                }
                return Some(Ok(found(&checked)));
            }
            if checked.present && may_try {
                let why = checked.report.unusable.as_deref().unwrap_or_default();
                warn!(encoder = %row.id, why, "encoder is not used");
            }
            // Hardware of other boards is not missed.
            if checked.present || !row.hardware || self.video.encoder == row.id {
                let why = checked.report.unusable.as_deref().unwrap_or_default();
                reasons.push(format!("{}: {why}", row.id));
            }
        }
        Some(Err(MediaError::NoEncoder {
            codec,
            reasons: reasons.join("; "),
        }))
    }

    /// An encoder for a smaller picture beside the best one for `codec`: the
    /// same where it runs more than once and takes this size, else the best in
    /// software.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn beside_best(
        &self,
        codec: VideoCodec,
        size: Option<(u32, u32)>,
    ) -> Result<Found, MediaError> {
        self.beside_best_if(codec, size, true)
            .unwrap_or_else(|| unknown(codec))
    }

    /// The same where it is known.
    pub(crate) fn beside_best_at_once(
        &self,
        codec: VideoCodec,
        size: Option<(u32, u32)>,
    ) -> Option<Result<Found, MediaError>> {
        self.beside_best_if(codec, size, false)
    }

    fn beside_best_if(
        &self,
        codec: VideoCodec,
        size: Option<(u32, u32)>,
        may_try: bool,
    ) -> Option<Result<Found, MediaError>> {
        let best = match self.best_if(codec, may_try)? {
            Ok(best) => best,
            Err(error) => return Some(Err(error)),
        };
        let fits = size.is_none_or(|(width, height)| {
            let sizes = &best.encoder.sizes;
            sizes.refusal(width, height, self.video.fps).is_none()
        });
        let again = best.encoder.contexts > 1 && best.report.measured.second != Some(false);
        if fits && again {
            return Some(Ok(best));
        }
        let software = self
            .rows
            .iter()
            .filter(|row| row.codec == codec && !row.hardware);
        for row in software {
            let checked = self.look(row, may_try)?;
            if checked.report.is_usable() {
                return Some(Ok(found(&checked)));
            }
        }
        Some(Err(MediaError::NoEncoder {
            codec,
            reasons: format!("{} runs once, and no other is there", best.encoder.id),
        }))
    }

    /// The next that works after the row `id`, for when that one fails while
    /// viewers watch. `None` where there is none, or where `video.encoder`
    /// names the one that there is to be.
    pub fn after(&self, id: &str) -> Option<Found> {
        self.after_if(id, true).flatten()
    }

    /// The same where it is known.
    pub(crate) fn after_at_once(&self, id: &str) -> Option<Option<Found>> {
        self.after_if(id, false)
    }

    fn after_if(&self, id: &str, may_try: bool) -> Option<Option<Found>> {
        let Some(failed) = self.rows.iter().find(|row| row.id == id) else {
            return Some(None);
        };
        let others = self.candidates(failed.codec);
        for row in others.skip_while(|row| row.id != id).skip(1) {
            let checked = self.look(row, may_try)?;
            if checked.report.is_usable() {
                return Some(Some(found(&checked)));
            }
        }
        Some(None)
    }

    /// Every row, best first, with what is known of it; tries all that are on
    /// this machine and were not tried yet.
    pub fn report(&self) -> Vec<Checked> {
        self.rows.iter().map(|row| self.check(row)).collect()
    }

    fn candidates(&self, codec: VideoCodec) -> impl Iterator<Item = &Arc<Encoder>> {
        let wanted = &*self.video.encoder;
        self.rows
            .iter()
            .filter(move |row| row.codec == codec)
            .filter(move |row| codec != VideoCodec::H264 || wanted == "auto" || row.id == wanted)
    }

    /// What is known of a row, or becomes known if it `may` be tried.
    fn look(&self, row: &Arc<Encoder>, may_try: bool) -> Option<Checked> {
        match self.at_once(row) {
            None if may_try => Some(self.check(row)),
            known => known,
        }
    }

    /// What is known without a trial: what was tried, and what is not here.
    fn at_once(&self, row: &Arc<Encoder>) -> Option<Checked> {
        if let Some(checked) = lock(&self.known).get(&*row.id) {
            return Some(checked.clone());
        }
        let why = self.absent(row).err()?;
        debug!(encoder = %row.id, why, "not here");
        let checked = Checked {
            row: row.clone(),
            report: Arc::new(Report::unusable(why)),
            present: false,
        };
        self.learn(&checked);
        Some(checked)
    }

    fn check(&self, row: &Arc<Encoder>) -> Checked {
        if let Some(checked) = self.at_once(row) {
            return checked;
        }
        let _alone = lock(&self.trial);
        // It may have been tried meanwhile.
        if let Some(checked) = self.at_once(row) {
            return checked;
        }
        let node = self.absent(row).ok().flatten();
        let checked = Checked {
            row: row.clone(),
            report: Arc::new(self.tried(row, node.as_deref())),
            present: true,
        };
        self.learn(&checked);
        checked
    }

    fn learn(&self, checked: &Checked) {
        let id = checked.row.id.to_string();
        lock(&self.known).insert(id, checked.clone());
    }

    /// The device that the row needs, if it needs one; or why it cannot be
    /// tried.
    fn absent(&self, row: &Encoder) -> Result<Option<PathBuf>, String> {
        let video = &self.video;
        let node = requirements::first(&row.nodes, Path::new("/"));
        if node.is_none() && !row.nodes.is_empty() {
            return Err(format!("this machine has no {}", row.nodes.join(", no ")));
        }
        if gst::ElementFactory::find(&row.factory).is_none() {
            return Err(MediaError::MissingElement {
                element: row.factory.to_string(),
                package: row.package.to_string(),
            }
            .to_string());
        }
        let (width, height) = video.shown_size();
        match row.sizes.refusal(width, height, video.fps) {
            Some(why) => Err(why),
            None => Ok(node),
        }
    }

    fn tried(&self, row: &Arc<Encoder>, node: Option<&Path>) -> Report {
        let job = Job::new(row, &self.video);
        let key = cache::key(&job, node);
        match self.cache.get(&key, SystemTime::now()) {
            Some(report) => {
                debug!(encoder = %row.id, verdict = report.words(), "remembered");
                report
            }
            None => self.probe(&job, &key),
        }
    }

    fn probe(&self, job: &Job, key: &str) -> Report {
        self.cache.put(key, None, SystemTime::now());
        let started = Instant::now();
        let report = match &self.prober {
            Prober::Process { program, limit } => child::run(program, job, *limit),
            Prober::InProcess => Ok(probe(job, &mut |_| {})),
        };
        let (report, remember) = match report {
            // Where CPU time makes the frames, a busy machine makes none: that
            // is not to be remembered of the one that runs everywhere.
            Ok(report) => {
                let remember = report.is_usable() || job.encoder.hardware;
                (report, remember)
            }
            Err(why) => (Report::unusable(why), false),
        };
        debug!(
            encoder = %job.encoder.id, verdict = report.words(), measured = ?report.measured,
            "tried in {} ms", started.elapsed().as_millis()
        );
        if remember {
            self.cache.put(key, Some(&report), SystemTime::now());
        }
        report
    }
}

/// Only what may not be tried stays unknown.
fn unknown(codec: VideoCodec) -> Result<Found, MediaError> {
    Err(MediaError::NoEncoder {
        codec,
        reasons: "none was tried".to_owned(),
    })
}

fn found(checked: &Checked) -> Found {
    Found {
        encoder: checked.report.row(&checked.row),
        report: checked.report.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn encoders(text: &str, cache: Cache) -> Result<Encoders, MediaError> {
        crate::media::element::init().expect("GStreamer is installed");
        let text = format!("[video]\nwidth = 320\nheight = 180\n{text}");
        let config = Config::parse(&text, Path::new("test.toml")).expect("valid");
        Encoders::new(&config, Prober::InProcess, cache)
    }

    #[test]
    fn the_best_is_x264_where_there_is_no_hardware_and_openh264_comes_after() {
        let encoders = encoders("", Cache::none()).expect("valid");
        let best = encoders.best(VideoCodec::H264).expect("x264");
        assert_eq!(best.encoder.id, "x264");
        assert_eq!(best.encoder, Encoder::row("x264").expect("a row"));
        let next = encoders.after("x264").expect("openh264");
        assert_eq!(next.encoder.id, "openh264");
        assert!(encoders.after("openh264").is_none());
        assert!(encoders.after("no-such").is_none());
        let vp8 = encoders.best(VideoCodec::Vp8).expect("vp8");
        assert_eq!(vp8.encoder.id, "vp8");
    }

    #[test]
    fn one_that_is_named_is_the_only_one() {
        let only = encoders("encoder = \"openh264\"", Cache::none()).expect("valid");
        let best = only.best(VideoCodec::H264).expect("openh264");
        assert_eq!(best.encoder.id, "openh264");
        assert!(only.after("x264").is_none());
        let missing = encoders("encoder = \"rockchip-mpp\"", Cache::none()).expect("valid");
        let error = missing.best(VideoCodec::H264).expect_err("no board");
        assert!(error.to_string().contains("/dev/mpp_service"), "{error}");
        let error = encoders("encoder = \"magic\"", Cache::none()).expect_err("unknown");
        let error = error.to_string();
        assert!(
            error.contains("magic") && error.contains("raspberry-pi"),
            "{error}"
        );
    }

    #[test]
    fn what_was_not_tried_is_not_known_at_once_and_what_was_is() {
        let encoders = encoders("", Cache::none()).expect("valid");
        assert!(encoders.best_at_once(VideoCodec::Vp8).is_none());
        assert!(
            encoders
                .beside_best_at_once(VideoCodec::Vp8, None)
                .is_none()
        );
        assert!(encoders.after_at_once("x264").is_none());
        assert!(encoders.after_at_once("no-such").expect("known").is_none());
        encoders.best(VideoCodec::Vp8).expect("vp8");
        let known = encoders.best_at_once(VideoCodec::Vp8).expect("known");
        assert_eq!(known.expect("vp8").encoder.id, "vp8");
        // Also while another one is tried.
        let _trial = lock(&encoders.trial);
        assert!(encoders.best_at_once(VideoCodec::Vp8).is_some());
        assert!(encoders.best_at_once(VideoCodec::H264).is_none());
    }

    #[test]
    fn a_report_has_every_row_and_why_it_is_not_used() {
        let text = "[[encoders]]\nid = \"mine\"\nfactory = \"nosuchenc\"\npackage = \"shop\"\n";
        let report = encoders(text, Cache::none()).expect("valid").report();
        let words = |id: &str| {
            let checked = report.iter().find(|c| c.row.id == id).expect("a row");
            (checked.present, checked.report.words())
        };
        assert_eq!(words("x264"), (true, "usable".to_owned()));
        let (present, mine) = words("mine");
        assert!(
            !present && mine.contains("nosuchenc") && mine.contains("shop"),
            "{mine}"
        );
        assert_eq!(report[0].row.id, "mine");
    }

    #[test]
    fn that_software_does_not_work_is_not_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("encoders.json");
        // It cannot be linked, so that it fails at once.
        let row = "[[encoders]]\nid = \"x264\"\nfactory = \"x264enc\"\nhardware = false\n\
                   caps = \"video/x-vp8\"\n";
        let broken = encoders(&format!("encoder = \"x264\"\n{row}"), Cache::at(&path));
        let broken = broken.expect("valid");
        assert!(broken.best(VideoCodec::H264).is_err());
        let text = std::fs::read_to_string(&path).expect("the mark is there");
        assert!(!text.contains("unusable"), "{text}");
    }
}
