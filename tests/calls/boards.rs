//! Encoders of boards that are not here: their rows of the table, run through
//! what stands in for their elements and drivers.

mod drivers;
mod standins;
