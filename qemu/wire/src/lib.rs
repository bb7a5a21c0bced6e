// SPDX-License-Identifier: GPL-2.0

//! The kinds of the emulated cable: nothing, a TAP interface, or the stream socket that QEMU's
//! `-netdev stream` and `passt` speak (each frame behind its length, four bytes, most significant
//! first). Any of them can be watched by pcap.
//!
//! The sending half ([`Sender`]) never blocks and lives with the device; the receiving half
//! ([`EventLoop`]) is a thread of its own that offers frames to the device ([`NicPort`]) and stops
//! listening while the device has no room: the peer is held back, nothing is lost and nothing piles
//! up.
#![deny(unsafe_code)]

mod event_loop;
mod framing;
mod pcap;
mod sender;
mod spec;
mod tap;

pub use event_loop::{EventLoop, NicPort};
pub use pcap::Pcap;
pub use sender::{Link, Sender};
pub use spec::Spec;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The longest frame a wire carries; a length beyond is a peer that speaks something else.
pub const MAX_FRAME: usize = 0x1_0000;

/// The shortest frame, without check sequence: whatever is on a cable has been padded to it by its
/// sender.
pub const MIN_FRAME: usize = 60;

/// The reason why a wire is not there.
#[derive(Debug, Error)]
pub enum WireError {
    /// No peer answers.
    #[error("wire: cannot connect to {path}: {source}", path = .path.display())]
    Connect {
        /// The peer's socket.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// No such interface, or not ours to use.
    #[error("wire: cannot open TAP interface {name}: {source}")]
    Tap {
        /// The interface.
        name: String,
        /// The reason.
        source: io::Error,
    },
    /// The capture file.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Pcap {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The host has run out of something.
    #[error("wire: {0}")]
    Host(#[from] io::Error),
}
