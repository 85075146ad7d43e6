//! `camera-agent setup`: the first configuration.
//!
//! Asks for the chat server, which this very board may run, the name, the camera
//! and the microphone, or takes them from flags, writes them into the
//! configuration file and leaves the rest of it alone, and, if wanted, waits for a
//! first call. What it writes is checked as the device would check it, before it
//! is written.

pub(crate) mod apart;
pub(crate) mod board;
pub(crate) mod file;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::cli;
use crate::config::{AudioSource, Config, ConfigError, SERVICE, VideoSource};
use crate::device::discovery;
use crate::service::Snapshot;
use board::{Board, Known};
use file::{Answers, File};

/// `access.mode` where nobody else sees the camera.
const INVITED: &str = "invited";

/// What a test call has to do in this time.
pub(crate) const TEST_CALL: Duration = Duration::from_secs(120);

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// The file, or what would be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is nobody to ask.
    #[error("{flag} is missing, and this is no terminal to ask at")]
    Missing {
        /// The flag that says it.
        flag: &'static str,
    },
    /// The chat server has a certificate, and nobody said for which name.
    #[error(
        "the chat server of this board has a certificate: say by which name it is reached, --server wss://NAME:PORT/"
    )]
    Nameless,
    /// The chat server was not started.
    #[error(
        "{command}: {error}; both configurations are written. \"journalctl -u camera-agent-chat\" says more, and without systemd start \"camera-agent chat\" in another way"
    )]
    Unit {
        /// What was tried.
        command: String,
        /// How that ended.
        error: String,
    },
    /// The process that is not root's could not do its part.
    #[error("{what}: {error}")]
    Apart {
        /// Its part.
        what: &'static str,
        /// What was wrong.
        error: String,
    },
    /// Nobody could be called, or nobody called.
    #[error("the test call: {0}")]
    TestCall(String),
    /// The conversation broke off at its last question.
    #[error("no answer: {0}; the configuration is written")]
    TestCallUnanswered(std::io::Error),
    /// The conversation broke off.
    #[error("no answer: {0}; nothing was written")]
    Unanswered(std::io::Error),
}

/// What this machine has to choose from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hardware {
    /// Cameras: the node to open, and what to call it.
    pub cameras: Vec<(String, String)>,
    /// Microphones: the PCM, and what to call it.
    pub microphones: Vec<(String, String)>,
}

impl Hardware {
    /// Looks. GStreamer must have been started.
    pub(crate) fn look() -> Self {
        let cameras = discovery::cameras(&Config::default().video).cameras;
        let microphones = discovery::sound::microphones();
        Self {
            cameras: cameras.into_iter().map(|c| (c.device, c.name)).collect(),
            microphones: microphones
                .into_iter()
                .map(|m| (m.device, m.name))
                .collect(),
        }
    }
}

/// What is in the files now.
#[derive(Debug)]
pub(crate) struct Done {
    /// The camera's configuration.
    pub config: Config,
    /// The chat server of this board, where it is to run one.
    pub board: Option<Board>,
}

/// Does it all but what follows from it, which is to start the chat server and to
/// make the test call. Questions go to `asked`, and answers come from `answers`,
/// if there is somebody to ask. `known` is by what others know this board.
pub(crate) fn run(
    arguments: &cli::Setup,
    hardware: &Hardware,
    known: &Known,
    answers: Option<&mut dyn BufRead>,
    asked: &mut dyn Write,
) -> Result<Done, SetupError> {
    let file = File::open(&arguments.config)?;
    let present = file.config()?;
    let board = || Board::read(&arguments.chat_config, known);
    let way = &arguments.way;
    let flags = Answers {
        server: arguments.server.clone(),
        name: arguments.name.clone(),
        ca_file: way.ca_file.clone(),
        username: way.username.clone(),
        password_file: way.password_file.clone(),
        token_file: way.token_file.clone(),
        proxy: way.proxy.clone(),
        proxy_password_file: way.proxy_password_file.clone(),
        page: arguments.page.clone(),
        // Who wants an invitation wants that it counts.
        mode: (arguments.invite && present.access.mode.is_none()).then(|| INVITED.to_owned()),
        camera: arguments.camera.clone(),
        microphone: arguments.microphone.clone(),
    };
    let (given, board) = match answers {
        None => {
            let board = arguments.chat_server.then(board).transpose()?;
            let flags = match &board {
                Some(board) => beside(flags, board, &present),
                None => flags,
            };
            let is_named = flags.server.is_some() || present.server.url.starts_with("wss:");
            if board.is_some() && !is_named {
                return Err(SetupError::Nameless);
            }
            (complete(flags, &present)?, board)
        }
        Some(answers) => {
            let mut talk = Talk { answers, asked };
            let is_here = match (arguments.chat_server, &flags.server) {
                (false, None) => talk
                    .wants_chat_server(&present)
                    .map_err(SetupError::Unanswered)?,
                (is_here, _) => is_here,
            };
            let board = is_here.then(board).transpose()?;
            let given = talk
                .all(flags, &present, hardware, board.as_ref())
                .map_err(SetupError::Unanswered)?;
            (given, board)
        }
    };
    // First what may be refused.
    let config = file.write(&given)?;
    if let Some(board) = &board {
        board.write()?;
    }
    Ok(Done { config, board })
}

