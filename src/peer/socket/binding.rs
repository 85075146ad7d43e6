//! Where the sockets of a connection are bound: one for each address of this
//! machine, on ports of a range where one is set.
//!
//! The crate asks for the addresses whenever it makes sockets, for a call and
//! for each restart of ICE. Asked for "any" address it would leave out those of
//! a link alone (RFC 3927), which is all that a device at the end of one cable
//! has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tracing::{debug, error, warn};

use crate::bucket::{Bucket, Rate};
use crate::config::PortRange;
use crate::lock::lock;
use crate::network::own_addresses;

/// Of one connection; a machine with more has networks of containers.
const SOCKETS: usize = 32;

/// Lines of the log about ports that there are not: calls are anybody's, and each would
/// have one for each address.
const LINES: Rate = Rate {
    burst: 5.0,
    per_second: 0.1,
};

/// What the log may say of missing ports, in all calls together.
#[derive(Debug, Clone)]
pub(in crate::peer) struct PortLines {
    calls: Arc<Mutex<Bucket>>,
    addresses: Arc<Mutex<Bucket>>,
}

impl PortLines {
    pub(in crate::peer) fn new(now: Instant) -> Self {
        let full = || Arc::new(Mutex::new(Bucket::full(LINES, now)));
        Self {
            calls: full(),
            addresses: full(),
        }
    }
}

/// Few are worth a line.
fn is_worth_a_line(lines: &Mutex<Bucket>) -> bool {
    lock(lines).take(1.0, Instant::now())
}

/// What the crate is given in place of addresses.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Binding {
    /// Offer the loopback address too.
    pub loopback: bool,
    /// None for any that is free.
    pub ports: Option<PortRange>,
    /// Where the search for a free port begins: behind what was taken last, for
    /// what was just freed may still be sent to.
    pub next: Arc<AtomicUsize>,
    /// See [`PortLines`].
    pub lines: PortLines,
}

impl ToSocketAddrs for Binding {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let mut addresses = addresses(own_addresses());
        if self.loopback {
            addresses.push(Ipv4Addr::LOCALHOST.into());
        }
        let sockets = self.with_ports(&addresses).inspect_err(|error| {
            match is_worth_a_line(&self.lines.calls) {
                true => error!(%error, "a call gets no port"),
                false => debug!(%error, "a call gets no port"),
            }
        })?;
        Ok(sockets.into_iter())
    }
}

impl Binding {
    fn with_ports(&self, addresses: &[IpAddr]) -> io::Result<Vec<SocketAddr>> {
        let Some(ports) = self.ports else {
            let any = addresses.iter().map(|ip| SocketAddr::new(*ip, 0));
            return Ok(any.collect());
        };
        let mut found = Vec::new();
        for ip in addresses {
            match self.free(*ip, ports, &found) {
                Ok(port) => found.push(SocketAddr::new(*ip, port)),
                // Viewers who reach this device there alone see nothing.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && is_worth_a_line(&self.lines.addresses) =>
                {
                    warn!(
                        %ip, %ports,
                        "no port of ice.ports is left at an address: set a longer range",
                    );
                }
                Err(error) => debug!(%ip, %error, "no socket at an address"),
            }
        }
        if found.is_empty() {
            return Err(io::Error::other(format!(
                "all UDP ports of ice.ports ({ports}) are in use; a call takes one for each of \
                 this device's {} addresses: set a longer range",
                addresses.len()
            )));
        }
        Ok(found)
    }

