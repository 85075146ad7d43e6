//! The picture of every board's encoder, as a browser shows it.

mod drivers;
mod standins;
