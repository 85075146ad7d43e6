//! The other end of a WebSocket that pings without end and reads nothing; for tests.

use std::io::{Error, ErrorKind, Read, Result, Write};

/// It sends one frame again and again, and takes nothing that is written.
pub(crate) struct Deaf {
    frame: Vec<u8>,
    read: usize,
    /// The most bytes that waited to be written.
    pub most: usize,
}

impl Deaf {
    pub(crate) fn sending(frame: Vec<u8>) -> Self {
        Self {
            frame,
            read: 0,
            most: 0,
        }
    }
}

impl Read for Deaf {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        for byte in &mut *buf {
            *byte = self.frame[self.read % self.frame.len()];
            self.read += 1;
        }
        Ok(buf.len())
    }
}

impl Write for Deaf {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        self.most = self.most.max(buf.len());
        Err(Error::from(ErrorKind::WouldBlock))
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
