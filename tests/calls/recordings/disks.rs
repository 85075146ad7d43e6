//! Disks: full, read-only, broken in the middle of a recording, and exchanged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::{configuration, files, is_over};
use crate::support::device::Device;
use crate::support::film::plays;
use crate::support::viewer::Viewer;
use crate::support::{Chat, SOON, until};

/// What is said once for each trouble, and once for its end.
const STOPPED: &str = "nothing is recorded until this is mended";
const GOES_ON: &str = "recording goes on";

/// A device that records onto what this command mounts at `$0`, for it alone.
async fn recording_on(mount: &str, folder: &Path, chat: &Chat, recording: &str) -> Device {
    let server = format!(
        "[server]\nurl = \"ws://{}/\"\nname = \"camera\"\n",
        chat.addr
    );
    let toml = format!("{server}{}", configuration(folder, recording));
    let mut program = Command::new("unshare");
    program.args(["--mount", "sh", "-c"]);
    program.arg(format!("{mount} && exec \"$@\""));
    program.arg(folder).arg(env!("CARGO_BIN_EXE_camera-agent"));
    Device::run(program, &toml).await
}

/// A folder as the device sees it.
fn inside(device: &Device, folder: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", device.pid(), folder.display()))
}

/// Runs this in the mount namespace of the device.
async fn at(device: &Device, command: &str) {
    let pid = device.pid().to_string();
    let done = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "sh", "-c", command])
        .status()
        .await;
    assert!(done.expect("nsenter").success(), "{command}");
}

async fn viewer(chat: &Chat) -> Viewer {
    let url = format!("ws://{}/", chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    viewer.watch(10).await;
    viewer
}

#[tokio::test]
async fn a_disk_that_is_read_only_or_full_stops_recording_and_never_a_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Chat::start().await;
    let recording = "when = \"always\"\ntotal_mb = 0\nfree_mb = 0";
    let on = "mount -t tmpfs -o ro,size=300k none \"$0\"";
    let device = recording_on(on, folder.path(), &chat, recording).await;
    device.logs(STOPPED, 1, SOON).await;
    let viewer = viewer(&chat).await;

    let remount = |options| format!("mount -o remount,{options} {}", folder.path().display());
    at(&device, &remount("rw,size=300k")).await;
    device.logs(GOES_ON, 1, SOON).await;
    device.logs(STOPPED, 2, 2 * SOON).await;
    let inside = inside(&device, folder.path());
    // What was written before is whole.
    let (name, path) = files(&inside).swap_remove(0);
    assert!(is_over(&name), "{name}");
    plays(&path).await;
    at(&device, &remount("size=50m")).await;
    device.logs(GOES_ON, 2, SOON).await;
    viewer.watch(60).await;
    viewer.heard(|heard| assert_eq!(heard.hung_up, None));
    assert_eq!(device.logged(STOPPED), 2, "each is said once");
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(device);
    chat.stop().await;
}

/// A megabyte is to stay free of a disk that has room for two recordings more.
#[tokio::test]
async fn a_disk_that_runs_full_loses_the_oldest_and_recording_goes_on() {
    const FREE: u64 = 1_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let chat = Chat::start().await;
    let recording = "when = \"motion\"\npre_roll_s = 1\ntotal_mb = 0\nfree_mb = 1";
    let on = "mount -t tmpfs -o size=1200k none \"$0\"";
    let device = recording_on(on, folder.path(), &chat, recording).await;
    let inside = inside(&device, folder.path());
    let mut seen = Vec::new();
    until("six, of which the first are gone", 4 * SOON, || {
        for (name, _) in files(&inside) {
            if is_over(&name) && !seen.contains(&name) {
                seen.push(name);
            }
        }
        let is_there = |name: &String| inside.join(name).exists();
        let done = seen.len() >= 6 && !is_there(&seen[0]) && !is_there(&seen[1]);
        async move { done.then_some(()) }
    })
    .await;
    // Else it goes on deleting what is looked at.
    device.signal("STOP").await;
    let left: Vec<_> = files(&inside)
        .into_iter()
        .filter(|(name, _)| is_over(name))
        .collect();
    let kept: Vec<_> = left.iter().map(|(name, _)| name).collect();
    let latest: Vec<_> = seen.iter().filter(|name| kept.contains(name)).collect();
    assert_eq!(
        seen.iter()
            .rev()
            .take(latest.len())
            .rev()
            .collect::<Vec<_>>(),
        latest
    );
    for (_, path) in &left {
        plays(path).await;
    }
    let disk = rustix::fs::statvfs(&inside).expect("it is mounted");
    // One that goes on takes some of it until the next look.
    let free = disk.f_bavail * disk.f_frsize;
    assert!(free > FREE / 2, "{free}");
    assert_eq!(device.logged(STOPPED), 0, "{:#?}", device.log());
    drop(device);
    chat.stop().await;
}

/// As an SD card that fails: ext4 finds an error and turns itself read-only while a file
/// is being written. Then the card is looked at, and put in again.
#[tokio::test]
async fn a_file_system_that_breaks_in_the_middle_costs_seconds_and_no_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = tempfile::tempdir().expect("a folder");
    let image = card.path().join("card");
    let make = format!(
        "truncate -s 64M {0} && mkfs.ext4 -q -O ^has_journal {0}",
        image.display()
    );
    let made = Command::new("sh").args(["-c", &make]).status().await;
    assert!(made.expect("sh").success(), "mkfs.ext4");
    let chat = Chat::start().await;
    let insert = format!(
        "mount -o loop,errors=remount-ro {} {}",
        image.display(),
        folder.path().display()
    );
    let recording = "when = \"always\"\ntotal_mb = 0\nfree_mb = 0";
    let device = recording_on(&insert, folder.path(), &chat, recording).await;
    let viewer = viewer(&chat).await;
    let inside = inside(&device, folder.path());
    let is_long =
        |(_, path): &(String, PathBuf)| fs::metadata(path).is_ok_and(|m| m.len() > 100_000);
    until("some seconds", SOON, async || {
        files(&inside).iter().any(is_long).then_some(())
    })
    .await;
    let (cut, _) = files(&inside).swap_remove(0);
    assert!(!is_over(&cut), "{cut}");
    let fail = format!(
        "echo 1 >/sys/fs/ext4/$(basename $(findmnt -n -o SOURCE {}))/trigger_fs_error",
        folder.path().display()
    );
    at(&device, &fail).await;
    device.logs(STOPPED, 1, SOON).await;
    viewer.watch(60).await;
    // A look into it is an error that is mended: fsck's exit status is 1 then.
    let mend = format!(
        "umount {} && {{ e2fsck -p {} >/dev/null || [ $? = 1 ]; }} && {insert}",
        folder.path().display(),
        image.display()
    );
    at(&device, &mend).await;
    device.logs(GOES_ON, 1, SOON).await;
    // What was cut has its end, and all that was on the card.
    let stem = cut.trim_end_matches(".mp4").to_owned();
    let (_, path) = until("its end", SOON, async || {
        let all = files(&inside).into_iter();
        all.filter(|(name, _)| is_over(name))
            .find(|(name, _)| name.starts_with(&stem))
    })
    .await;
    plays(&path).await;
    viewer.heard(|heard| assert_eq!(heard.hung_up, None));
    assert_eq!(device.logged(STOPPED), 1, "it is said once");
    drop(device);
    chat.stop().await;
}
