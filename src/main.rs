//! The process: parse, log, run, exit code.

use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use camera_agent::cli::{self, Cli, Command};
use camera_agent::config::{AudioSource, Config, LogConfig, VideoSource};
use camera_agent::daemon::{self, Daemon};
use camera_agent::doctor::{self, Severity};
use camera_agent::ice::{self, IceServers};
use camera_agent::media::discovery::report;
use camera_agent::media::gst;
use camera_agent::media::learned::Learned;
use camera_agent::media::probe::{Encoders, child};
use camera_agent::{chat, environment, logging};

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    #[allow(unsafe_code, reason = "the module explains itself")]
    unsafe {
        environment::prepare();
    }
    let result = match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Chat(arguments) => chat(&arguments),
        Command::Demo(arguments) => demo(&arguments),
        Command::Doctor(arguments) => match doctor(&arguments) {
            Ok(severity) => return ExitCode::from(severity.exit_code()),
            Err(error) => Err(error),
        },
        Command::Devices(arguments) => devices(&arguments),
        Command::ProbeEncoder => probe_encoder(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whether or not logging has started.
            eprintln!("camera-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &cli::Run) -> anyhow::Result<()> {
    let config = arguments.configuration()?;
    if arguments.check {
        daemon::check(&config)?;
        println!("the configuration is valid");
        return Ok(());
    }
    logging::start(&config.log)?;
    block_on(async {
        let shutdown = shutdown()?;
        Daemon::new(&config)?.run(shutdown.cancelled()).await;
        Ok(())
    })
}

fn chat(arguments: &cli::Chat) -> anyhow::Result<()> {
    logging::start(&LogConfig {
        format: arguments.log_format,
        ..Default::default()
    })?;
    let ice = IceServers::load(&arguments.ice()?)?;
    let mut options = chat::Options::new(arguments.listen());
    options.tls = arguments
        .cert
        .clone()
        .zip(arguments.key.clone())
        .map(|(cert, key)| chat::Tls { cert, key });
    options.allowed_origins.clone_from(&arguments.allow_origin);
    options.ice_servers = Arc::new(move || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        ice::to_json(&ice.at(now.unwrap_or_default(), "page"))
    });
    let scheme = if options.tls.is_some() {
        "https"
    } else {
        "http"
    };
    block_on(async {
        let shutdown = shutdown()?;
        let server = chat::Server::bind(options).await?;
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
        let server = chat::Server::bind(chat::Options::new(arguments.listen)).await?;
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

fn devices(arguments: &cli::Devices) -> anyhow::Result<()> {
    let config = arguments.configuration()?;
    gst::init()?;
    let encoders = Encoders::for_this_machine(&config)?;
    let report = report::look(&config, &encoders.report());
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).context("writing JSON")? + "\n"
    } else {
        report.to_string()
    };
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
    result
}

/// Cancelled by the first SIGTERM or SIGINT; the second ends the process at
/// once.
fn shutdown() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let token = CancellationToken::new();
    let first = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        first.cancel();
        next().await;
        error!("ended by a second signal");
        std::process::exit(1);
    });
    Ok(token)
}
