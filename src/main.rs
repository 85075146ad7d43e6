//! The process: parse, log, run, exit code.

use std::io::{BufRead, IsTerminal, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use camera_agent::cli::{self, Cli, Command};
use camera_agent::config::{AccessMode, AudioSource, Config, ConfigError, LogConfig, VideoSource};
use camera_agent::daemon::{self, Daemon, StartError, Supervision};
use camera_agent::device::learned::Learned;
use camera_agent::device::led::{self, Led};
use camera_agent::doctor::{self, Severity};
use camera_agent::ending::{Ending, Signal, Verdict};
use camera_agent::inventory;
use camera_agent::media::gst;
use camera_agent::media::probe::{Encoders, child};
use camera_agent::restarts::{self, Restarts};
use camera_agent::secret::without_credentials;
use camera_agent::servers::configured::{self, IceServers};
use camera_agent::service::{self, Service, Snapshot};
use camera_agent::setup::{self, Hardware};
use camera_agent::{chat, environment, logging, owner, packaging, state};

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    #[allow(unsafe_code, reason = "the module explains itself")]
    unsafe {
        environment::prepare();
    }
    let result = match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Chat(arguments) => chat(&arguments),
        Command::Page(arguments) => page(&arguments),
        Command::Demo(arguments) => demo(&arguments),
        Command::Doctor(arguments) => match doctor(&arguments) {
            Ok(severity) => return ExitCode::from(severity.exit_code()),
            Err(error) => Err(error),
        },
        Command::Setup(arguments) => set_up(&arguments),
        Command::PackageFiles { folder } => {
            packaging::write(&folder).with_context(|| format!("writing to {}", folder.display()))
        }
        Command::Devices(arguments) => devices(&arguments),
        Command::Invite(arguments) => {
            owner::invite(&arguments, &mut std::io::stdout()).map_err(Into::into)
        }
        Command::Viewers(arguments) => {
            owner::viewers(&arguments, &mut std::io::stdout()).map_err(Into::into)
        }
        Command::Revoke(arguments) => {
            owner::revoke(&arguments, &mut std::io::stdout()).map_err(Into::into)
        }
        Command::ProbeEncoder => probe_encoder(),
        Command::SetupLook => look_for_setup(),
        Command::SetupTestCall { config } => setup_test_call(&config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::last_words(&format_args!("{error:#}"));
            exit_code(&error)
        }
    }
}

/// sysexits.h's number for a configuration that cannot be used: starting again
/// will not mend it, and the unit says so.
const CONFIGURATION: u8 = 78;

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_configuration = error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || cause
                .downcast_ref()
                .is_some_and(StartError::is_configuration)
    });
    if is_configuration {
        ExitCode::from(CONFIGURATION)
    } else {
        ExitCode::FAILURE
    }
}

fn page(arguments: &cli::Page) -> anyhow::Result<()> {
    let export =
        chat::Export::new(&arguments.server, arguments.name.clone()).map_err(anyhow::Error::msg)?;
    export
        .write(&arguments.folder)
        .map_err(|(path, error)| anyhow::Error::new(error).context(path.display().to_string()))?;
    println!(
        "The page is in {}. Put it on a web server of yours, and start the chat server with\n\
         --allow-origin and that web server's origin, such as https://home.example.org.",
        arguments.folder.display()
    );
    if !export.is_encrypted() {
        println!("Browsers let a page of https reach only a server with a certificate, wss://.");
    }
    Ok(())
}

fn run(arguments: &cli::Run) -> anyhow::Result<()> {
    let config = arguments.configuration()?;
    if arguments.check {
        daemon::check(&config)?;
        println!("the configuration is valid");
        return Ok(());
    }
    let logging = logging::start(&config.log)?;
    let restarts = Restarts::count();
    block_on(async {
        let shutdown = shutdown()?;
        let reloads = reloads(arguments)?;
        if let Some(restarts) = &restarts {
            rest(restarts.bad_runs, &shutdown).await;
        }
        if !shutdown.is_cancelled() {
            let device = Daemon::new(&config)?;
            let supervision = Supervision {
                service: Service::from_environment(Instant::now()),
                observer: None,
                logging: Some(logging),
                reloads,
            };
            let run = device.supervised(shutdown.cancelled(), supervision);
            tokio::pin!(run);
            tokio::select! {
                () = &mut run => {}
                () = tokio::time::sleep(restarts::GOOD) => {
                    if let Some(restarts) = &restarts {
                        restarts.good();
                    }
                    run.await;
                }
            }
        }
        if let Some(restarts) = &restarts {
            restarts.good();
        }
        Ok(())
    })
}

