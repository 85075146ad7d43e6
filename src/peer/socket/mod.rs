//! Under the crate: the sockets of a connection, where they are bound, what may
//! pass through them, and how their datagrams reach the kernel.

pub(super) mod apart;
pub(super) mod batch;
pub(super) mod binding;
pub(super) mod candidate;
pub(super) mod guard;
pub(super) mod roaming;
pub(super) mod runtime;
pub(super) mod wake;
