//! The rows of the table beside what is known of their elements and drivers.

mod drivers;
mod standins;
