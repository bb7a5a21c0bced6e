// SPDX-License-Identifier: GPL-2.0

//! Takes a byte stream apart into frames.

use std::io;
use std::io::Read;

use crate::MAX_FRAME;

const HEADER: usize = 4;
/// Room for some longest frames: one read brings many small ones.
const ROOM: usize = 4 * (MAX_FRAME + HEADER);

/// Bytes that have come and have not been taken yet.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    /// A TAP gives one frame per read; a stream has lengths between.
    framed: bool,
}

/// A length no frame has: the stream is out of step and cannot be brought back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfStep(pub(crate) usize);

impl Inbox {
    pub(crate) fn new(framed: bool) -> Self {
        Inbox {
            bytes: vec![0; ROOM],
            from: 0,
            to: 0,
            framed,
        }
    }

    /// Reads once. `Ok(false)` at the end of the stream.
    pub(crate) fn fill(&mut self, source: &mut dyn Read) -> io::Result<bool> {
        self.bytes.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        let space = &mut self.bytes[self.to..];
        if space.is_empty() {
            return Ok(true);
        }
        let count = source.read(space)?;
        self.to += count;
        Ok(count > 0)
    }

    /// The next whole frame, left where it is.
    pub(crate) fn peek(&self) -> Result<Option<&[u8]>, OutOfStep> {
        let here = &self.bytes[self.from..self.to];
        if !self.framed {
            return Ok(if here.is_empty() { None } else { Some(here) });
        }
        let Some((head, rest)) = here.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*head) as usize;
        if len == 0 || len > MAX_FRAME {
            return Err(OutOfStep(len));
        }
        Ok(rest.get(..len))
    }

    /// Drops the frame that [`Inbox::peek`] shows.
    pub(crate) fn take(&mut self) {
        if let Ok(Some(frame)) = self.peek() {
            let len = frame.len();
            self.from += len + if self.framed { HEADER } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(inbox: &mut Inbox, bytes: &[u8]) {
        assert!(inbox.fill(&mut &bytes[..]).unwrap());
    }

    #[test]
    fn frames_come_out_whole_however_they_come_in() {
        let mut stream = Vec::new();
        for len in [1usize, 60, 1514] {
            stream.extend_from_slice(&(len as u32).to_be_bytes());
            stream.extend(std::iter::repeat_n(len as u8, len));
        }
        for step in [1, 2, 3, 7, 64, 4000] {
            let mut inbox = Inbox::new(true);
            let mut lengths = Vec::new();
            for piece in stream.chunks(step) {
                feed(&mut inbox, piece);
                while let Some(frame) = inbox.peek().unwrap() {
                    assert!(frame.iter().all(|&b| b == frame.len() as u8));
                    lengths.push(frame.len());
                    inbox.take();
                }
            }
            assert_eq!(lengths, [1, 60, 1514]);
        }
    }

    #[test]
    fn a_peer_out_of_step_is_noticed() {
        for bad in [0u32, MAX_FRAME as u32 + 1, u32::MAX] {
            let mut inbox = Inbox::new(true);
            feed(&mut inbox, &bad.to_be_bytes());
            assert_eq!(inbox.peek(), Err(OutOfStep(bad as usize)));
        }
    }

    #[test]
    fn the_longest_frame_fits() {
        let mut inbox = Inbox::new(true);
        feed(&mut inbox, &(MAX_FRAME as u32).to_be_bytes());
        feed(&mut inbox, &vec![1; MAX_FRAME]);
        assert_eq!(inbox.peek().unwrap().unwrap().len(), MAX_FRAME);
    }

    #[test]
    fn the_end_of_the_stream() {
        assert!(!Inbox::new(true).fill(&mut io::empty()).unwrap());
    }
}
