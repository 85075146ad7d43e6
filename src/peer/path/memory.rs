//! What a viewer's path carried when they were last here, by their address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A path is remembered for so long: reloads of the page, and the next look.
const KEEP: Duration = Duration::from_secs(600);
/// Addresses that are remembered.
const ADDRESSES: usize = 256;

/// The last estimate of each address.
#[derive(Debug, Default)]
pub(in crate::peer) struct Memory(HashMap<IpAddr, (u32, Instant)>);

impl Memory {
    /// Remembers an estimate in bit/s.
    pub(crate) fn put(&mut self, address: IpAddr, bits_per_second: u32, now: Instant) {
        self.0
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < KEEP);
        if self.0.len() == ADDRESSES
            && !self.0.contains_key(&address)
            && let Some(oldest) = self.oldest()
        {
            self.0.remove(&oldest);
        }
        self.0.insert(address, (bits_per_second, now));
    }

    /// What is remembered, in bit/s.
    pub(crate) fn get(&self, address: IpAddr, now: Instant) -> Option<u32> {
        let (bits_per_second, at) = self.0.get(&address)?;
        (now.saturating_duration_since(*at) < KEEP).then_some(*bits_per_second)
    }

    fn oldest(&self) -> Option<IpAddr> {
        let oldest = self.0.iter().min_by_key(|(_, (_, at))| *at);
        oldest.map(|(address, _)| *address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u16) -> IpAddr {
        IpAddr::from([10, 0, (n >> 8) as u8, n as u8])
    }

    #[test]
    fn an_address_is_remembered_for_a_while() {
        let now = Instant::now();
        let mut memory = Memory::default();
        memory.put(address(1), 500_000, now);
        memory.put(address(1), 700_000, now + Duration::from_secs(1));
        assert_eq!(memory.get(address(1), now + KEEP), Some(700_000));
        assert_eq!(memory.get(address(1), now + KEEP * 2), None);
        assert_eq!(memory.get(address(2), now), None);
    }

    #[test]
    fn many_addresses_push_out_the_oldest() {
        let now = Instant::now();
        let mut memory = Memory::default();
        for n in 0..=ADDRESSES as u16 {
            memory.put(address(n), 1, now + Duration::from_millis(n.into()));
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(memory.0.len(), ADDRESSES);
        assert_eq!(memory.get(address(0), later), None);
        assert_eq!(memory.get(address(1), later), Some(1));
        assert_eq!(memory.get(address(ADDRESSES as u16), later), Some(1));
    }
}
