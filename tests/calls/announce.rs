//! The page announced by mDNS: what the chat server says to Avahi. The bus is
//! dbus-daemon's own, Avahi a stand-in that answers as its interface has it; the
//! real one is in tests/machines/vm_alone.rs.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{SOON, until};
use gio::glib::variant::{ObjectPath, ToVariant};
use gio::glib::{MainContext, MainLoop, Variant};
use gio::{Cancellable, DBusCallFlags, DBusConnection, DBusConnectionFlags, DBusNodeInfo};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{sleep, timeout};

const BUS: &str = "org.freedesktop.DBus";
const AVAHI: &str = "org.freedesktop.Avahi";
const SERVER: &str = "org.freedesktop.Avahi.Server";
const GROUP: &str = "org.freedesktop.Avahi.EntryGroup";
const COLLISION: &str = "org.freedesktop.Avahi.CollisionError";
const NAME: &str = "Cameras on porch";
/// What is used of Avahi's interface.
const INTERFACE: &str = "<node>
  <interface name='org.freedesktop.Avahi.Server'>
    <method name='GetState'><arg type='i' direction='out'/></method>
    <method name='GetHostName'><arg type='s' direction='out'/></method>
    <method name='GetHostNameFqdn'><arg type='s' direction='out'/></method>
    <method name='GetAlternativeServiceName'>
      <arg type='s' direction='in'/><arg type='s' direction='out'/>
    </method>
    <method name='EntryGroupNew'><arg type='o' direction='out'/></method>
  </interface>
  <interface name='org.freedesktop.Avahi.EntryGroup'>
    <method name='AddService'>
      <arg type='i' direction='in'/><arg type='i' direction='in'/><arg type='u' direction='in'/>
      <arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/>
      <arg type='s' direction='in'/><arg type='q' direction='in'/><arg type='aay' direction='in'/>
    </method>
    <method name='Commit'/>
    <method name='Free'/>
  </interface>
</node>";
/// More than a test has entries made.
const GROUPS: usize = 9;

/// A bus of the test's own.
struct Bus {
    folder: TempDir,
    _daemon: Child,
}

impl Bus {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("bus");
        let daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile"])
            .arg(format!("--address=unix:path={}", socket.display()))
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("dbus-daemon is installed");
        until("the bus", SOON, || async { socket.exists().then_some(()) }).await;
        Self {
            folder,
            _daemon: daemon,
        }
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    async fn connect(&self) -> DBusConnection {
        let flags = DBusConnectionFlags::AUTHENTICATION_CLIENT
            | DBusConnectionFlags::MESSAGE_BUS_CONNECTION;
        let connect = async || {
            let none = Cancellable::NONE;
            DBusConnection::for_address_sync(&self.address(), flags, None, none).ok()
        };
        until("a connection", SOON, connect).await
    }
}

/// Asks the bus itself.
fn ask(bus: &DBusConnection, method: &str, words: &Variant) -> Variant {
    let (path, none) = ("/org/freedesktop/DBus", DBusCallFlags::NONE);
    bus.call_sync(
        Some(BUS),
        path,
        BUS,
        method,
        Some(words),
        None,
        none,
        -1,
        Cancellable::NONE,
    )
    .expect("the bus answers")
}

/// What was asked of the stand-in: who, which method, and of `AddService` the
/// name, the type, the port and the text.
type Asked = (String, String, Option<(String, String, u16, String)>);

/// A stand-in for avahi-daemon.
struct Avahi {
    bus: DBusConnection,
    asked: Arc<Mutex<Vec<Asked>>>,
    turns: MainLoop,
}

