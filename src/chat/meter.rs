//! A WebSocket's bytes on their way: what comes in is counted by frame and
//! fragment before anything reads it, and what goes out shows that the peer
//! reads.
//!
//! The library under a connection puts fragments together and answers pings by
//! itself, so only here can they be charged.

use std::io::{Error, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::bucket::{Bucket, Rate};

/// Bytes that cost as much as a frame.
const BYTES: f64 = 2048.0;

/// What is known of a connection's bytes, from outside of it.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    flooded: AtomicBool,
    heard: AtomicU64,
    written: AtomicU64,
}

impl Gauge {
    /// More came than any use of the chat needs; nothing more is read.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    /// Bytes that came so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Bytes that the system took so far, to send.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// A stream that carries a WebSocket's frames (RFC 6455 §5.2).
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    frames: Frames,
    budget: Bucket,
    gauge: Arc<Gauge>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, rate: Rate) -> (Self, Arc<Gauge>) {
        let gauge = Arc::new(Gauge::default());
        let metered = Self {
            stream,
            frames: Frames::default(),
            budget: Bucket::full(rate, Instant::now()),
            gauge: gauge.clone(),
        };
        (metered, gauge)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.gauge.is_flooded() {
            return Poll::Ready(Err(Error::other("a flood of frames")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        let bytes = read.len() as u64;
        this.gauge.heard.fetch_add(bytes, Ordering::Relaxed);
        let cost = this.frames.begun(read) as f64 + bytes as f64 / BYTES;
        if !this.budget.take(cost, Instant::now()) {
            this.gauge.flooded.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(Error::other("a flood of frames")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.gauge
            .written
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Finds where frames begin in a stream that comes in pieces.
#[derive(Debug, Default)]
struct Frames {
    /// What is known of the header that is being read.
    header: [u8; 10],
    known: usize,
    /// Bytes of mask and payload that follow it.
    left: u64,
}

impl Frames {
    /// How many frames begin in these bytes.
    fn begun(&mut self, mut bytes: &[u8]) -> u64 {
        let mut begun = 0;
        loop {
            let skipped = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.left -= skipped as u64;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else {
                return begun;
            };
            bytes = rest;
            self.header[self.known] = *first;
            self.known += 1;
            if self.known == 1 {
                begun += 1;
            }
            if let Some(left) = self.payload() {
                self.left = left;
                self.known = 0;
            }
        }
    }

    /// The length of what follows the header, once that is whole.
    fn payload(&self) -> Option<u64> {
        let [_, second, extended @ ..] = self.header;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let payload = match (second & 0x7f, self.known) {
            (short @ ..=125, 2..) => u64::from(short),
            (126, 4..) => u64::from(u16::from_be_bytes([extended[0], extended[1]])),
            (127, 10..) => u64::from_be_bytes(extended),
            _ => return None,
        };
        Some(payload.saturating_add(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    /// A masked frame of the client's.
    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match payload {
            0..=125 => frame.push(0x80 | payload as u8),
            126..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(vec![b'x'; payload]);
        frame
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 3];
        let stream: Vec<u8> = sizes.iter().flat_map(|size| frame(0x81, *size)).collect();
        for piece in [1, 2, 3, 7, 1000, stream.len()] {
            let mut frames = Frames::default();
            let begun: u64 = stream.chunks(piece).map(|bytes| frames.begun(bytes)).sum();
            assert_eq!(begun, sizes.len() as u64, "in pieces of {piece}");
        }
        let mut endless = Frames::default();
        let begun = endless.begun(&[0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 1]);
        assert_eq!(begun, 1);
    }

    #[tokio::test]
    async fn a_flood_of_fragments_or_pongs_ends_and_a_call_does_not() {
        let rate = Rate {
            burst: 800.0,
            per_second: 0.0,
        };
        for (first, payload, passes) in [(0x00, 1, 400), (0x8a, 0, 400), (0x81, 500, 400)] {
            let flood: Vec<u8> = (0..1000).flat_map(|_| frame(first, payload)).collect();
            let (mut metered, gauge) = Metered::new(&flood[..], rate);
            let mut buffer = vec![0; 512];
            let mut read = 0;
            while let Ok(bytes @ 1..) = metered.read(&mut buffer).await {
                read += bytes;
            }
            let frames = read / frame(first, payload).len();
            assert!((passes..=800).contains(&frames), "{frames}");
            assert!(gauge.is_flooded());
        }
    }
}
