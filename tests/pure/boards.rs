//! The rows of the table beside what is known of their elements.

mod standins;
