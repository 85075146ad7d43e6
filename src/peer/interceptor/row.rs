//! The last before the crate's own: packets that leave together become a
//! [row](Convoy), of which only the first goes on.

use rtc::interceptor::{Packet, TaggedPacket};

use super::passing::{Out, Step};
use crate::peer::convoy::{Convoy, Name};

/// The interceptor.
pub(in crate::peer) struct Row {
    convoy: Convoy,
    /// The first packet of the row, and the last; both are the newest that were
    /// given out.
    open: Option<(Name, Name)>,
}

impl Row {
    pub(crate) fn new(convoy: Convoy) -> Self {
        Self { convoy, open: None }
    }
}

impl Step for Row {
    fn write(&mut self, packet: TaggedPacket, out: &mut Out) {
        let Packet::Rtp(rtp) = &packet.message.packet else {
            self.open = None;
            out.writes.push_back(packet);
            return;
        };
        let Some(name) = Name::of(&rtp.header) else {
            self.open = None;
            out.writes.push_back(packet);
            return;
        };
        // Once the first one was taken out of here, none can follow it any more.
        let open = self.open.filter(|_| !out.writes.is_empty());
        let Some((first, _)) = open.filter(|(_, last)| last.next() == Some(name)) else {
            self.open = Some((name, name));
            out.writes.push_back(packet);
            return;
        };
        let TaggedPacket {
            now,
            transport,
            mut message,
        } = packet;
        let Packet::Rtp(rtp) = message.packet else {
            return;
        };
        self.open = Some((first, name));
        if let Err(rtp) = self.convoy.follow(first, rtp) {
            self.open = Some((name, name));
            message.packet = Packet::Rtp(rtp);
            out.writes.push_back(TaggedPacket {
                now,
                transport,
                message,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::peer::interceptor::passing::Passing;
    use rtc::interceptor::AttributedPacket;
    use rtc::rtp;
    use rtc::sansio::Protocol;
    use rtc::shared::TransportContext;

    fn tagged(packet: Packet) -> TaggedPacket {
        TaggedPacket {
            now: Instant::now(),
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        }
    }

    fn write(row: &mut Passing<Row>, ssrc: u32, numbers: impl IntoIterator<Item = u16>) {
        for sequence_number in numbers {
            let header = rtp::Header {
                ssrc,
                sequence_number,
                ..Default::default()
            };
            let packet = Packet::Rtp(rtp::Packet {
                header,
                ..Default::default()
            });
            row.handle_write(tagged(packet)).expect("taken");
        }
    }

    /// The numbers that go on, RTCP as zero.
    fn left(row: &mut Passing<Row>) -> Vec<u16> {
        std::iter::from_fn(|| row.poll_write())
            .map(|packet| match packet.message.packet {
                Packet::Rtp(rtp) => rtp.header.sequence_number,
                _ => 0,
            })
            .collect()
    }

    fn row() -> Passing<Row> {
        let convoy = Convoy::default();
        assert!(convoy.behind(&[22, 254, 253]).is_none());
        Passing::new(Row::new(convoy))
    }

    #[test]
    fn of_what_leaves_together_the_first_goes_on() {
        let mut row = row();
        write(&mut row, 7, 10..20);
        assert_eq!(left(&mut row), [10]);
        // It is on its way: nothing joins it any more.
        write(&mut row, 7, 20..23);
        assert_eq!(left(&mut row), [20]);
        assert_eq!(left(&mut row), [0; 0]);
    }

    #[test]
    fn another_stream_rtcp_a_hole_and_a_wrap_begin_anew() {
        let mut row = row();
        write(&mut row, 7, [10, 11]);
        write(&mut row, 8, [12, 13]);
        row.handle_write(tagged(Packet::Rtcp(vec![])))
            .expect("taken");
        write(&mut row, 8, [14, 16, 17, 16]);
        write(&mut row, 7, [u16::MAX - 1, u16::MAX, 0, 1]);
        let expected = [10, 12, 0, 14, 16, 16, u16::MAX - 1, 0];
        assert_eq!(left(&mut row), expected);
    }

    /// Their bytes are read as RTCP's, and nothing would follow them.
    #[test]
    fn payload_types_of_rtcp_go_by_themselves() {
        let mut row = row();
        for sequence_number in 10..13 {
            let header = rtp::Header {
                payload_type: 80,
                sequence_number,
                ..Default::default()
            };
            let packet = Packet::Rtp(rtp::Packet {
                header,
                ..Default::default()
            });
            row.handle_write(tagged(packet)).expect("taken");
        }
        assert_eq!(left(&mut row), [10, 11, 12]);
    }

    #[test]
    fn where_rows_do_not_come_through_each_goes_by_itself() {
        let mut row = Passing::new(Row::new(Convoy::default()));
        write(&mut row, 7, 10..14);
        assert_eq!(left(&mut row), [10, 11, 12, 13]);
    }
}