    /// A port that can be bound now. Each socket of a connection has its own,
    /// for a socket that roams takes it on all addresses.
    fn free(&self, ip: IpAddr, ports: PortRange, taken: &[SocketAddr]) -> io::Result<u16> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ports.count() {
            let port = ports.nth(self.next.fetch_add(1, Ordering::Relaxed));
            if taken.iter().any(|t| t.port() == port) {
                continue;
            }
            match UdpSocket::bind((ip, port)) {
                Ok(_) => return Ok(port),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

/// Of this machine's addresses, those to bind: the ones that a viewer may reach.
/// Where there are none, packets come and go by whichever turns up.
fn addresses(own: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for ip in own {
        // Without a zone, which no candidate has, an IPv6 address of a link
        // means nothing.
        let of_no_link = !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if of_no_link && !ip.is_loopback() && !ip.is_unspecified() && !found.contains(&ip) {
            found.push(ip);
        }
    }
    if found.is_empty() {
        found.push(Ipv4Addr::UNSPECIFIED.into());
    }
    // Those of a link alone are the last to be left out for nothing.
    found.sort_by_key(|ip| matches!(ip, IpAddr::V4(v4) if v4.is_link_local()));
    found.truncate(SOCKETS);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::journal::journal;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        let parsed = texts.iter().map(|t| t.parse().expect("an address"));
        parsed.collect()
    }

    fn binding(ports: Option<&str>) -> Binding {
        Binding {
            loopback: true,
            ports: ports.map(|p| p.parse().expect("a range")),
            next: Arc::default(),
            lines: PortLines::new(Instant::now()),
        }
    }

    #[test]
    fn calls_that_get_no_port_have_few_lines_however_many_they_are() {
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let port = port.min(65_534);
        let _next = UdpSocket::bind(("127.0.0.1", port + 1));
        let binding = binding(Some(&format!("{port}-{}", port + 1)));
        let text = journal(|| {
            for _ in 0..200 {
                let found = binding.clone().with_ports(&ips(&["127.0.0.1"]));
                found.expect_err("both are taken");
            }
        });
        let count = text.matches("no port of ice.ports is left").count();
        assert!((1..=8).contains(&count), "{count}");
    }

    #[test]
    fn addresses_of_a_link_are_bound_where_they_mean_something() {
        let own = [
            "127.0.0.1",
            "169.254.7.1",
            "fe80::1",
            "192.0.2.1",
            "2001:db8::1",
        ];
        let bound = ips(&["192.0.2.1", "2001:db8::1", "169.254.7.1"]);
        assert_eq!(addresses(ips(&own)), bound);
        let alone = ips(&["169.254.7.1"]);
        assert_eq!(addresses(ips(&["::1", "169.254.7.1", "fe80::1"])), alone);
        assert_eq!(addresses(vec![]), ips(&["0.0.0.0"]));
    }

    #[test]
    fn ports_are_of_the_range_and_used_up_in_one_clear_error() {
        let local = ips(&["127.0.0.1", "127.0.0.2"]);
        let any = binding(None).with_ports(&local).expect("any");
        assert!(any.iter().all(|socket| socket.port() == 0));
        // Two ports that were free a moment ago.
        let first = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = first.local_addr().expect("bound").port().min(65_533);
        drop(first);
        let binding = binding(Some(&format!("{port}-{}", port + 2)));
        let call = || -> io::Result<Vec<UdpSocket>> {
            let found = binding.with_ports(&local)?;
            found.iter().map(UdpSocket::bind).collect()
        };
        let (mut calls, mut error) = (Vec::new(), None);
        for _ in 0..7 {
            match call() {
                Ok(sockets) => calls.push(sockets),
                Err(said) => error = Some(said.to_string()),
            }
        }
        let ports: Vec<_> = calls
            .iter()
            .flatten()
            .map(|s| s.local_addr().expect("bound").port())
            .collect();
        assert!(
            ports.iter().all(|p| (port..=port + 2).contains(p)),
            "{ports:?}"
        );
        assert!(calls.len() >= 2, "{ports:?}");
        let error = error.expect("six sockets fill it");
        assert!(
            error.contains("ice.ports") && error.contains("longer range"),
            "{error}"
        );
        // A call that ends makes room.
        calls.pop();
        call().expect("room");
    }
}
