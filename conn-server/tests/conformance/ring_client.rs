//! Thousands of clients on one ring with direct descriptors: the test process has the same descriptor limit as the node.

#![allow(unsafe_code, reason = "raw ring submissions")]

use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use wire::token::TOKEN_BYTES;
use wire::{Command, Event, FrameView, Login, Message, split_frame};

use crate::peer::frame;

/// Bytes of one client's receive buffer: a welcome and a goodbye fit.
const RECEIVE_BYTES: usize = 256;
/// Operations in flight at once: less than a listener's backlog, so that no connect has to be repeated.
const WINDOW: usize = 1024;

/// Clients with a session each.
pub(crate) struct Crowd {
    ring: IoUring,
    count: usize,
    received: Vec<[u8; RECEIVE_BYTES]>,
    lens: Vec<usize>,
    files: Vec<u32>,
}

impl Crowd {
    /// Connects one client per token, and logs each in.
    pub(crate) fn login(
        address: SocketAddr,
        tokens: impl Iterator<Item = [u8; TOKEN_BYTES]>,
    ) -> Self {
        let logins: Vec<_> =
            tokens.map(|token| frame(Command::Login(Login { token: &token }), 0)).collect();
        let count = logins.len();
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(8192)
            .build(2048)
            .expect("a ring");
        ring.submitter().register_files_sparse(u32::try_from(count).unwrap()).expect("a table");
        let mut crowd = Self {
            ring,
            count,
            received: vec![[0; RECEIVE_BYTES]; count],
            lens: vec![0; count],
            files: vec![0; count],
        };
        crowd.connect(address);
        crowd.exchange(|index| logins[index].as_slice());
        for index in 0..count {
            crowd.check(index, |event| matches!(event, Event::Welcome(_)));
        }
        crowd
    }

    fn connect(&mut self, address: SocketAddr) {
        let files: Vec<_> = self.each(|_, index| {
            let place = types::DestinationSlot::auto_target();
            let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP);
            socket.file_index(Some(place)).build().user_data(index as u64)
        });
        self.files = files.into_iter().map(|file| u32::try_from(file).expect("a socket")).collect();
        let IpAddr::V4(ip) = address.ip() else { panic!("the suite runs on IPv4") };
        let name = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
            sin_zero: [0; 8],
        };
        let len = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap();
        let connected = self.each(|crowd, index| {
            let file = types::Fixed(crowd.files[index]);
            let connect = opcode::Connect::new(file, (&raw const name).cast(), len);
            connect.build().user_data(index as u64)
        });
        assert!(connected.iter().all(|&result| result == 0), "every client connects");
    }

    /// Sends every client's bytes, then waits for a whole frame for each.
    fn exchange<'a>(&mut self, bytes: impl Fn(usize) -> &'a [u8]) {
        let sent = self.each(|crowd, index| {
            let (file, bytes) = (types::Fixed(crowd.files[index]), bytes(index));
            let send = opcode::Send::new(file, bytes.as_ptr(), bytes.len() as u32);
            send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build().user_data(index as u64)
        });
        assert!((0..self.count).all(|index| sent[index] as usize == bytes(index).len()));
        self.receive();
    }

    /// One receive per client.
    fn receive(&mut self) {
        let lens = self.each(|crowd, index| {
            let file = types::Fixed(crowd.files[index]);
            let buffer = crowd.received[index].as_mut_ptr();
            opcode::Recv::new(file, buffer, RECEIVE_BYTES as u32).build().user_data(index as u64)
        });
        self.lens = lens.into_iter().map(|len| usize::try_from(len).expect("bytes")).collect();
    }

    #[track_caller]
    fn check(&self, index: usize, is_expected: impl FnOnce(&Event<'_>) -> bool) {
        let bytes = &self.received[index][..self.lens[index]];
        let (frame, rest) = split_frame(bytes).expect("well-formed").expect("whole");
        let message = FrameView::parse(frame).expect("valid").message();
        let Message::Event(event) = message else { panic!("a node says events") };
        assert!(is_expected(&event) && rest.is_empty(), "client {index} got {event:?}");
    }

    /// Every client sends a heartbeat and gets its answer.
    pub(crate) fn heartbeat(&mut self) {
        let heartbeat = frame(Command::Heartbeat, 0);
        self.exchange(|_| &heartbeat);
        for index in 0..self.count {
            self.check(index, |event| matches!(event, Event::HeartbeatAck));
        }
    }

    /// Every client gets its goodbye and the end of the stream, and closes.
    pub(crate) fn leave(mut self) {
        self.receive();
        for index in 0..self.count {
            self.check(index, |event| matches!(event, Event::Goodbye(_)));
        }
        self.receive();
        assert!(self.lens.iter().all(|&len| len == 0), "then the stream ends");
        let closed = self.each(|crowd, index| {
            let file = types::Fixed(crowd.files[index]);
            opcode::Close::new(file).build().user_data(index as u64)
        });
        assert!(closed.iter().all(|&result| result == 0));
    }

    /// Runs one operation per client, a window of them at a time, and gives their results.
    fn each(&mut self, operation: impl Fn(&mut Self, usize) -> squeue::Entry) -> Vec<i32> {
        let mut results = vec![0; self.count];
        let (mut started, mut done) = (0, 0);
        while done < self.count {
            while started < self.count && started - done < WINDOW {
                let entry = operation(self, started);
                // SAFETY: what the operations point to (names, frames, receive buffers) lives in the callers and in
                // `self` until this function has seen every completion.
                let pushed = unsafe { self.ring.submission().push(&entry) };
                pushed.expect("the queue holds a window");
                started += 1;
            }
            self.ring.submit_and_wait(1).expect("the kernel takes them");
            for completion in self.ring.completion() {
                assert!(!cqueue::more(completion.flags()), "one-shot");
                results[completion.user_data() as usize] = completion.result();
                done += 1;
            }
        }
        results
    }
}
