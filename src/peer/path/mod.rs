//! What a viewer's path carries: [estimated](estimate), [known] to all
//! who have to know, and [remembered](memory) for their next call.

pub(super) mod estimate;
pub(super) mod known;
pub(super) mod memory;
