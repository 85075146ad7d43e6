//! The addresses behind a host's name, each family by itself: a resolver that
//! swallows one of the two questions holds up that one alone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dns_lookup::{AddrFamily, AddrInfoHints, SockType, getaddrinfo};

use super::eyeballs::Family;

/// The addresses of a name in a family, whatever their port. Blocks.
type Resolve = dyn Fn(&str, Family) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Asks the system, or whom a test puts in its place.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Resolve>);

impl Resolver {
    /// The system's, with its files and services (nsswitch.conf(5)).
    pub(super) fn system() -> Self {
        Self(Arc::new(system))
    }

    #[cfg(test)]
    pub(super) fn of(
        resolve: impl Fn(&str, Family) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(resolve))
    }

    /// The addresses of a name, or the one that it is.
    pub(super) async fn resolve(
        self,
        host: String,
        port: u16,
        family: Family,
    ) -> io::Result<Vec<SocketAddr>> {
        let is_of = |address: &SocketAddr| address.is_ipv4() == (family == Family::V4);
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::from((ip, port))],
            // A thread that hangs in the resolver is left to itself.
            Err(_) => tokio::task::spawn_blocking(move || (self.0)(&host, family))
                .await
                .map_err(io::Error::other)??,
        };
        Ok(found
            .into_iter()
            .filter(is_of)
            .map(|mut address| {
                address.set_port(port);
                address
            })
            .collect())
    }
}

fn system(host: &str, family: Family) -> io::Result<Vec<SocketAddr>> {
    let hints = AddrInfoHints {
        address: match family {
            Family::V6 => AddrFamily::Inet6.into(),
            Family::V4 => AddrFamily::Inet.into(),
        },
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(host), None, Some(hints))?;
    // With the zone of an address that is good on one link alone.
    found.map(|info| info.map(|i| i.sockaddr)).collect()
}