impl Avahi {
    /// `taken` names belong to other pages.
    async fn start(bus: &Bus, taken: &'static [&'static str]) -> Self {
        let bus = bus.connect().await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let context = MainContext::new();
        let turns = MainLoop::new(Some(&context), false);
        let (own, log, its) = (bus.clone(), asked.clone(), turns.clone());
        thread::spawn(move || {
            let served = context.with_thread_default(|| {
                serve(&own, &log, taken);
                its.run();
            });
            served.expect("the context is this thread's");
        });
        let avahi = Self { bus, asked, turns };
        until("the stand-in runs", SOON, || async {
            avahi.turns.is_running().then_some(())
        })
        .await;
        avahi.comes();
        avahi
    }

    fn comes(&self) {
        ask(&self.bus, "RequestName", &(AVAHI, 0_u32).to_variant());
    }

    fn goes(&self) {
        ask(&self.bus, "ReleaseName", &(AVAHI,).to_variant());
    }

    /// Tells everybody of a state.
    fn tells(&self, interface: &str, path: &str, state: i32) {
        let words = (state, "").to_variant();
        self.bus
            .emit_signal(None, path, interface, "StateChanged", Some(&words))
            .expect("sent");
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    fn count(&self, method: &str) -> usize {
        let asked = self.asked();
        asked.iter().filter(|(_, m, _)| m == method).count()
    }

    async fn is_asked(&self, method: &str, count: usize) {
        until(&format!("{method}, {count} times"), SOON, || async {
            (self.count(method) >= count).then_some(())
        })
        .await;
    }

    /// The entry that was made last.
    fn entry(&self) -> (String, String, u16, String) {
        let mut added = self.asked().into_iter().filter_map(|(_, _, entry)| entry);
        added.next_back().expect("there is one")
    }
}

impl Drop for Avahi {
    fn drop(&mut self) {
        self.turns.quit();
    }
}

fn group(number: usize) -> String {
    format!("/Client0/EntryGroup{number}")
}

/// Answers what is asked of the server and of groups that it makes.
fn serve(bus: &DBusConnection, log: &Arc<Mutex<Vec<Asked>>>, taken: &'static [&'static str]) {
    let node = DBusNodeInfo::for_xml(INTERFACE).expect("it is well-formed");
    let groups = (1..=GROUPS).map(group).map(|path| (path, GROUP));
    for (path, interface) in groups.chain([("/".to_owned(), SERVER)]) {
        let interface = node.lookup_interface(interface).expect("it is in there");
        let log = log.clone();
        bus.register_object(&path, &interface)
            .method_call(move |bus, sender, path, _, method, words, invocation| {
                let sender = sender.expect("on a bus").to_owned();
                let text = |text: &str| Some((text,).to_variant());
                let mut entry = None;
                let reply = match method {
                    "GetState" => Some((2_i32,).to_variant()),
                    "GetHostName" => text("porch"),
                    "GetHostNameFqdn" => text("porch.local"),
                    "GetAlternativeServiceName" => {
                        let (name,) = words.get::<(String,)>().expect("a name");
                        text(&format!("{name} #2"))
                    }
                    "EntryGroupNew" => {
                        let asked = log.lock().expect("no panic");
                        let made = asked.iter().filter(|(_, m, _)| m == method).count();
                        let path = ObjectPath::try_from(group(made + 1)).expect("a path");
                        Some((path,).to_variant())
                    }
                    "AddService" => {
                        let service = added(&words);
                        if taken.contains(&service.0.as_str()) {
                            return invocation.return_dbus_error(COLLISION, "another page");
                        }
                        entry = Some(service);
                        None
                    }
                    "Commit" | "Free" => None,
                    other => panic!("{other} is not asked"),
                };
                // Who is answered may look at once.
                let asked = (sender.clone(), method.to_owned(), entry);
                log.lock().expect("no panic").push(asked);
                if method == "Commit" {
                    let state = (2_i32, "").to_variant();
                    bus.emit_signal(Some(&sender), path, GROUP, "StateChanged", Some(&state))
                        .expect("sent");
                }
                invocation.return_value(reply.as_ref());
            })
            .build()
            .expect("nobody else has it");
    }
}

/// The words of `AddService`.
fn added(words: &Variant) -> (String, String, u16, String) {
    type Words = (
        i32,
        i32,
        u32,
        String,
        String,
        String,
        String,
        u16,
        Vec<Vec<u8>>,
    );
    let (interface, protocol, flags, name, kind, domain, host, port, text) =
        words.get::<Words>().expect("as the interface has it");
    assert_eq!((interface, protocol, flags), (-1, -1, 0));
    assert_eq!((domain.as_str(), host.as_str()), ("", ""));
    let text = String::from_utf8(text.concat()).expect("text");
    (name, kind, port, text)
}

