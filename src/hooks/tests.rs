//! Real programs, run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::*;

fn hook(command: &[&str], time_limit_s: u32) -> HookConfig {
    HookConfig {
        on: vec![HookEvent::Motion],
        command: command.iter().map(ToString::to_string).collect(),
        time_limit_s,
    }
}

fn shell(script: &str, time_limit_s: u32) -> HookConfig {
    hook(&["/bin/sh", "-c", script], time_limit_s)
}

fn happened() -> Happened {
    Happened {
        event: HookEvent::Motion,
        environment: vec![("CAMERA_AGENT_ZONE", "the; door\n$(reboot)".into())],
    }
}

async fn run_one(hook: &HookConfig) -> Outcome {
    outcome(hook, &happened()).await.expect("it starts")
}

#[tokio::test]
async fn it_gets_what_happened_in_its_environment_and_nothing_of_the_service_s() {
    let outcome = run_one(&hook(&["/usr/bin/env"], 10)).await;
    assert!(outcome.status.expect("it ended").success());
    let output = &outcome.output;
    assert!(output.contains("CAMERA_AGENT_EVENT=motion"), "{output}");
    assert!(
        output.contains("CAMERA_AGENT_ZONE=the; door $(reboot)"),
        "{output}"
    );
    // Of cargo, and like a service's CREDENTIALS_DIRECTORY.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!output.contains("CARGO_"), "{output}");
}

#[tokio::test]
async fn no_descriptor_of_ours_is_open_in_it() {
    use std::os::fd::AsFd;
    let camera = fs::File::open("/dev/null").expect("it is there");
    // As GStreamer opens a camera: not to be closed by exec.
    rustix::io::fcntl_setfd(camera.as_fd(), rustix::io::FdFlags::empty()).expect("it can be set");
    let outcome = run_one(&shell("ls /proc/self/fd", 10)).await;
    // 3 is the folder that ls reads.
    assert_eq!(outcome.output, "0 1 2 3");
}

#[tokio::test]
async fn one_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let script = format!("sleep 300 & echo $! > {}; echo begun; wait", pid.display());
    let begun = Instant::now();
    let outcome = run_one(&shell(&script, 1)).await;
    assert!(outcome.status.is_none() && outcome.output == "begun");
    assert!(begun.elapsed() < Duration::from_secs(60), "{begun:?}");
    let pid = fs::read_to_string(pid).expect("it was written");
    let status = format!("/proc/{}/stat", pid.trim());
    // A zombie until whoever inherits it looks.
    let is_alive = || fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z "));
    while is_alive() {
        tokio::task::yield_now().await;
        assert!(begun.elapsed() < Duration::from_secs(60), "it still sleeps");
    }
}

#[tokio::test]
async fn of_much_output_the_end_is_kept_in_one_line() {
    let outcome = run_one(&shell("seq 1 200000; printf 'a\\033[31m\\nb'; exit 3", 60)).await;
    assert_eq!(outcome.status.expect("it ended").code(), Some(3));
    assert!(outcome.output.ends_with("200000 a[31m b"), "{outcome:?}");
    assert!(outcome.output.len() <= 2 * KEPT, "{outcome:?}");
}

#[tokio::test]
async fn one_that_cannot_be_run_is_told_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hook");
    fs::write(&file, "#!/bin/sh\n").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
    let start = async |path: &Path| {
        let hook = hook(&[path.to_str().expect("text")], 1);
        let error = outcome(&hook, &happened()).await.expect_err("it cannot");
        remedy(&error)
    };
    assert!(start(&file).await.contains("chmod +x"));
    assert!(
        start(&folder.path().join("none"))
            .await
            .contains("is it there")
    );
}

#[tokio::test]
async fn no_more_than_a_few_run_and_only_for_what_they_are_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("touch {}/$$; sleep 300", folder.path().display());
    let mut hooks = Hooks::new(vec![shell(&script, 300)]);
    let ended = Happened {
        event: HookEvent::MotionEnded,
        ..happened()
    };
    hooks.run(&ended);
    assert!(hooks.running.is_empty());
    for _ in 0..3 * MOST {
        hooks.run(&happened());
    }
    assert_eq!(hooks.running.len(), MOST);
    let begun = Instant::now();
    let count = || fs::read_dir(folder.path()).expect("it is there").count();
    while count() < MOST {
        tokio::task::yield_now().await;
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", count());
    }
    let pids: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    // And all of them end with it.
    hooks.running.shutdown().await;
    for pid in pids {
        let pid = pid.expect("an entry").file_name().into_string();
        let status = format!("/proc/{}/stat", pid.expect("text"));
        while fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < Duration::from_secs(60), "one still runs");
        }
    }
}
