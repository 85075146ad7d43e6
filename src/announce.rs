//! Tells Avahi, where it runs, that there is a page here: `_http._tcp` (RFC 6763),
//! which browsers and telephones look for by mDNS.
//!
//! Over the system bus, and not by a file in `/etc/avahi/services`: Avahi takes
//! an entry back when the process that made it ends, in whatever way, so it is
//! there exactly while the port is open, and with the port that is open. A file
//! would have to be written by root, and outlives a crash.
//!
//! The interface is `avahi-daemon`'s `org.freedesktop.Avahi.Server.xml` and
//! `.EntryGroup.xml`; the numbers are those of `avahi-common/defs.h`.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::thread;

use gio::glib::variant::{FromVariant, ObjectPath, ToVariant};
use gio::glib::{Error, MainContext, MainLoop, Variant};
use gio::{
    BusType, Cancellable, DBusCallFlags, DBusConnection, DBusConnectionFlags, DBusError,
    DBusSignalFlags, DBusSignalRef,
};
use tracing::{debug, info, warn};

const BUS: &str = "org.freedesktop.DBus";
const AVAHI: &str = "org.freedesktop.Avahi";
const SERVER: &str = "org.freedesktop.Avahi.Server";
const GROUP: &str = "org.freedesktop.Avahi.EntryGroup";
const COLLISION: &str = "org.freedesktop.Avahi.CollisionError";
/// `AvahiServerState`: the host's name is established.
const RUNNING: i32 = 2;
/// `AvahiEntryGroupState`
const ESTABLISHED: i32 = 2;
const COLLIDED: i32 = 3;
const FAILED: i32 = 4;
/// `AVAHI_IF_UNSPEC` and `AVAHI_PROTO_UNSPEC`: all of them.
const ALL: i32 = -1;
/// An answer takes no longer, in ms.
const PATIENCE: i32 = 10_000;
/// The longest name of a service, in bytes (RFC 6763 §4.1.1).
const LONGEST: usize = 63;
/// Other pages of the same name that are made way for.
const MOST_NAMES: usize = 20;

/// A page that can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// The address that it listens on.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// It has a certificate. That is for another name than that of mDNS, which
    /// nobody gives certificates for.
    pub tls: bool,
}

impl Page {
    /// Why nobody is told of it.
    fn hidden(&self) -> Option<&'static str> {
        if self.tls {
            Some("its certificate is for another name than the one that mDNS knows")
        } else if self.address.is_loopback() {
            Some("it listens for this machine alone")
        } else {
            None
        }
    }
}

/// Keeps the page announced as long as this process runs, on a thread of its own.
/// Without a bus, or when that goes away, it says so and ends; Avahi may come and
/// go.
pub(crate) fn announce(page: Page) {
    if let Some(why) = page.hidden() {
        info!("the page is not announced by mDNS: {why}");
        return;
    }
    let thread = thread::Builder::new().name("mdns".to_owned());
    if let Err(error) = thread.spawn(move || run(page)) {
        warn!("the page is not announced by mDNS: no thread: {error}");
    }
}

fn run(page: Page) {
    let context = MainContext::new();
    match context.with_thread_default(|| announced(page, &context)) {
        Ok(Ok(())) => info!("the page is no longer announced by mDNS: the system bus has gone"),
        Ok(Err(error)) => info!(
            "the page is not announced by mDNS: no system bus: {error}. The bus turns away users \
             that it does not know: a service with DynamicUser= wants a user of its name in \
             /etc/passwd"
        ),
        Err(error) => warn!("the page is not announced by mDNS: {error}"),
    }
}

fn announced(page: Page, context: &MainContext) -> Result<(), Error> {
    let address = gio::dbus_address_get_for_bus_sync(BusType::System, Cancellable::NONE)?;
    // Not the one that GLib shares: that ends the process when the bus goes.
    let flags =
        DBusConnectionFlags::AUTHENTICATION_CLIENT | DBusConnectionFlags::MESSAGE_BUS_CONNECTION;
    let bus = DBusConnection::for_address_sync(&address, flags, None, Cancellable::NONE)?;
    let turns = MainLoop::new(Some(context), false);
    let end = turns.clone();
    bus.connect_closed(move |_, _, _| end.quit());

    let entry = Rc::new(RefCell::new(Entry {
        bus: bus.clone(),
        page,
        name: None,
        group: None,
    }));
    let none = DBusSignalFlags::NONE;
    let own = entry.clone();
    let _owners = bus.subscribe_to_signal(
        Some(BUS),
        Some(BUS),
        Some("NameOwnerChanged"),
        None,
        Some(AVAHI),
        none,
        move |_| {
            let mut entry = own.borrow_mut();
            // It is gone with whom it was told.
            entry.group = None;
            entry.enter();
        },
    );
    let own = entry.clone();
    let _states = bus.subscribe_to_signal(
        Some(AVAHI),
        None,
        Some("StateChanged"),
        None,
        None,
        none,
        move |signal| own.borrow_mut().on(&signal),
    );
    entry.borrow_mut().enter();
    turns.run();
    Ok(())
}

