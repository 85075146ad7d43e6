//! Who may watch: invitations, the proofs by which a call shows one, and the
//! gate that looks at them.
//!
//! Pure. docs/protocol.md has the bytes, docs/access.md what it is for; the
//! file is the [`guestbook`](crate::guestbook)'s.

mod gate;
mod guest;
mod invite;
mod proof;
pub(crate) mod store;

pub use gate::{Gate, Mode, Uninvited};
pub(crate) use guest::MOST_INVITATIONS;
pub use guest::{Guest, Guests, Invitation, May, Right, Stage};
pub use invite::{CodeError, Invite, Key, KeyId, Link};
pub use proof::{Call, ProofKey, Side};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;