/// Waits before a run that follows so many that did not last.
async fn rest(bad_runs: u32, shutdown: &CancellationToken) {
    let delay = restarts::delay(bad_runs);
    if delay.is_zero() {
        return;
    }
    let why = format!(
        "{bad_runs} runs in a row did not last; the next begins in {} s",
        delay.as_secs()
    );
    warn!("{why}");
    service::waiting(delay + START, &why);
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = shutdown.cancelled() => {}
    }
}

/// A start takes no longer, a trial of each encoder included.
const START: Duration = Duration::from_secs(90);

/// Reads the configuration again at each SIGHUP. Not on a terminal, where that
/// signal says that the terminal is gone.
fn reloads(arguments: &cli::Run) -> anyhow::Result<mpsc::Receiver<Result<Config, ConfigError>>> {
    let (read, reloads) = mpsc::channel(1);
    if arguments.config.is_some() && !std::io::stdin().is_terminal() {
        let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let arguments = arguments.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                if read.send(arguments.configuration()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(reloads)
}

fn chat(arguments: &cli::Chat) -> anyhow::Result<()> {
    logging::start(&LogConfig {
        format: arguments.log_format,
        ..Default::default()
    })?;
    let servers = arguments.ice()?;
    let ice = Arc::new(RwLock::new(IceServers::load(&servers)?));
    let mut options = chat::Options::new(arguments.listen());
    options.tls = arguments
        .cert
        .clone()
        .zip(arguments.key.clone())
        .map(|(cert, key)| chat::Tls { cert, key });
    options.allowed_origins.clone_from(&arguments.allow_origin);
    options
        .frame_ancestors
        .clone_from(&arguments.frame_ancestors);
    options.trusted_proxies.clone_from(&arguments.trusted_proxy);
    options.limits.connections = arguments.max_connections;
    options.limits.per_source = arguments.max_per_address;
    let handed_out = ice.clone();
    options.ice_servers = Arc::new(move || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ice = handed_out.read().unwrap_or_else(PoisonError::into_inner);
        configured::to_json(&ice.at(now.unwrap_or_default(), "page"))
    });
    let scheme = if options.tls.is_some() {
        "https"
    } else {
        "http"
    };
    block_on(async {
        let shutdown = shutdown()?;
        // Before it listens: from then on the signal ends nothing.
        let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let server = chat::Server::bind(options).await?;
        let renewal = server.renewal();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                renewal.now();
                match IceServers::load(&servers) {
                    Ok(read) => *ice.write().unwrap_or_else(PoisonError::into_inner) = read,
                    Err(problem) => error!("{problem}. The secret read before stays in use"),
                }
            }
        });
        info!(
            "the page is at {scheme}://{}/",
            page_address(server.local_addr())
        );
        server.run(shutdown).await;
        Ok(())
    })
}

fn demo(arguments: &cli::Demo) -> anyhow::Result<()> {
    let mut config = Config::default();
    config.server.name.clone_from(&arguments.name);
    // The browser is on this very machine.
    config.ice.loopback = true;
    logging::start(&config.log)?;
    gst::init()?;
    if arguments.test || gst::plan_picture(&config.video, &[], &Learned::default()).is_err() {
        config.video.source = VideoSource::Test;
    }
    if arguments.test || gst::plan_sound(&config.audio).is_err() {
        config.audio.source = AudioSource::Test;
    }
    block_on(async {
        let shutdown = shutdown()?;
        let mut options = chat::Options::new(arguments.listen);
        options.allowed_origins.clone_from(&arguments.allow_origin);
        let server = chat::Server::bind(options).await?;
        let address = server.local_addr();
        config.server.url = format!("ws://{address}/");
        let server = tokio::spawn(server.run(shutdown.child_token()));
        let device = Daemon::new(&config)?;
        println!(
            "Open http://{}/ in a browser and click \"{}\". Ctrl-C ends the demo.",
            page_address(address),
            config.server.name
        );
        device.run(shutdown.cancelled()).await;
        server.await.context("the chat server")?;
        Ok(())
    })
}

/// The findings are the output; nothing is logged beside them unless the
/// environment's `RUST_LOG` asks for it.
fn doctor(arguments: &cli::Doctor) -> anyhow::Result<Severity> {
    logging::start(&LogConfig {
        level: "off".into(),
        ..Default::default()
    })?;
    if std::io::stderr().is_terminal() {
        eprintln!("examining this device; it takes up to 25 s");
    }
    let report = block_on(async {
        Ok(doctor::examine(arguments.config.as_deref(), arguments.quick).await)
    })?;
    if arguments.json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", report.to_text());
    }
    Ok(report.severity())
}

