// SPDX-License-Identifier: GPL-2.0

//! The trunk port of a switch: the network is in one VLAN of it, and a guest must tag what it sends
//! there.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::peer::{read_frame, write_frame};
use crate::process::wait_for;
use crate::{Error, Result};

/// The time that the far end may take to listen.
const LISTEN: Duration = Duration::from_secs(20);

/// The offset of a frame's tag: behind destination and source.
const TAG: usize = 12;
/// The ethertype of a tag (IEEE 802.1Q).
const ETHERTYPE: [u8; 2] = [0x81, 0x00];
/// The bits of a tag that are the VLAN's number.
const ID: u16 = 0x0fff;

/// A port that waits for the model's wire.
#[derive(Debug)]
pub struct Trunk {
    socket: PathBuf,
}

impl Trunk {
    /// Joins the VLAN `id` of the port to the stream socket `world`, which knows no tags. It ends
    /// with either of them.
    pub fn start(world: &Path, sockets: &Path, id: u16) -> Result<Self> {
        let socket = sockets.join("trunk");
        let listener = UnixListener::bind(&socket).map_err(Error::file(&socket, "listening"))?;
        // The file of a socket is there before its owner listens.
        let inside = wait_for(
            "the world to listen",
            LISTEN,
            || match UnixStream::connect(world) {
                Ok(stream) => Ok(Some(stream)),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
                Err(error) => Err(Error::file(world, "connecting")(error)),
            },
        )?;
        thread::spawn(move || {
            if let Ok((outside, _)) = listener.accept() {
                join(&outside, &inside, id);
            }
        });
        Ok(Self { socket })
    }

    /// The stream socket that a wire connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

fn join(outside: &UnixStream, inside: &UnixStream, id: u16) {
    thread::scope(|scope| {
        scope.spawn(|| forward(outside, inside, |frame| untagged(frame, id)));
        scope.spawn(|| forward(inside, outside, |frame| Some(tagged(&frame, id))));
    });
}

/// Passes on frames, as `change` has them, until one of the two ends; then both do.
fn forward(mut from: &UnixStream, to: &UnixStream, change: impl Fn(Vec<u8>) -> Option<Vec<u8>>) {
    let output = Mutex::new(to);
    while let Ok(frame) = read_frame(&mut from) {
        if change(frame).is_some_and(|frame| write_frame(&output, &frame).is_err()) {
            break;
        }
    }
    for stream in [from, to] {
        // It has ended already, at the latest when the other direction is through.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A frame with a tag of VLAN `id`.
pub fn tagged(frame: &[u8], id: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(TAG.min(frame.len()));
    [addresses, &ETHERTYPE, &id.to_be_bytes(), rest].concat()
}

/// A frame of VLAN `id` without its tag; none of another VLAN, or without a tag.
fn untagged(mut frame: Vec<u8>, id: u16) -> Option<Vec<u8>> {
    let tag = frame.get(TAG..TAG + 4)?;
    let found = u16::from_be_bytes([tag[2], tag[3]]) & ID;
    if tag[..2] != ETHERTYPE || found != id {
        return None;
    }
    frame.drain(TAG..TAG + 4);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_of_the_vlan_pass_and_lose_their_tag() {
        let frame: Vec<u8> = (0..60).collect();
        assert_eq!(untagged(tagged(&frame, 5), 5), Some(frame.clone()));
        // A priority is no other VLAN.
        assert_eq!(untagged(tagged(&frame, 0xe005), 5), Some(frame.clone()));
        assert_eq!(untagged(tagged(&frame, 6), 5), None);
        assert_eq!(untagged(frame, 5), None);
        assert_eq!(untagged(vec![0; 15], 5), None);
    }
}
