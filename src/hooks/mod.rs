//! Hooks: programs of the owner's that are run when something happens.
//!
//! As the service's user, with what happened in their environment. Nothing waits
//! for one: at most [`MOST`] run at a time, what comes while they do is left out,
//! each has a time limit, and of what it writes only the end is kept, for the
//! log.

mod spawn;

use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::config::{HookConfig, HookEvent};
use spawn::Group;

/// So many run at a time: a program that hangs must not fill the machine.
pub(crate) const MOST: usize = 4;
/// So many bytes of what one writes are kept, the last ones.
const KEPT: usize = 1000;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happened {
    pub event: HookEvent,
    /// Names and values, besides `CAMERA_AGENT_EVENT`.
    pub environment: Vec<(&'static str, String)>,
}

/// All hooks, and those that run. Those end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    hooks: Vec<HookConfig>,
    running: JoinSet<()>,
    /// That they are too many was said.
    is_full: bool,
}

/// How one came to its end.
#[derive(Debug)]
struct Outcome {
    /// `None` where it was ended, at its limit.
    status: Option<ExitStatus>,
    /// The end of what it wrote, in one line.
    output: String,
}

impl Hooks {
    pub(crate) fn new(hooks: Vec<HookConfig>) -> Self {
        Self {
            hooks,
            ..Self::default()
        }
    }

    /// Others from now on. Those that run go on.
    pub(crate) fn replace(&mut self, hooks: Vec<HookConfig>) {
        self.hooks = hooks;
    }

    /// Runs what is to be run then.
    pub(crate) fn run(&mut self, happened: &Happened) {
        while self.running.try_join_next().is_some() {}
        for hook in &self.hooks {
            if !hook.on.contains(&happened.event) {
                continue;
            }
            if self.running.len() >= MOST {
                if !std::mem::replace(&mut self.is_full, true) {
                    let program = hook.program();
                    warn!(
                        program = %program.display(),
                        "hooks: {MOST} are running already; what happens meanwhile is left out"
                    );
                }
                continue;
            }
            self.is_full = false;
            self.running.spawn(run(hook.clone(), happened.clone()));
        }
    }
}

/// Runs one to its end, and logs how that was.
async fn run(hook: HookConfig, happened: Happened) {
    let program = hook.program();
    let (program, event) = (program.display(), happened.event.word());
    match outcome(&hook, &happened).await {
        Ok(Outcome {
            status: Some(status),
            output,
        }) if status.success() => debug!(%program, event, output, "a hook has run"),
        Ok(Outcome {
            status: Some(status),
            output,
        }) => warn!(%program, event, %status, output, "a hook failed"),
        Ok(Outcome {
            status: None,
            output,
        }) => warn!(
            %program, event, output,
            "a hook did not end in {} s (time_limit_s) and was ended", hook.time_limit_s
        ),
        Err(error) => warn!(
            %program, event,
            "a hook cannot be run: {error}{}", remedy(&error)
        ),
    }
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "; is it executable (chmod +x)? The service may run it only with the drop-in \
             hooks.conf of /usr/share/camera-agent/boards"
        }
        std::io::ErrorKind::NotFound => "; is it there, and what its first line (#!) names?",
        _ => "",
    }
}

async fn outcome(hook: &HookConfig, happened: &Happened) -> std::io::Result<Outcome> {
    // A fork copies the page tables of all of this, which takes its time; frames do
    // not wait for it.
    let mut command = spawn::command(hook, happened);
    let spawned = tokio::task::spawn_blocking(move || command.spawn()).await;
    let mut child = spawned.map_err(std::io::Error::other)??;
    // Ended with this, also where nobody waits for it any more.
    let group = Group::of(&child);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut erred) = (Vec::new(), Vec::new());
    let end = async {
        // Both to their end: one that is not read would stand still.
        tokio::join!(read(out, &mut said), read(err, &mut erred));
        child.wait().await
    };
    let limit = Duration::from_secs(hook.time_limit_s.into());
    let status = match timeout(limit, end).await {
        Ok(status) => Some(status?),
        Err(_) => None,
    };
    drop(group);
    if status.is_none() {
        // It is reaped, or it would stay as a zombie.
        let _ = child.wait().await;
    }
    said.append(&mut erred);
    Ok(Outcome {
        status,
        output: line(&said),
    })
}

/// Reads all of it and keeps the end.
async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        let beyond = kept.len().saturating_sub(KEPT);
        kept.drain(..beyond);
    }
}

/// What a program wrote as one line of a log.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.trim().replace(['\n', '\t'], " ");
    words.replace(char::is_control, "")
}

#[cfg(test)]
mod tests;
