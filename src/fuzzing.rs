//! How bytes that a fuzzer or a property test made up are read: as numbers and
//! pieces, until they are used up. Not part of the program.
//!
//! What is tried with them stands in a `fuzzing` module beside what it tries;
//! `fuzz/fuzz_targets` has a file for each, and this is its door to them.

use percent_encoding::percent_decode;

pub use crate::access::fuzzing::{code, proof, store};
pub use crate::agent::fuzzing::strangers;
pub use crate::chat::fuzzing::origins;
pub use crate::config::fuzzing::file;
pub use crate::doctor::fuzzing::stun;
pub use crate::media::fuzzing::{camera, probe};
pub use crate::peer::fuzzing::{connection, guard, interceptors, records, redundancy, sctp};
pub use crate::peer::messages::fuzzing::message;
pub use crate::peer::rehearsal::fuzzing::{offer, prepare};
pub use crate::room::fuzzing::crowd;
pub use crate::signaling::fuzzing::answer;
pub use crate::wire::fuzzing::frame;

/// A browser's offer, in which a caller and their certificate are changed.
pub(crate) const OFFER: &str = include_str!("../tests/fixtures/offer-chromium.sdp");

/// Bytes as text, as far as they are.
pub(crate) fn text(data: &[u8]) -> &str {
    match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&data[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// An address's credentials, which stand where a text has a `$`.
pub(crate) const LOGIN: &str = "://user:north-star@";

/// Whether they were written as they are, or as an address's parser reads them
/// (WHATWG URL §4.4: tabs and ends of lines are passed over). A fuzzer finds the word
/// by itself, and what is shown of it then is no secret.
pub(crate) fn gives_login_away(data: &[u8]) -> bool {
    let word = b"north-star";
    let passed_over = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r');
    let read: Vec<u8> = percent_decode(data).filter(|b| !passed_over(b)).collect();
    read.windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}

/// Bytes that are used up; behind their end is nothing but zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a>(pub &'a [u8]);

impl<'a> Draw<'a> {
    /// Nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Of two bytes.
    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// So many bytes, or fewer where they end.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A piece that says itself how long it is.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.short()) % 1_500;
        self.bytes(length)
    }

    /// A piece as text, for what only takes text.
    pub(crate) fn text(&mut self) -> String {
        let length = usize::from(self.byte());
        String::from_utf8_lossy(self.bytes(length)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    //! What fuzzers found worth keeping is tried by each test run, too.

    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use super::text;

    fn directory(name: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "fuzz", name].iter().collect()
    }

    /// Names in a directory, without what follows a full stop.
    fn names(directory: PathBuf) -> BTreeSet<String> {
        let entries = fs::read_dir(directory).expect("it is part of the project");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let stems = paths.map(|path| path.file_stem().map(|s| s.to_string_lossy().into_owned()));
        stems.flatten().collect()
    }

    fn replay(target: &str, run: fn(&[u8])) {
        let files = fs::read_dir(directory("corpus").join(target)).expect("a corpus");
        let mut tried = 0;
        for file in files {
            let path = file.expect("readable").path();
            println!("{}", path.display());
            run(&fs::read(&path).expect("readable"));
            tried += 1;
        }
        assert!(tried > 0, "an empty corpus");
    }

    macro_rules! targets {
        ($($name:ident: $run:expr,)*) => {
            const TARGETS: &[&str] = &[$(stringify!($name)),*];

            $(#[test]
            fn $name() {
                replay(stringify!($name), $run);
            })*
        };
    }

    targets! {
        access: |data| crate::access::fuzzing::store(text(data)),
        agent: crate::agent::fuzzing::strangers,
        camera: crate::media::fuzzing::camera,
        config: crate::config::fuzzing::file,
        connection: crate::peer::fuzzing::connection,
        guard: crate::peer::fuzzing::guard,
        handshake: crate::signaling::fuzzing::answer,
        interceptors: crate::peer::fuzzing::interceptors,
        invitation: |data| crate::access::fuzzing::code(text(data)),
        message: crate::peer::messages::fuzzing::message,
        offer: crate::peer::rehearsal::fuzzing::offer,
        origins: crate::chat::fuzzing::origins,
        probe: crate::media::fuzzing::probe,
        proof: crate::access::fuzzing::proof,
        records: crate::peer::fuzzing::records,
        redundancy: crate::peer::fuzzing::redundancy,
        room: crate::room::fuzzing::crowd,
        sctp: crate::peer::fuzzing::sctp,
        stun: crate::doctor::fuzzing::stun,
        wire: crate::wire::fuzzing::frame,
    }

    #[test]
    fn each_target_has_a_corpus_that_is_replayed_here() {
        let here: BTreeSet<_> = TARGETS.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(here, names(directory("fuzz_targets")));
        assert_eq!(here, names(directory("corpus")));
    }
}
