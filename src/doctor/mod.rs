//! `camera-agent doctor`: tries everything on this machine that a call needs,
//! says what is wrong, and how to mend it.
//!
//! Each check is a file: a probe that touches the machine, and a judgement,
//! which is pure, that turns what was seen into [`Finding`]s. Checks do not
//! depend on each other's success: one that fails, hangs or panics is one
//! finding, and the others go on.

mod access;
mod begun;
pub(crate) mod bundle;
mod call;
mod caller;
mod camera;
mod chat_server;
mod clock;
mod configuration;
mod echo;
mod elements;
mod encoder;
mod finding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod ice_servers;
mod identity;
mod in_use;
mod microphone;
mod permissions;
mod privacy;
mod recording;
mod remedies;
mod report;
mod speaker;
mod stun;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::Config;
use crate::media::latency::LatencyReport;
use crate::media::probe::Encoders;
use finding::{Check, Finding};

pub(crate) use finding::Severity;
pub(crate) use report::Report;

/// Runs every check; takes some ten seconds, `quick` less: it opens neither
/// camera nor microphone and calls itself with the test picture. The owner's
/// privacy keeps both closed too.
///
/// Never fails: what goes wrong is in the report.
pub(crate) async fn examine(path: Option<&Path>, quick: bool) -> Report {
    let (config, mut findings) = configuration::read(path);
    findings.extend(
        blocking(Check::Elements, Duration::from_secs(5), {
            let config = config.clone();
            move || elements::check(config.as_ref())
        })
        .await,
    );
    let Some(config) = config else {
        findings.push(clock::check(None));
        findings.push(configuration::nothing_else_was_tried());
        return Report::new(findings, LatencyReport::default());
    };
    let service = path.and_then(crate::state::of_service);
    let closed = privacy_of(&config, service.clone()).await;
    findings.extend(privacy::judge(closed));
    let quick = quick || closed != privacy::Closed::No;
    let network = async {
        tokio::join!(
            within(
                Check::ChatServer,
                chat_server::LIMIT,
                chat_server::check(config.clone())
            ),
            within(
                Check::IceServer,
                ice_servers::LIMIT,
                ice_servers::check(config.clone())
            ),
        )
    };
    let ((chat, ice), (media, latency)) = tokio::join!(network, devices(&config, quick));
    for more in [chat, ice, media] {
        findings.extend(more);
    }
    findings.push(clock::check(Some(&config)));
    findings.extend(
        blocking(Check::Access, Duration::from_secs(5), {
            let config = config.clone();
            let service = service.clone();
            move || {
                let begun = begun::check(&config, service.clone());
                let access = access::check(&config, service);
                begun.into_iter().chain([access]).collect()
            }
        })
        .await,
    );
    findings.extend(
        blocking(Check::Recording, Duration::from_secs(5), {
            let config = config.clone();
            move || recording::check(&config, service)
        })
        .await,
    );
    findings.extend(
        blocking(Check::Identity, Duration::from_secs(5), || {
            vec![identity::check()]
        })
        .await,
    );
    Report::new(findings, latency)
}

/// Where nobody can tell within a few seconds, nobody can tell.
async fn privacy_of(config: &Config, service: Option<PathBuf>) -> privacy::Closed {
    let config = config.clone();
    let look = tokio::task::spawn_blocking(move || privacy::look(&config, service));
    match timeout(Duration::from_secs(5), look).await {
        Ok(Ok(closed)) => closed,
        Ok(Err(_)) | Err(_) => privacy::Closed::Unknown,
    }
}

/// What is on this machine. Camera and microphone are apart from each other;
/// the call comes last, for it opens both again.
async fn devices(config: &Config, quick: bool) -> (Vec<Finding>, LatencyReport) {
    let short = Duration::from_secs(5);
    let with = |check: fn(&Config) -> Vec<Finding>| {
        let config = config.clone();
        move || check(&config)
    };
    let mut findings = blocking(Check::Permissions, short, with(permissions::check)).await;
    findings.extend(blocking(Check::InUse, short, with(in_use::check)).await);
    // What is found out of an encoder serves the camera's plan and the call.
    let encoders = Encoders::for_this_machine(config).map(Arc::new);
    let encoder = blocking(Check::Encoder, encoder::LIMIT, {
        let (video, encoders) = (config.video.clone(), encoders.clone());
        move || encoder::check(&video, encoders.as_deref())
    })
    .await;
    findings.extend(encoder);
    if !quick {
        let (camera, microphone) = tokio::join!(
            blocking(Check::Camera, camera::LIMIT, {
                let (config, encoders) = (config.clone(), encoders.clone());
                move || camera::check(&config, encoders.ok().as_deref())
            }),
            blocking(
                Check::Microphone,
                microphone::LIMIT,
                with(microphone::check)
            ),
        );
        findings.extend(camera);
        findings.extend(microphone);
        // After the microphone, which listens to it.
        findings.extend(blocking(Check::Speaker, speaker::LIMIT, with(speaker::check)).await);
        findings.extend(blocking(Check::Echo, echo::LIMIT, with(echo::check)).await);
    }
    let works = |check| {
        !findings
            .iter()
            .any(|f| f.check == check && f.severity == Severity::Error)
    };
    let sources = call::Sources {
        camera: !quick && works(Check::Camera),
        microphone: !quick && works(Check::Microphone),
    };
    let (tell, mut told) = tokio::sync::oneshot::channel();
    if let Ok(encoders) = encoders
        && works(Check::Encoder)
    {
        let called = call::check(config.clone(), encoders, sources, tell);
        findings.extend(within(Check::Call, call::LIMIT, called).await);
    }
    (findings, told.try_recv().unwrap_or_default())
}

/// Runs a check for no longer than `limit`.
async fn within(
    check: Check,
    limit: Duration,
    run: impl Future<Output = Vec<Finding>> + Send + 'static,
) -> Vec<Finding> {
    let mut task = tokio::spawn(run);
    let failed = |what: String, remedy: &str| vec![Finding::error(check, what, remedy)];
    match timeout(limit, &mut task).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => failed(
            format!("this check itself failed: {error}"),
            "report this with the lines above it",
        ),
        Err(_) => {
            task.abort();
            failed(
                format!("this check did not end within {} s", limit.as_secs()),
                "a driver that hangs does that: unplug the device and plug it in again, or \
                 restart the machine",
            )
        }
    }
}

/// The same for a check that blocks. One that hangs keeps its thread.
async fn blocking(
    check: Check,
    limit: Duration,
    run: impl FnOnce() -> Vec<Finding> + Send + 'static,
) -> Vec<Finding> {
    within(check, limit, async move {
        match tokio::task::spawn_blocking(run).await {
            Ok(findings) => findings,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_check_that_panics_or_hangs_is_a_finding() {
        let soon = Duration::from_millis(50);
        let panics = blocking(Check::Camera, soon * 100, || panic!("no such thing")).await;
        assert_eq!(panics[0].severity, Severity::Error);
        assert!(panics[0].what.contains("no such thing"), "{panics:?}");
        let hangs = within(Check::Call, soon, std::future::pending()).await;
        assert!(hangs[0].what.contains("did not end"), "{hangs:?}");
        assert!(hangs[0].remedy.is_some());
    }
}
