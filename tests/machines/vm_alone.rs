//! One board alone: from unpacking the package to a picture in a browser in three
//! commands, with the chat server on the board, found by mDNS. In the machine of
//! tests/machines/vm_service.rs, and by the same `make test-vm-service`.

use crate::support::browser::{Browser, Person};
use crate::support::machine::{Machine, PATIENCE};
use crate::support::picture::{is_bars, picture};
use crate::support::qr::scanned_text;
use crate::support::until;
use crate::vm_service::{CONFIG, install};

const NAME: &str = "vivid";
/// The machine's own, of tests/lab/image.sh; the page's port.
const HOST: &str = "vm.local";
const ADDRESS: &str = "192.168.77.2";
const PORT: u16 = 6503;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn three_commands_from_unpacking_to_a_picture() {
    let machine = Machine::new();
    purge(&machine).await;

    // The first. Nothing listens unasked.
    machine.run(&install("camera-agent")).await;
    assert_eq!(chat(&machine, "UnitFileState").await, "disabled");
    assert_eq!(chat(&machine, "ActiveState").await, "inactive");
    assert_eq!(machine.run(&listening()).await, "");

    machine.run("touch /root/before").await;
    // The second, as a person has it: yes, this board; name, camera, microphone;
    // the page as offered; no test call.
    let typed = format!("y\\n{NAME}\\n/dev/video0\\nhw:Loopback,1,0\\n\\nn\\n");
    let shown = machine
        .run(&format!(
            "printf '{typed}' | script --quiet --return --command 'camera-agent setup' /dev/null"
        ))
        .await;
    for words in [
        "Does this board run the chat server, too? [y/N]: ",
        &format!("Where telephones open the page [http://{HOST}:{PORT}/]: "),
        "The chat server runs, now and at each start",
        "Now start the camera: systemctl restart camera-agent",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(chat(&machine, "UnitFileState").await, "enabled");
    assert_eq!(chat(&machine, "ActiveState").await, "active");
    let link = scanned_text(&shown);
    assert!(shown.contains(&link), "{link}: {shown}");
    let begin = format!("http://{HOST}:{PORT}/#camera={NAME}&invite=");
    assert!(link.starts_with(&begin), "{link}");

    // The third; the picture is small enough for an emulated machine.
    machine
        .run(&format!(
            "sed -i -e 's/^width = 1280/width = 640/' -e 's/^height = 720/height = 360/' {CONFIG} && \
             systemctl start camera-agent"
        ))
        .await;
    let status = machine.property("StatusText").await;
    assert_eq!(status, format!("registered as \"{NAME}\", nobody watches"));

    // A telephone that scanned the code, on a network with mDNS.
    let owner = Browser::start(Person {
        flags: vec![format!("--host-resolver-rules=MAP {HOST} {ADDRESS}")],
        ..Person::default()
    })
    .await;
    owner.client.goto(&link).await.expect("the page");
    owner.state("connected").await;
    owner.frames_rise(20).await;
    until("the bars", PATIENCE, || async {
        is_bars(&picture(&owner).await).then_some(())
    })
    .await;
    let (_, key) = link.split_once("&invite=").expect("it ends in the key");
    assert!(key.len() > 20, "{link}");
    // By a file, since this shell's own words would be found.
    machine
        .run(&format!("umask 077; printf '%s\\n' '{key}' >/root/key"))
        .await;
    let told = machine
        .run(
            "journalctl -b -o cat | grep -c -F -f /root/key || true; \
             cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c -F -f /root/key || true; \
             find / -xdev -type f -perm /o+r -newer /root/before -exec grep -l -F -f /root/key {} + | wc -l",
        )
        .await;
    assert_eq!(told, "0\n0\n0");
    owner.click("#hangup").await;
    owner.state("idle").await;
    purge(&machine).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn the_page_is_announced_exactly_while_the_chat_server_runs() {
    let machine = Machine::new();
    alone(&machine).await;
    announced(&machine, true).await;
    // A crash, and the run after it.
    let pid = chat(&machine, "MainPID").await;
    machine
        .run("systemctl kill -s KILL camera-agent-chat")
        .await;
    until("another process", PATIENCE, || async {
        let now = chat(&machine, "MainPID").await;
        (now != pid && now != "0").then_some(())
    })
    .await;
    announced(&machine, true).await;
    // Avahi goes and comes.
    machine.run("systemctl restart avahi-daemon").await;
    announced(&machine, true).await;
    // Another port.
    machine
        .run(
            "sed -i 's/^#:listen = .*/listen = \"0.0.0.0:8080\"/' /etc/camera-agent/chat.toml && \
             systemctl restart camera-agent-chat",
        )
        .await;
    until("the other port is announced", PATIENCE, || async {
        let found = machine.run(BROWSE).await;
        (found.contains(";8080;") && !found.contains(";6503;")).then_some(())
    })
    .await;
    machine.run("systemctl stop camera-agent-chat").await;
    announced(&machine, false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn the_chat_server_is_a_user_of_its_own_and_hardened() {
    let machine = Machine::new();
    alone(&machine).await;
    let exposure = machine
        .run("systemd-analyze security --no-pager --threshold=15 camera-agent-chat | tail -n 1")
        .await;
    println!("{exposure}");
    assert!(
        exposure.contains("OK") || exposure.contains("SAFE"),
        "{exposure}"
    );
    let pid = chat(&machine, "MainPID").await;
    let facts = machine
        .run(&format!(
            "grep -E '^(Uid|CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/{pid}/status; \
             id -u camera-agent"
        ))
        .await;
    for fact in ["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(facts.contains(fact), "{facts}");
    }
    let camera = facts.lines().last().expect("a number");
    assert!(!facts.contains("Uid:\t0\t"), "{facts}");
    assert!(!facts.contains(&format!("Uid:\t{camera}\t")), "{facts}");
    // SIGHUP ends nothing.
    machine.run("systemctl reload camera-agent-chat").await;
    assert_eq!(chat(&machine, "MainPID").await, pid);

    // What it cannot use is one line, and no reason to try again.
    machine
        .run("sed -i 's/^max_connections = .*/max_conections = 3/' /etc/camera-agent/chat.toml")
        .await;
    let started = machine.try_run("systemctl restart camera-agent-chat").await;
    assert!(!started.status.success());
    assert_eq!(chat(&machine, "ExecMainStatus").await, "78");
    let log = machine
        .run("journalctl -u camera-agent-chat -p err -o cat | grep max_conections")
        .await;
    assert!(log.contains("/etc/camera-agent/chat.toml, line "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the virtual machine: make test-vm-service"]
async fn a_second_camera_has_a_file_a_unit_and_invitations_of_its_own() {
    let machine = Machine::new();
    alone(&machine).await;
    let config = "/etc/camera-agent/garden.toml";
    let said = machine
        .run(&format!(
            "camera-agent setup --config {config} --server ws://localhost:{PORT}/ --name garden \
             --camera test --microphone none </dev/null && \
             sed -i -e 's/^width = 1280/width = 320/' -e 's/^height = 720/height = 180/' {config}"
        ))
        .await;
    assert!(
        said.contains("systemctl restart camera-agent@garden"),
        "{said}"
    );
    // Invited before its first start, too.
    let invite = format!("camera-agent invite alice --config {config} --shared");
    machine.run(&invite).await;
    machine
        .run("systemctl enable --now camera-agent@garden")
        .await;
    let status = "systemctl show -P StatusText camera-agent@garden";
    until("it is registered", PATIENCE, || async {
        let status = machine.run(status).await;
        (status == "registered as \"garden\", nobody watches").then_some(())
    })
    .await;
    let kept = machine
        .run("stat -c '%U %a' /var/lib/camera-agent-garden/access.toml")
        .await;
    assert_eq!(kept, "camera-agent 600");
    let viewers = machine
        .run(&format!("camera-agent viewers --config {config}"))
        .await;
    assert!(viewers.contains("alice"), "{viewers}");
    purge(&machine).await;
    let left = machine
        .run(
            "find /etc /var /usr /run -name '*camera-agent*' -not -path '/run/log/*'; \
             systemctl list-units --all --no-legend 'camera-agent*'",
        )
        .await;
    assert_eq!(left, "");
}

const BROWSE: &str = "avahi-browse --resolve --parsable --terminate _http._tcp | grep '^=' || true";

fn listening() -> String {
    format!("ss --no-header --listening --tcp --numeric 'sport = :{PORT}'")
}

/// A property of the chat server's unit.
async fn chat(machine: &Machine, name: &str) -> String {
    machine
        .run(&format!("systemctl show -P {name} camera-agent-chat"))
        .await
}

/// Avahi tells of the page, or does not.
async fn announced(machine: &Machine, is: bool) {
    until(&format!("announced: {is}"), PATIENCE, || async {
        let found = machine.run(BROWSE).await;
        let there = found.contains("Cameras") && found.contains(&format!(";{HOST};"));
        (there == is && found.contains(&format!(";{PORT};")) == is).then_some(())
    })
    .await;
}

/// The package, set up with a chat server by flags.
async fn alone(machine: &Machine) {
    purge(machine).await;
    machine.run(&install("camera-agent")).await;
    let said = machine
        .run(&format!(
            "camera-agent setup --chat-server --name {NAME} --camera /dev/video0 \
             --microphone hw:Loopback,1,0 --invite </dev/null"
        ))
        .await;
    assert!(said.contains("The chat server runs"), "{said}");
    let link = scanned_text(&said);
    assert!(
        link.starts_with(&format!("http://{HOST}:{PORT}/#")),
        "{link}"
    );
}

async fn purge(machine: &Machine) {
    machine
        .run("DEBIAN_FRONTEND=noninteractive apt-get purge -y -q camera-agent >/dev/null 2>&1 || true")
        .await;
}
