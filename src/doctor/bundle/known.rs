//! Shell: what is private of this machine and of a configuration: names, logins,
//! secrets, hosts, addresses of cards, serial numbers and folders.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::machine::text_of;
use super::redact::Kind;
use crate::config::{Config, ProxyConfig, read_secret};
use crate::guestbook::Book;

/// Of people; the system's own are below (login.defs(5), `UID_MIN`).
const PEOPLE: std::ops::Range<u32> = 1_000..60_000;

type Known = Vec<(Kind, String)>;

/// All of it, for a doctor that was given this configuration.
pub(super) fn of(path: Option<&Path>, config: &Config) -> Known {
    let mut known = of_machine();
    known.extend(of_people());
    known.extend(of_config(config));
    if let Some(path) = path {
        known.push((Kind::Path, path.display().to_string()));
    }
    let service = path.and_then(crate::state::of_service);
    // A second camera's service is called as its file is.
    if service.is_some() {
        let name = path.and_then(Path::file_stem).unwrap_or_default();
        known.push((Kind::Name, name.to_string_lossy().into_owned()));
    }
    let invited = Book::of(config, service).and_then(|book| book.read());
    let labels = invited.unwrap_or_default().into_iter();
    known.extend(labels.map(|i| (Kind::Name, i.label.as_str().to_owned())));
    known
}

/// What tells this machine and its parts from others of the same make.
fn of_machine() -> Known {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let short = host.split('.').next().unwrap_or_default().to_owned();
    let mut known = vec![(Kind::Host, host), (Kind::Host, short)];
    let serials = [
        "/proc/device-tree/serial-number",
        "/etc/machine-id",
        "/sys/class/dmi/id/product_serial",
        "/sys/class/dmi/id/product_uuid",
        "/sys/class/dmi/id/board_serial",
        "/sys/class/dmi/id/chassis_serial",
    ];
    known.extend(serials.map(|file| (Kind::Serial, text_of(file))));
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let serial = cpu.lines().filter_map(|l| l.strip_prefix("Serial"));
    known.extend(serial.map(|l| (Kind::Serial, l.trim_matches([' ', '\t', ':']).to_owned())));
    // A host controller's is its place on the bus.
    let of_usb = below("/sys/bus/usb/devices", "serial").filter(|s| !s.contains(':'));
    known.extend(of_usb.map(|serial| (Kind::Serial, serial)));
    known.extend(below("/sys/block", "device/cid").map(|cid| (Kind::Serial, cid)));
    known.extend(below("/sys/block", "device/serial").map(|s| (Kind::Serial, s)));
    let cards = below("/sys/class/net", "address").filter(|mac| mac.len() >= 17);
    known.extend(cards.map(|mac| (Kind::Mac, mac)));
    known
}

/// The file of this name in each folder of `folder`.
fn below(folder: &str, file: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(move |entry| text_of(&entry.path().join(file).to_string_lossy()))
}

/// Who uses this machine: passwd(5), and the environment.
fn of_people() -> Known {
    let mut known = Vec::new();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, _, full, home, _] = fields.as_slice() else {
            continue;
        };
        if uid.parse().is_ok_and(|uid: u32| PEOPLE.contains(&uid)) {
            let full = full.split(',').next().unwrap_or_default();
            known.extend([name, full].map(|name| (Kind::Name, name.to_owned())));
            known.push((Kind::Path, home.to_owned()));
        }
    }
    let of = |name: &str| env::var(name).ok();
    for name in ["USER", "LOGNAME", "SUDO_USER"] {
        known.extend(of(name).map(|name| (Kind::Name, name)));
    }
    let home = of("HOME").filter(|home| home.len() > 1 && home != "/root");
    known.extend(home.map(|home| (Kind::Path, home)));
    known
}

/// What a configuration names, and the secrets in the files that it names.
fn of_config(config: &Config) -> Known {
    let server = &config.server;
    let mut known = vec![(Kind::Name, server.name.clone())];
    known.extend(server.username.clone().map(|name| (Kind::Name, name)));
    if let Ok(url) = url::Url::parse(&server.url) {
        known.extend(url.host_str().map(|host| (Kind::Host, host.to_owned())));
        known.extend([url.username(), url.password().unwrap_or_default()].map(secret));
        known.extend(url.query_pairs().map(|(_, value)| secret(&value)));
    }
    if let ProxyConfig::At(proxy) = &server.proxy {
        known.push((Kind::Host, proxy.host.clone()));
        known.extend(proxy.user.clone().map(|name| (Kind::Name, name)));
        known.extend(proxy.password.as_ref().map(|s| secret(s.expose())));
    }
    let page = config
        .access
        .page
        .as_ref()
        .and_then(|page| url::Url::parse(page).ok());
    known.extend(page.and_then(|p| Some((Kind::Host, p.host_str()?.to_owned()))));
    let zones = config.motion.zones.iter();
    known.extend(zones.map(|zone| (Kind::Name, zone.name.clone())));
    let mut files: Vec<(&'static str, &PathBuf)> = Vec::new();
    files.extend(
        server
            .password_file
            .iter()
            .map(|f| ("server.password_file", f)),
    );
    files.extend(server.token_file.iter().map(|f| ("server.token_file", f)));
    let of_proxy = server.proxy_password_file.iter();
    files.extend(of_proxy.map(|f| ("server.proxy_password_file", f)));
    for ice in &config.ice.servers {
        known.extend(ice.username.clone().map(|name| (Kind::Name, name)));
        known.extend(
            ice.urls
                .iter()
                .map(|url| (Kind::Host, url.host.to_string())),
        );
        files.extend(
            ice.credential_file
                .iter()
                .map(|f| ("ice.servers.credential_file", f)),
        );
        files.extend(
            ice.secret_file
                .iter()
                .map(|f| ("ice.servers.secret_file", f)),
        );
    }
    let addresses = config.ice.public_addresses.iter();
    known.extend(addresses.map(|ip| (Kind::Ip, ip.to_string())));
    for (key, file) in &files {
        known.extend(read_secret(key, file).ok().map(|text| secret(&text)));
    }
    let more = [
        &server.ca_file,
        &config.ice.ca_file,
        &config.access.folder,
        &config.recording.folder,
        &config.access.log,
    ];
    let paths = files
        .iter()
        .map(|(_, file)| *file)
        .chain(more.into_iter().flatten());
    known.extend(paths.map(|path| (Kind::Path, path.display().to_string())));
    known
}

fn secret(text: &str) -> (Kind, String) {
    (Kind::Secret, text.to_owned())
}
