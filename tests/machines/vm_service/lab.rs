//! The machine with the package, and what is around it.

use super::*;

pub const CONFIG: &str = "/etc/camera-agent/camera-agent.toml";
pub(super) const DROP_INS: &str = "/etc/systemd/system/camera-agent.service.d";

/// Installs a package of the lab's without a network.
pub fn install(name: &str) -> String {
    format!(
        "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
         -o Dpkg::Options::=--force-confold /root/packages/{name}.deb 2>&1"
    )
}

/// The machine and what is around it.
pub(super) struct Lab {
    pub(super) machine: Machine,
    /// Where the machine expects the chat server.
    pub(super) chat: SocketAddr,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self {
            machine: Machine::new(),
            chat: variable("CAMERA_AGENT_LAB_CHAT")
                .parse()
                .expect("an address"),
        }
    }

    /// Without the package.
    pub(super) async fn fresh() -> Self {
        let lab = Self::new();
        lab.run("DEBIAN_FRONTEND=noninteractive apt-get purge -y -q camera-agent >/dev/null 2>&1 || true")
            .await;
        lab
    }

    /// With the package, configured and running.
    pub(super) async fn running() -> Self {
        let lab = Self::new();
        lab.run("rm -f /fill*").await;
        let installed = "command -v camera-agent && test -e /root/configured.toml";
        let installed = lab.machine.try_run(installed).await;
        if !installed.status.success() {
            lab.run(&install("camera-agent")).await;
            lab.configure().await;
        }
        lab.run(&format!(
            "rm -rf /fill* {DROP_INS}; cp /root/configured.toml {CONFIG}; systemctl daemon-reload; \
             systemctl reset-failed camera-agent; systemctl restart camera-agent"
        ))
        .await;
        lab
    }

    /// The set-up from flags, and a picture small enough for the machine. What it
    /// writes is for invited people; callers here are none, but where a test
    /// invites them.
    pub(super) async fn configure(&self) {
        let said = self
            .run(&format!(
                "camera-agent setup --server ws://{}/ --name {NAME} \
                 --camera /dev/video0 --microphone hw:Loopback,1,0 </dev/null && \
                 sed -i -e 's/^width = 1280/width = 640/' -e 's/^height = 720/height = 360/' {CONFIG} && \
                 grep -q '^mode = \"invited\"' {CONFIG} && \
                 sed -i 's/^mode = \"invited\"/mode = \"open\"/' {CONFIG} && \
                 cp {CONFIG} /root/configured.toml",
                self.chat
            ))
            .await;
        assert!(said.contains("is written"), "{said}");
    }

    pub(super) async fn run(&self, command: &str) -> String {
        self.machine.run(command).await
    }

    /// The chat server where the machine expects it.
    pub(super) async fn chat(&self) -> Chat {
        Chat::with(Options::new(([0, 0, 0, 0], self.chat.port()).into())).await
    }

    pub(super) async fn browser(&self, chat: &Chat) -> Browser {
        self.browser_called(chat, "viewer").await
    }

    pub(super) async fn browser_called(&self, chat: &Chat, name: &str) -> Browser {
        let browser = Browser::start(Person::default()).await;
        let (ip, port) = (self.chat.ip(), chat.addr.port());
        browser
            .open(&format!("http://{ip}:{port}/?name={name}"))
            .await;
        browser
    }

    /// A browser outside calls and sees vivid's picture.
    pub(super) async fn call(&self, chat: &Chat) {
        let viewer = self.browser(chat).await;
        let clicked = Instant::now();
        viewer.call(NAME).await;
        viewer.frames_rise(20).await;
        println!("click to 20 frames: {:?}", clicked.elapsed());
        let shown = until("the bars", PATIENCE, || async {
            is_bars(&picture(&viewer).await).then_some(())
        });
        shown.await;
        assert_bars(&row(&viewer).await);
        viewer.click("#hangup").await;
        viewer.state("idle").await;
    }

    pub(super) async fn registered(&self) {
        until("registered", PATIENCE, || async {
            let status = self.machine.property("StatusText").await;
            let active = self.machine.property("ActiveState").await;
            (active == "active" && status.starts_with("registered as")).then_some(())
        })
        .await;
    }

    /// Another process than this one is registered.
    pub(super) async fn another_process(&self, old: &str) {
        until("another process", PATIENCE, || async {
            let pid = self.machine.property("MainPID").await;
            (pid != old && pid != "0").then_some(())
        })
        .await;
        self.registered().await;
    }

    pub(super) async fn logs(&self, text: &str) {
        until(&format!("{text:?} in the log"), PATIENCE, || async {
            self.machine.log().await.contains(text).then_some(())
        })
        .await;
    }
}