/// What Avahi has of ours.
struct Entry {
    bus: DBusConnection,
    page: Page,
    /// The name that people see, once Avahi has told the host's.
    name: Option<String>,
    group: Option<ObjectPath>,
}

impl Entry {
    /// Makes the entry, where Avahi runs.
    fn enter(&mut self) {
        match self.try_enter() {
            Ok(()) => {}
            Err(error) if is_absent(&error) => {
                info!("the page is not announced by mDNS: Avahi does not run");
            }
            Err(error) => warn!("the page is not announced by mDNS: Avahi said: {error}"),
        }
    }

    fn try_enter(&mut self) -> Result<(), Error> {
        if self.server::<i32>("GetState", None)? != RUNNING {
            // It tells when it is.
            return Ok(());
        }
        let mut name = match self.name.take() {
            Some(name) => name,
            None => name_of(&self.server::<String>("GetHostName", None)?),
        };
        let group: ObjectPath = self.server("EntryGroupNew", None)?;
        for _ in 0..MOST_NAMES {
            let (kind, domain, host) = ("_http._tcp", "", "");
            let txt = vec![b"path=/".to_vec()];
            let port = self.page.port;
            let service = (ALL, ALL, 0_u32, &name, kind, domain, host, port, txt);
            match self.call(
                group.as_str(),
                GROUP,
                "AddService",
                Some(&service.to_variant()),
            ) {
                Ok(_) => {
                    self.name = Some(name);
                    self.call(group.as_str(), GROUP, "Commit", None)?;
                    self.group = Some(group);
                    return Ok(());
                }
                // Another page of this very machine.
                Err(error) if DBusError::remote_error(&error).as_deref() == Some(COLLISION) => {
                    name = self.alternative(&name)?;
                }
                Err(error) => return Err(error),
            }
        }
        let problem = format!("{MOST_NAMES} pages are called so");
        Err(Error::new(DBusError::Failed, &problem))
    }

    fn alternative(&self, name: &str) -> Result<String, Error> {
        self.server("GetAlternativeServiceName", Some(&(name,).to_variant()))
    }

    /// Takes a signal of Avahi's.
    fn on(&mut self, signal: &DBusSignalRef<'_>) {
        let Some((state, error)) = signal.parameters.get::<(i32, String)>() else {
            return;
        };
        let is_ours = Some(signal.object_path) == self.group.as_ref().map(ObjectPath::as_str);
        match (signal.interface_name, state) {
            // The host has a name, perhaps another one than before.
            (SERVER, RUNNING) => {
                self.leave();
                self.enter();
            }
            (GROUP, ESTABLISHED) if is_ours => self.tell(),
            (GROUP, COLLIDED) if is_ours => {
                self.leave();
                if let Some(name) = self.name.take() {
                    self.name = self.alternative(&name).ok();
                }
                self.enter();
            }
            (GROUP, FAILED) if is_ours => {
                warn!("the page is not announced by mDNS: Avahi said: {error}");
            }
            _ => {}
        }
    }

    fn leave(&mut self) {
        if let Some(group) = self.group.take()
            && let Err(error) = self.call(group.as_str(), GROUP, "Free", None)
        {
            debug!(%error, "the entry was gone");
        }
    }

    /// Says where the page opens.
    fn tell(&self) {
        let (name, port) = (self.name.as_deref().unwrap_or_default(), self.page.port);
        match self.server::<String>("GetHostNameFqdn", None) {
            Ok(host) => info!("announced by mDNS as {name:?}: http://{host}:{port}/"),
            Err(error) => info!(%error, "announced by mDNS as {name:?}"),
        }
    }

    fn server<T: FromVariant>(&self, method: &str, words: Option<&Variant>) -> Result<T, Error> {
        let reply = self.call("/", SERVER, method, words)?;
        let (value,) = reply
            .get::<(T,)>()
            .ok_or_else(|| Error::new(DBusError::InvalidSignature, method))?;
        Ok(value)
    }

    /// An Avahi that does not run is not started for this.
    fn call(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        words: Option<&Variant>,
    ) -> Result<Variant, Error> {
        self.bus.call_sync(
            Some(AVAHI),
            path,
            interface,
            method,
            words,
            None,
            DBusCallFlags::NO_AUTO_START,
            PATIENCE,
            Cancellable::NONE,
        )
    }
}

fn is_absent(error: &Error) -> bool {
    error.matches(DBusError::ServiceUnknown) || error.matches(DBusError::NameHasNoOwner)
}

/// What people see in their list.
fn name_of(host: &str) -> String {
    let name = format!("Cameras on {host}");
    let end = name.floor_char_boundary(LONGEST);
    name[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_as_long_as_a_label_may_be() {
        assert_eq!(name_of("porch"), "Cameras on porch");
        let long = name_of(&"ä".repeat(60));
        assert!(long.len() <= LONGEST && long.ends_with('ä'), "{long}");
    }

    #[test]
    fn a_page_that_nobody_else_reaches_is_not_announced() {
        let page = |address: &str, tls| Page {
            address: address.parse().expect("an address"),
            port: 6503,
            tls,
        };
        assert!(page("127.0.0.1", false).hidden().is_some());
        assert!(page("::", true).hidden().is_some());
        assert_eq!(page("::", false).hidden(), None);
    }
}
