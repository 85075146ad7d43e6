//! What cameras and encoders give us, looked into and mended. Pure.

mod huffman;
pub mod jpeg;
pub(crate) mod nal;
pub(crate) mod sps;

/// What is wrong with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It does not begin as one.
    NoJpeg,
    /// Its headers make no sense, or end early.
    Headers,
    /// It ends before its last block.
    Short,
    /// What stands there is no code of its table, or not in its place.
    Garbled,
}

impl Damage {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NoJpeg => "what comes is no JPEG",
            Self::Headers => "its headers are damaged",
            Self::Short => "it ends too early",
            Self::Garbled => "its data are damaged",
        }
    }
}
