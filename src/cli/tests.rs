use super::*;
use clap::CommandFactory;

fn run(arguments: &[&str]) -> Result<Config, String> {
    let cli = Cli::parse_from(["camera-agent", "run"].iter().chain(arguments));
    match cli.command {
        Command::Run(run) => run.configuration().map_err(|e| e.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_flag_that_is_refused_is_shown_without_its_password() {
    for flags in [
        ["chat", "--allow-origin", "https://u:north@cam.example"],
        ["chat", "--frame-ancestors", "https://u:north@cam.example/x"],
        ["demo", "--allow-origin", "u:north@cam.example"],
    ] {
        let error = Cli::try_parse_from(["camera-agent"].iter().chain(&flags));
        let text = without_credentials(error.expect_err("refused")).to_string();
        assert!(!text.contains("north"), "{text}");
        assert!(text.contains("cam.example"), "{text}");
    }
}

#[test]
fn flags_override_the_file() {
    let config = run(&[
        "--name",
        "door",
        "--source",
        "/dev/video3",
        "--server",
        "wss://x/",
    ])
    .expect("valid");
    assert_eq!(config.server.name, "door");
    assert_eq!(config.server.url, "wss://x/");
    assert_eq!(config.video.source, VideoSource::V4l2);
    assert_eq!(config.video.device, "/dev/video3");
}

#[test]
fn another_source_does_not_mind_the_file_s_description() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(
        file.path(),
        "[video]\nsource = \"custom\"\npipeline = \"videotestsrc\"",
    )
    .expect("written");
    let path = file.path().to_str().expect("text");
    let config = run(&["--config", path, "--source", "test"]).expect("valid");
    assert_eq!(config.video.source, VideoSource::Test);
}

#[test]
fn a_flag_that_makes_no_sense_is_named() {
    assert!(run(&["--source", "webcam"]).is_err_and(|e| e.contains("--source")));
    assert!(run(&["--name", ""]).is_err_and(|e| e.contains("server.name")));
    assert!(run(&["--config", "/no/such"]).is_err_and(|e| e.contains("/no/such")));
}