/// What follows for the camera from a chat server beside it, where the owner said
/// nothing else.
fn beside(flags: Answers, board: &Board, present: &Config) -> Answers {
    let page = flags.page.or_else(|| match &present.access.page {
        Some(_) => None,
        None => board.page.clone(),
    });
    Answers {
        server: flags.server.or_else(|| board.server.clone()),
        page,
        ..flags
    }
}

/// The unit that runs the camera with this configuration.
pub(crate) fn unit(config: &Path) -> String {
    let is_service = config.parent() == Path::new(SERVICE).parent();
    match config.file_stem().and_then(|name| name.to_str()) {
        Some(name) if is_service && name != "camera-agent" => format!("camera-agent@{name}"),
        Some(_) | None => "camera-agent".to_owned(),
    }
}

/// Asks whether to make a test call now; an empty answer is no.
pub(crate) fn wants_test_call(
    answers: &mut dyn BufRead,
    asked: &mut dyn Write,
) -> Result<bool, SetupError> {
    let mut talk = Talk { answers, asked };
    write!(talk.asked, "Make a test call now? [y/N]: ").map_err(SetupError::TestCallUnanswered)?;
    let line = talk.line().map_err(SetupError::TestCallUnanswered)?;
    Ok(line.to_ascii_lowercase().starts_with('y'))
}

/// Waits until a caller has had a second of picture, which is `fps` pictures.
pub(crate) async fn seen(
    device: &mut watch::Receiver<Snapshot>,
    fps: u32,
) -> Result<(), SetupError> {
    let pictures = async {
        let connected = device
            .wait_for(|s| s.connected > 0)
            .await?
            .progress
            .pictures;
        let enough = connected + u64::from(fps);
        device
            .wait_for(|s| s.connected > 0 && s.progress.pictures >= enough)
            .await
            .map(drop)
    };
    match tokio::time::timeout(TEST_CALL, pictures).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(SetupError::TestCall("the device ended".to_owned())),
        Err(_) => {
            let last = device.borrow();
            let words = match (&last.away, last.connected) {
                (Some(reason), _) => format!("there is no chat server: {reason}"),
                (None, 0) => format!("nobody called within {} s", TEST_CALL.as_secs()),
                (None, _) => format!("the caller got no picture: {}", last.words(None)),
            };
            Err(SetupError::TestCall(words))
        }
    }
}

/// Standard input, where a person sits at it.
pub(crate) fn person() -> Option<std::io::StdinLock<'static>> {
    let stdin = std::io::stdin();
    stdin.is_terminal().then(|| stdin.lock())
}

/// The flags, where the file has what they do not say.
fn complete(flags: Answers, present: &Config) -> Result<Answers, SetupError> {
    if flags.server.is_none() && present.server.url.is_empty() {
        return Err(SetupError::Missing { flag: "--server" });
    }
    if flags.name.is_none() && present.server.name.is_empty() {
        return Err(SetupError::Missing { flag: "--name" });
    }
    Ok(flags)
}

/// A conversation.
struct Talk<'a> {
    answers: &'a mut dyn BufRead,
    asked: &'a mut dyn Write,
}

