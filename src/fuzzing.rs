//! How bytes that a fuzzer or a property test made up are read: as numbers and
//! pieces, until they are used up. Not part of the program.
//!
//! What is tried with them stands in a `fuzzing` module beside what it tries;
//! `fuzz/fuzz_targets` has a file for each.

/// Bytes that are used up; behind their end is nothing but zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a>(pub &'a [u8]);

impl<'a> Draw<'a> {
    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Of two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// So many bytes, or fewer where they end.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A piece that says itself how long it is.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.short()) % 1_500;
        self.bytes(length)
    }

    /// A piece as text, for what only takes text.
    pub fn text(&mut self) -> String {
        let length = usize::from(self.byte());
        String::from_utf8_lossy(self.bytes(length)).into_owned()
    }
}