/// `camera-agent chat --announce` on a port that is free.
struct Announced {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Announced {
    fn start(address: &str, listen: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_camera-agent"))
            .args(["chat", "--announce", "--listen", listen])
            .env("DBUS_SYSTEM_BUS_ADDRESS", address)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the agent starts");
        let log = child.stderr.take().expect("it is piped");
        Self {
            child,
            log: BufReader::new(log).lines(),
        }
    }

    async fn says(&mut self, words: &str) -> String {
        loop {
            let line = timeout(SOON, self.log.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("not said: {words}"));
            let line = line.expect("text").expect("it goes on");
            if line.contains(words) {
                return line;
            }
        }
    }

    async fn port(&mut self) -> u16 {
        let line = self.says("the page is at http://localhost:").await;
        let port = line.rsplit(':').next().expect("a port");
        port.trim_end_matches('/').parse().expect("a number")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_announced_with_its_port_until_the_process_ends() {
    let bus = Bus::start().await;
    let avahi = Avahi::start(&bus, &[]).await;
    let mut chat = Announced::start(&bus.address(), "0.0.0.0:0");
    let port = chat.port().await;
    let line = chat.says("announced by mDNS").await;
    let told = format!("{NAME:?}: http://porch.local:{port}/");
    assert!(line.contains(&told), "{line}");
    let expected = (NAME.into(), "_http._tcp".into(), port, "path=/".into());
    assert_eq!(avahi.entry(), expected);
    assert_eq!(avahi.count("Commit"), 1);

    // Avahi takes back what belongs to who has left the bus.
    let who = avahi.asked()[0].0.clone();
    let is_there = || {
        let there = ask(&avahi.bus, "NameHasOwner", &(&who,).to_variant());
        there.get::<(bool,)>().expect("yes or no").0
    };
    assert!(is_there());
    chat.child.kill().await.expect("killed");
    until("it has left", SOON, || async {
        (!is_there()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_page_of_the_name_is_made_way_for_and_avahi_may_come_and_go() {
    let bus = Bus::start().await;
    let mut chat = Announced::start(&bus.address(), "0.0.0.0:0");
    chat.says("Avahi does not run").await;
    let avahi = Avahi::start(&bus, &[NAME]).await;
    chat.says("announced by mDNS").await;
    let name = avahi.entry().0;
    assert_eq!(name, format!("{NAME} #2"));

    // Somebody on the network has that one, too; but first an entry that is not
    // ours.
    avahi.tells(GROUP, &group(7), 3);
    avahi.tells(GROUP, &group(1), 3);
    avahi.is_asked("Commit", 2).await;
    assert_eq!(avahi.entry().0, format!("{NAME} #2 #2"));
    assert_eq!(avahi.count("Free"), 1);
    chat.says("announced by mDNS").await;

    // The host has another name.
    avahi.tells(SERVER, "/", 2);
    avahi.is_asked("Commit", 3).await;
    assert_eq!(avahi.count("Free"), 2);
    chat.says("announced by mDNS").await;

    // It is stopped, and started.
    avahi.goes();
    chat.says("Avahi does not run").await;
    avahi.comes();
    avahi.is_asked("Commit", 4).await;
    chat.says("announced by mDNS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bus_and_for_this_machine_alone_it_serves_and_says_why_not() {
    let mut chat = Announced::start("unix:path=/no/such/bus", "0.0.0.0:0");
    let port = chat.port().await;
    chat.says("not announced by mDNS: no system bus").await;
    let bus = Bus::start().await;
    let avahi = Avahi::start(&bus, &[]).await;
    let mut local = Announced::start(&bus.address(), "127.0.0.1:0");
    local.says("it listens for this machine alone").await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(avahi.asked().len(), 0);
    let page = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    tokio::net::TcpStream::connect(page)
        .await
        .expect("it serves");
}
