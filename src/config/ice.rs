//! `[ice]`: how viewers reach the device.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, PortRange};
use crate::ice::IceUrl;

/// `[ice]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IceConfig {
    /// STUN and TURN servers.
    pub servers: Vec<IceServerConfig>,
    /// Offer loopback addresses too, for a browser on this very machine.
    pub loopback: bool,
    /// PEM file with a certificate authority to trust, besides the system's,
    /// for servers that are reached over TLS.
    pub ca_file: Option<PathBuf>,
    /// The UDP ports that calls use, `"50000-50100"`; any that is free without.
    pub ports: Option<PortRange>,
    /// Addresses by which viewers reach this device's ports from outside.
    pub public_addresses: Vec<IpAddr>,
}

/// `[[ice.servers]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServerConfig {
    /// `stun:host:port`, `turn:host:port?transport=udp` or `=tcp`,
    /// `turns:host:port`.
    pub urls: Vec<IceUrl>,
    /// TURN user, for static credentials.
    pub username: Option<String>,
    /// File with that user's password.
    pub credential_file: Option<PathBuf>,
    /// File with the secret shared with the TURN server (coturn's
    /// `static-auth-secret`), for credentials that expire.
    pub secret_file: Option<PathBuf>,
}

/// Addresses that are announced besides the device's own.
const MOST_PUBLIC_ADDRESSES: usize = 4;

impl IceConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let bad = |problem: String| {
            Err(ConfigError::Value {
                key: "ice.public_addresses",
                problem,
            })
        };
        if self.public_addresses.len() > MOST_PUBLIC_ADDRESSES {
            return bad(format!(
                "{} are more than {MOST_PUBLIC_ADDRESSES}",
                self.public_addresses.len()
            ));
        }
        for ip in &self.public_addresses {
            let no_unicast = match ip {
                IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
                IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
            };
            if no_unicast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
                return bad(format!(
                    "{ip} is no address by which a viewer reaches this device"
                ));
            }
        }
        self.servers.iter().try_for_each(IceServerConfig::validate)
    }
}

impl IceServerConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let bad = |problem: String| {
            Err(ConfigError::Value {
                key: "ice.servers",
                problem,
            })
        };
        if self.urls.is_empty() {
            return bad("a server needs at least one address in urls".into());
        }
        let turn = self.urls.iter().any(|url| url.turn);
        match (&self.username, &self.credential_file, &self.secret_file) {
            (None, None, Some(_)) if turn => Ok(()),
            (Some(_), Some(_), None) if turn => Ok(()),
            (None, None, None) if !turn => Ok(()),
            _ if turn => bad(format!(
                "{}: TURN needs either username and credential_file, or secret_file",
                self.urls[0]
            )),
            _ => bad(format!("{}: STUN takes no credentials", self.urls[0])),
        }
    }
}
