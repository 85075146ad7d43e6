//! Resolves the names of servers with the system's resolver, ahead of calls and
//! beside them. One for all calls.
//!
//! The system's resolver blocks, for tens of seconds where no server answers it.
//! Each lookup has a thread of its own, which nobody waits for, not even at the
//! end of the process.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::names::{Names, News};
use crate::ice::Host;
use crate::lock::lock;
use crate::network::Network;

/// The names of the servers and where those are.
#[derive(Debug)]
pub(crate) struct Resolver {
    names: Arc<Mutex<Names>>,
    /// A name may be due.
    wake: Arc<Notify>,
    /// An address has changed.
    found: watch::Sender<()>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Resolver {
    /// Begins to look these up. To be called where tokio runs.
    pub(crate) fn new<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Self {
        let mut names = Names::default();
        let now = Instant::now();
        for host in hosts {
            if let Host::Name(name) = host {
                names.want(name, now);
            }
        }
        let this = Self {
            names: Arc::new(Mutex::new(names)),
            wake: Arc::default(),
            found: watch::Sender::default(),
            tasks: Mutex::default(),
        };
        let follow = follow(this.names.clone(), this.wake.clone(), this.found.clone());
        lock(&this.tasks).push(tokio::spawn(follow).abort_handle());
        this
    }

    /// All is asked for anew whenever the network is another one.
    pub(crate) fn on(&self, mut network: watch::Receiver<Network>) {
        let (names, wake) = (self.names.clone(), self.wake.clone());
        let task = async move {
            while network.changed().await.is_ok() {
                lock(&names).network_changed(Instant::now());
                wake.notify_one();
            }
        };
        lock(&self.tasks).push(tokio::spawn(task).abort_handle());
    }

    /// A call begins, which may need all of them.
    pub(crate) fn call(&self) {
        lock(&self.names).call(Instant::now());
        self.wake.notify_one();
    }

    /// Where a server is, as far as that is known; at once.
    pub(crate) fn get(&self, host: &Host) -> Vec<IpAddr> {
        match host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => lock(&self.names).get(name).to_vec(),
        }
    }

    /// The same, once something is known.
    pub(crate) async fn wait(&self, host: &Host) -> Vec<IpAddr> {
        let mut found = self.found.subscribe();
        loop {
            let addresses = self.get(host);
            if !addresses.is_empty() {
                return addresses;
            }
            if found.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }
}

async fn follow(names: Arc<Mutex<Names>>, wake: Arc<Notify>, found: watch::Sender<()>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "an answer for each name that is looked up, and their number is the configuration's"
    )]
    let (tell, mut answers) = mpsc::unbounded_channel();
    loop {
        while let Some(name) = lock_and(&names, |names| names.look_up(Instant::now())) {
            look_up(name, tell.clone());
        }
        let due = lock(&names).poll_timeout();
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = wake.notified() => {}
            Some((name, answer)) = answers.recv() => {
                let (addresses, error) = match answer {
                    Ok(addresses) => (addresses, "it has no address".to_owned()),
                    Err(error) => (Vec::new(), error),
                };
                let news = lock(&names).answered(&name, addresses, Instant::now());
                match news {
                    News::Found => {
                        info!(server = %name, "a STUN or TURN server's name is resolved");
                        found.send_replace(());
                    }
                    News::Lost => warn!(
                        server = %name, %error,
                        "a STUN or TURN server's name is not found; calls go on without it"
                    ),
                    News::Nothing => debug!(server = %name, "looked up"),
                }
            }
        }
    }
}

/// A guard in a loop's condition would be held through its body.
fn lock_and<T, R>(mutex: &Mutex<T>, f: impl FnOnce(&mut T) -> R) -> R {
    f(&mut lock(mutex))
}

type Answer = (String, Result<Vec<IpAddr>, String>);

fn look_up(name: String, tell: mpsc::UnboundedSender<Answer>) {
    let (asked, tell_failure) = (name.clone(), tell.clone());
    let thread = std::thread::Builder::new().name("resolver".into());
    let started = thread.spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let found = found.map(|found| {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for ip in found.map(|address| address.ip()) {
                if !addresses.contains(&ip) {
                    addresses.push(ip);
                }
            }
            addresses
        });
        let _ = tell.send((name, found.map_err(|error| error.to_string())));
    });
    if let Err(error) = started {
        let _ = tell_failure.send((asked, Err(error.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_known_ahead_and_addresses_need_no_resolver() {
        let name = Host::Name("localhost".to_owned());
        let unknown = Host::Name("no-such-host.invalid".to_owned());
        let resolver = Resolver::new([&name, &unknown]);
        assert!(resolver.wait(&name).await.iter().all(IpAddr::is_loopback));
        assert!(resolver.get(&unknown).is_empty());
        let ip: IpAddr = [192, 0, 2, 1].into();
        assert_eq!(resolver.get(&Host::Ip(ip)), [ip]);
    }
}