fn set_up(arguments: &cli::Setup) -> anyhow::Result<()> {
    if arguments.check {
        Config::load(&arguments.config)?.check(&arguments.config)?;
        println!("{} is filled in and valid", arguments.config.display());
        return Ok(());
    }
    let mut person = setup::person();
    let answers = person.as_mut().map(|p| p as &mut dyn BufRead);
    let is_asked = answers.is_some() && !arguments.test_call;
    let hardware = match &answers {
        Some(_) => {
            // As it is now, with or without its two keys.
            let led = Config::load(&arguments.config)
                .ok()
                .and_then(|c| c.led.path);
            let _lit = Led::new(led.as_deref())?.light()?;
            setup::apart::look()?
        }
        None => Hardware::default(),
    };
    setup::run(arguments, &hardware, answers, &mut std::io::stdout())?;
    println!("{} is written", arguments.config.display());
    let call = match &mut person {
        Some(answers) if is_asked => setup::wants_test_call(answers, &mut std::io::stdout())?,
        _ => arguments.test_call,
    };
    if call {
        return Ok(setup::apart::test_call(&arguments.config)?);
    }
    println!("Now start the camera: systemctl restart camera-agent");
    if is_asked {
        first_invitation(&arguments.config)?;
    }
    Ok(())
}

/// Ends a set-up: the owner is the first who is invited.
fn first_invitation(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    println!();
    if let Err(error) =
        owner::invite_owner(&config, state::of_service(path), &mut std::io::stdout())
    {
        println!("{error}\nTo watch, invite yourself: sudo camera-agent invite LABEL");
    }
    Ok(())
}

/// What there is to choose from, for a set-up whose user this is not.
fn look_for_setup() -> anyhow::Result<()> {
    gst::init()?;
    println!("{}", serde_json::to_string(&Hardware::look())?);
    Ok(())
}

/// The test call, likewise.
fn setup_test_call(path: &Path) -> anyhow::Result<()> {
    let text = std::io::read_to_string(std::io::stdin()).context("reading the configuration")?;
    let mut config = Config::parse(&text, path)?;
    if config.access.is_invited() {
        // This user has no part in the list, and the owner is there.
        config.access.mode = Some(AccessMode::Open);
        println!("Until the test call is over, everybody on the chat server can call.");
    }
    logging::start(&config.log)?;
    block_on(async {
        let shutdown = shutdown()?;
        test_call(&config, &shutdown).await
    })
}

/// Is the camera until somebody has called and seen it.
async fn test_call(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let device = Daemon::new(config)?;
    let (observer, mut seen) = watch::channel(Snapshot::default());
    let supervision = Supervision {
        observer: Some(observer),
        ..Supervision::none(Instant::now())
    };
    println!(
        "Open the chat page and click \"{}\"; there are {} s for that.",
        config.server.name,
        setup::TEST_CALL.as_secs()
    );
    let call = setup::seen(&mut seen, config.video.fps);
    let mut result = Err(anyhow::anyhow!("the test call was broken off"));
    let end = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            outcome = call => result = outcome.map_err(Into::into),
        }
    };
    device.supervised(end, supervision).await;
    if result.is_ok() {
        println!("The call came, and the caller got a second of picture.");
    }
    result
}

fn devices(arguments: &cli::Devices) -> anyhow::Result<()> {
    let config = arguments.configuration()?;
    gst::init()?;
    let encoders = Encoders::for_this_machine(&config)?;
    // To look at a camera is to open its node.
    let lit = Led::new(config.led.path.as_deref())?.light()?;
    let report = inventory::look(&config, &encoders.report());
    drop(lit);
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).context("writing JSON")? + "\n"
    } else {
        report.to_string()
    };
    // A pipeline of the owner's may name a camera with its password.
    let text = without_credentials(&text);
    match std::io::stdout().write_all(text.as_bytes()) {
        // `| head` has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to standard output"),
    }
}

fn probe_encoder() -> anyhow::Result<()> {
    child::serve(std::io::stdin(), std::io::stdout()).map_err(anyhow::Error::msg)
}

/// Browsers treat `localhost` as secure, and people can read it.
fn page_address(address: std::net::SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// One thread: the encoder has threads of its own, and frames of all viewers
/// leave in the order in which they came.
fn block_on<T>(run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let result = runtime.block_on(run);
    // A camera's driver that does not let go must not keep the process.
    runtime.shutdown_background();
    led::off_at_exit();
    result
}

/// Cancelled by the first SIGTERM or SIGINT; another one ends the process at
/// once, as [`Ending`] judges.
fn shutdown() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let mut ending = Ending::default();
        loop {
            let signal = tokio::select! {
                _ = terminate.recv() => Signal::Terminate,
                _ = interrupt.recv() => Signal::Interrupt,
            };
            match ending.on(signal, Instant::now()) {
                Verdict::Stop => stop.cancel(),
                Verdict::Nothing => {}
                Verdict::Exit => {
                    error!("ended by a second signal");
                    led::off_at_exit();
                    std::process::exit(1);
                }
            }
        }
    });
    Ok(token)
}