impl Talk<'_> {
    fn all(
        &mut self,
        flags: Answers,
        present: &Config,
        hardware: &Hardware,
        board: Option<&Board>,
    ) -> std::io::Result<Answers> {
        let server = match (flags.server, board.and_then(|board| board.server.clone())) {
            (Some(server), _) | (None, Some(server)) => Some(server),
            (None, None) => Some(self.text("Chat server (ws:// or wss://)", &present.server.url)?),
        };
        let name = match flags.name {
            Some(name) => Some(name),
            None => Some(self.text("Name that people click", &present.server.name)?),
        };
        let camera = match flags.camera {
            Some(camera) => Some(camera),
            None => {
                let now = match present.video.source {
                    VideoSource::V4l2 => Some(present.video.device.as_str()),
                    VideoSource::Test => Some("test"),
                    VideoSource::Custom => None,
                };
                let rest = [("test", "a generated picture")];
                self.choice("Camera", &hardware.cameras, &rest, now)?
            }
        };
        let microphone = match flags.microphone {
            Some(microphone) => Some(microphone),
            None => {
                let now = match present.audio.source {
                    AudioSource::Alsa => Some(present.audio.device.as_str()),
                    AudioSource::Test => Some("test"),
                    AudioSource::None => Some("none"),
                    AudioSource::Custom => None,
                };
                let rest = [("none", "no sound"), ("test", "a soft tone")];
                self.choice("Microphone", &hardware.microphones, &rest, now)?
            }
        };
        let mode = match (flags.mode, present.access.mode) {
            (Some(mode), _) => Some(mode),
            (None, Some(_)) => None,
            (None, None) => Some(self.who_may_watch()?),
        };
        // Where the chat server is elsewhere, so is its page.
        let page = match (flags.page, board) {
            (Some(page), _) => Some(page),
            (None, None) => None,
            (None, Some(board)) => {
                let offered = present.access.page.as_ref().or(board.page.as_ref());
                match offered {
                    Some(page) => Some(self.text("Where telephones open the page", page)?),
                    None => None,
                }
            }
        };
        Ok(Answers {
            server,
            name,
            page,
            mode,
            camera,
            microphone,
            ..flags
        })
    }

    /// Asked where nobody has said, as in a configuration of the time before there
    /// were invitations.
    fn who_may_watch(&mut self) -> std::io::Result<String> {
        let words = "Is it for people alone whom you invite? If not, everybody who reaches the \
                     chat server sees it. [Y/n]: ";
        let is_invited = self.yes_or_no(words, true)?;
        Ok(if is_invited { INVITED } else { "open" }.to_owned())
    }

    /// An empty answer is as it is now: no, where nobody has said.
    fn wants_chat_server(&mut self, present: &Config) -> std::io::Result<bool> {
        let is_here = url::Url::parse(&present.server.url)
            .is_ok_and(|url| url.host_str() == Some("localhost"));
        let words = match is_here {
            true => "Does this board run the chat server, too? [Y/n]: ",
            false => "Does this board run the chat server, too? [y/N]: ",
        };
        self.yes_or_no(words, is_here)
    }

    fn yes_or_no(&mut self, words: &str, otherwise: bool) -> std::io::Result<bool> {
        loop {
            write!(self.asked, "{words}")?;
            match self.line()?.to_ascii_lowercase().as_str() {
                "" => return Ok(otherwise),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => {}
            }
        }
    }

    /// A line; an empty one takes what is there already.
    fn text(&mut self, question: &str, present: &str) -> std::io::Result<String> {
        loop {
            match present {
                "" => write!(self.asked, "{question}: ")?,
                present => write!(self.asked, "{question} [{present}]: ")?,
            }
            let line = self.line()?;
            match (line.as_str(), present) {
                ("", "") => {}
                ("", present) => return Ok(present.to_owned()),
                (line, _) => return Ok(line.to_owned()),
            }
        }
    }

    /// One of a list, by number or as text. A source of the owner's own making
    /// is not asked about: `present` is `None`.
    fn choice(
        &mut self,
        what: &str,
        found: &[(String, String)],
        rest: &[(&str, &str)],
        present: Option<&str>,
    ) -> std::io::Result<Option<String>> {
        let Some(present) = present else {
            writeln!(
                self.asked,
                "{what}: the file has a pipeline of its own, which stays."
            )?;
            return Ok(None);
        };
        let auto = [("auto", "the first that works")];
        let found = found.iter().map(|(d, n)| (d.as_str(), n.as_str()));
        let choices: Vec<_> = auto
            .into_iter()
            .chain(found)
            .chain(rest.iter().copied())
            .collect();
        writeln!(self.asked, "{what}:")?;
        for (number, (device, words)) in choices.iter().enumerate() {
            writeln!(self.asked, "  {}  {device} ({words})", number + 1)?;
        }
        let line = self.text("Number, or a device's name", present)?;
        let chosen = line
            .parse()
            .ok()
            .and_then(|n: usize| choices.get(n.checked_sub(1)?));
        Ok(Some(match chosen {
            Some((device, _)) => (*device).to_owned(),
            None => line,
        }))
    }

    fn line(&mut self) -> std::io::Result<String> {
        self.asked.flush()?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim().to_owned())
    }
}

#[cfg(test)]
mod tests;
