//! Who may watch: invitations, and the proofs by which a call shows one.
//!
//! Pure. docs/protocol.md has the bytes, docs/access.md what it is for.

mod invite;
mod proof;

pub use invite::{CodeError, Invite, Key, KeyId, Link};
pub use proof::{Call, ProofKey, Side};

#[cfg(test)]
mod tests;
