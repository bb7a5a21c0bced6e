// SPDX-License-Identifier: GPL-2.0

//! The arithmetic of the descriptors (`rust/driver/ring/desc.rs`), for a model checker of C
//! (`scripts/check-models`): functions that desc.c calls with any arguments at all.

#![no_std]

/// See `rust/net`.
#[path = "../../rust/net"]
pub mod net {
    pub mod from_device;
}

/// See `rust/driver`.
#[path = "../../rust/driver"]
pub mod driver {
    pub mod ring {
        pub mod desc;

        /// The opts1 and opts2 of a fragment that is sent: the first in the upper half.
        ///
        /// `kind`: 0 as it is, 1 with the checksums of TCP, 2 of UDP, 3 cut into segments of `mss`.
        #[no_mangle]
        pub extern "C" fn tx(kind: u32, mss: u32, tag: u32, length: u32, place: u32) -> u64 {
            use desc::{TxChecksum, TxCommand};
            let command = match kind {
                1 => TxCommand::plain().checksum(TxChecksum::Tcp),
                2 => TxCommand::plain().checksum(TxChecksum::Udp),
                3 => TxCommand::plain().segment(mss),
                _ => TxCommand::plain(),
            };
            let command = match u16::try_from(tag) {
                Ok(tag) => command.vlan(tag),
                Err(_) => command,
            };
            let opts1 = command.opts1(length, place & 1 != 0, place & 2 != 0, place & 4 != 0);
            u64::from(opts1) << 32 | u64::from(command.opts2())
        }

        /// Returns whether such a fragment is one of a frame to be cut.
        #[no_mangle]
        pub extern "C" fn tso(kind: u32, mss: u32) -> u32 {
            use desc::{TxChecksum, TxCommand};
            let command = match kind {
                1 => TxCommand::plain().checksum(TxChecksum::Tcp),
                2 => TxCommand::plain().checksum(TxChecksum::Udp),
                3 => TxCommand::plain().segment(mss),
                _ => TxCommand::plain(),
            };
            u32::from(command.is_tso())
        }

        /// The opts1 of a descriptor that is not in use.
        #[no_mangle]
        pub extern "C" fn tx_idle(end: u32) -> u32 {
            desc::tx_idle(end != 0)
        }

        /// The opts1 that gives the chip a buffer.
        #[no_mangle]
        pub extern "C" fn rx_opts1(size: u32, end: u32) -> u32 {
            desc::rx_opts1(size, end != 0)
        }
    }
}

use driver::ring::desc::{rx_vlan, RxChecksum, RxError, RxFrameInfo, RxStatus};
use net::from_device::FromDevice;

/// A length, with the protocol whose checksums are right above it.
fn frame(info: &RxFrameInfo) -> u64 {
    let checksum = match info.checksum() {
        RxChecksum::Unknown => 0,
        RxChecksum::Tcp => 1,
        RxChecksum::Udp => 2,
    };
    checksum << 32 | u64::from(info.length())
}

/// Decodes a status: a frame, or the number of an error with the highest bit set.
#[no_mangle]
pub extern "C" fn rx(opts1: u32, size: u32) -> u64 {
    match RxStatus::decode(FromDevice::new(opts1), size) {
        Ok(info) => frame(&info),
        Err(error) => {
            let number = match error {
                RxError::Crc => 1,
                RxError::Runt => 2,
                RxError::Watchdog => 3,
                RxError::Unnamed => 4,
                RxError::Fragmented => 5,
                RxError::Length => 6,
            };
            1 << 63 | number
        }
    }
}

/// Decodes a status where damaged frames are wanted too: a frame, or the highest bit alone.
#[no_mangle]
pub extern "C" fn rx_damaged(opts1: u32, size: u32) -> u64 {
    RxStatus::decode_damaged(FromDevice::new(opts1), size).map_or(1 << 63, |info| frame(&info))
}

/// The tag of a received frame; above 16 bits if there is none.
#[no_mangle]
pub extern "C" fn rx_tag(opts2: u32) -> u32 {
    rx_vlan(FromDevice::new(opts2)).map_or(u32::MAX, u32::from)
}
