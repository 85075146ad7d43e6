use super::*;

/// Destination, bytes and segment size.
type Call = (SocketAddr, Vec<u8>, Option<usize>);

/// Writes down what it is given.
#[derive(Debug)]
struct Paper {
    calls: Mutex<Vec<Call>>,
    gso: Mutex<usize>,
    /// Takes nothing.
    busy: Mutex<bool>,
    /// Refuses segments, and learns it, as a card without them does.
    refuses: bool,
}

impl Paper {
    fn new(refuses: bool) -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::default(),
            gso: Mutex::new(64),
            busy: Mutex::new(false),
            refuses,
        })
    }
}

impl AsyncUdpSocket for Paper {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if *lock(&self.busy) {
            return Poll::Pending;
        }
        if self.refuses && transmit.segment_size.is_some() {
            *lock(&self.gso) = 1;
            return Poll::Ready(Err(io::Error::other("EIO")));
        }
        lock(&self.calls).push((
            transmit.destination,
            transmit.contents.to_vec(),
            transmit.segment_size,
        ));
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn max_gso_segments(&self) -> usize {
        *lock(&self.gso)
    }
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn send(socket: &Gathering, port: u16, size: usize, byte: u8) -> Poll<io::Result<usize>> {
    let contents = vec![byte; size];
    let transmit = Transmit {
        destination: address(port),
        ecn: None,
        contents: &contents,
        segment_size: None,
        src_ip: None,
    };
    socket.poll_send(&mut Context::from_waker(Waker::noop()), &transmit)
}

/// Port, bytes and segment size of each call.
fn calls(paper: &Paper) -> Vec<(u16, usize, Option<usize>)> {
    let calls = lock(&paper.calls);
    calls
        .iter()
        .map(|(a, b, s)| (a.port(), b.len(), *s))
        .collect()
}

fn flush(socket: &Gathering) -> Poll<()> {
    socket.flush(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_picture_leaves_in_one_call_in_order() {
    let paper = Paper::new(false);
    let socket = Gathering::new(paper.clone(), Convoy::default());
    for (size, byte) in [(1200, 1), (1200, 2), (1200, 3), (700, 4)] {
        assert!(send(&socket, 9, size, byte).is_ready());
    }
    assert_eq!(calls(&paper), [], "the turn is not over");
    assert!(flush(&socket).is_ready());
    assert_eq!(calls(&paper), [(9, 4300, Some(1200))]);
    let bytes = lock(&paper.calls)[0].1.clone();
    let firsts: Vec<_> = bytes.chunks(1200).map(|c| c[0]).collect();
    assert_eq!(firsts, [1, 2, 3, 4]);
    assert!(flush(&socket).is_ready());
    assert_eq!(calls(&paper).len(), 1, "and once");
}

#[test]
fn what_the_kernel_could_not_cut_apart_is_not_put_together() {
    let paper = Paper::new(false);
    let socket = Gathering::new(paper.clone(), Convoy::default());
    // A longer one, one behind a shorter one, another destination.
    for (port, size) in [(9, 100), (9, 1200), (9, 1200), (9, 50), (9, 50), (8, 50)] {
        assert!(send(&socket, port, size, 0).is_ready());
    }
    assert!(flush(&socket).is_ready());
    assert_eq!(
        calls(&paper),
        [
            (9, 100, None),
            (9, 2450, Some(1200)),
            (9, 50, None),
            (8, 50, None)
        ]
    );
    for _ in 0..200 {
        assert!(send(&socket, 9, 1000, 0).is_ready());
    }
    assert!(flush(&socket).is_ready());
    let sizes: Vec<_> = calls(&paper)[4..].iter().map(|c| c.1).collect();
    assert_eq!(sizes, [60_000, 60_000, 60_000, 20_000]);
}

#[test]
fn a_card_that_cannot_gets_them_one_by_one_and_a_busy_socket_later() {
    let paper = Paper::new(true);
    let socket = Gathering::new(paper.clone(), Convoy::default());
    for size in [1200, 1200, 700] {
        assert!(send(&socket, 9, size, 0).is_ready());
    }
    assert!(flush(&socket).is_ready());
    let one_by_one = [(9, 1200, None), (9, 1200, None), (9, 700, None)];
    assert_eq!(calls(&paper), one_by_one);

    *lock(&paper.busy) = true;
    assert!(send(&socket, 9, 1200, 0).is_ready());
    assert!(send(&socket, 8, 1200, 0).is_pending(), "as the socket is");
    assert!(flush(&socket).is_pending());
    *lock(&paper.busy) = false;
    // The last words of a connection.
    drop(socket);
    assert_eq!(calls(&paper)[3..], [(9, 1200, None)]);
}

/// A connection's cipher that encrypts a row of so many packets of so many bytes,
/// and the first of them as it comes to the socket.
fn row(convoy: &Convoy, packets: u16, size: usize) -> Vec<u8> {
    use crate::peer::convoy::Name;
    use rtc::crypto::{AeadAlgorithm, default_provider};
    use rtc::rtp;

    assert!(convoy.behind(&[22, 254, 253]).is_none());
    let packet = |sequence_number| rtp::Packet {
        header: rtp::Header {
            version: 2,
            sequence_number,
            ..Default::default()
        },
        payload: vec![0; size - 28].into(),
    };
    let first = Name::of(&packet(1).header).expect("it is a picture's");
    for number in 2..=packets {
        convoy.follow(first, packet(number)).expect("it may follow");
    }
    let provider = default_provider().expect("it is built in");
    let crypto = provider.crypto();
    let mut cipher = crypto
        .new_aead(AeadAlgorithm::Aes128Gcm, &[9; 16])
        .expect("a key");
    convoy.seal(first, &[0; 12], &mut *cipher);
    let mut datagram = vec![0; size];
    (datagram[0], datagram[3]) = (0x80, 1);
    datagram
}

fn leave(socket: &Gathering, contents: &[u8], segment_size: Option<usize>) {
    let transmit = Transmit {
        destination: address(9),
        ecn: None,
        contents,
        segment_size,
        src_ip: None,
    };
    let mut cx = Context::from_waker(Waker::noop());
    assert!(socket.poll_send(&mut cx, &transmit).is_ready());
}

#[test]
fn a_row_follows_its_first_packet_in_the_same_call() {
    let paper = Paper::new(false);
    let convoy = Convoy::default();
    let socket = Gathering::new(paper.clone(), convoy.clone());
    leave(&socket, &row(&convoy, 9, 1_200), None);
    assert!(flush(&socket).is_ready());
    assert_eq!(calls(&paper), [(9, 9 * 1_200, Some(1_200))]);
    let bytes = lock(&paper.calls)[0].1.clone();
    let numbers: Vec<_> = bytes.chunks(1_200).map(|c| c[3]).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // The same where the crate puts it together with what is behind it.
    let first = row(&convoy, 3, 500);
    let together = [first.as_slice(), &[22; 500], &[23; 100]].concat();
    leave(&socket, &together, Some(500));
    assert!(flush(&socket).is_ready());
    assert_eq!(calls(&paper)[1..], [(9, 4 * 500 + 100, Some(500))]);
}

#[test]
fn a_row_waits_where_the_socket_is_busy() {
    let paper = Paper::new(false);
    let convoy = Convoy::default();
    let socket = Gathering::new(paper.clone(), convoy.clone());
    assert!(send(&socket, 9, 2_000, 0).is_ready());
    *lock(&paper.busy) = true;
    // More than one call takes: they wait, and others for them.
    let first = row(&convoy, 60, 1_200);
    let waits = send(&socket, 8, 50, 0);
    assert!(waits.is_pending());
    leave(&socket, &first, None);
    assert!(send(&socket, 9, 50, 0).is_pending());
    *lock(&paper.busy) = false;
    assert!(send(&socket, 9, 50, 0).is_ready());
    assert!(flush(&socket).is_ready());
    let bytes: usize = calls(&paper).iter().map(|call| call.1).sum();
    assert_eq!(bytes, 2_000 + 60 * 1_200 + 50);
}
