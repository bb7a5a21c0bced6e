// SPDX-License-Identifier: GPL-2.0

//! Descriptor words, as r8169's `enum rtl_desc_bit` and its neighbours name them.

/// Bytes of a descriptor.
pub(crate) const SIZE: u64 = 16;
/// A ring has at most so many descriptors (r8169, FreeBSD, OpenBSD).
pub(crate) const RING_MAX: u16 = 1024;

pub(crate) const OWN: u32 = 1 << 31;
pub(crate) const RING_END: u32 = 1 << 30;
pub(crate) const FIRST: u32 = 1 << 29;
pub(crate) const LAST: u32 = 1 << 28;

/// Transmit, first word.
pub(crate) mod tx {
    pub(crate) const LARGE_SEND: u32 = 1 << 27;
    pub(crate) const MSS_SHIFT: u32 = 16;
    pub(crate) const MSS_MAX: u32 = 0x7ff;
    pub(crate) const IP_CHECKSUM: u32 = 1 << 18;
    pub(crate) const UDP_CHECKSUM: u32 = 1 << 17;
    pub(crate) const TCP_CHECKSUM: u32 = 1 << 16;
    pub(crate) const LENGTH: u32 = 0xffff;
    /// The commands for the frame.
    pub(crate) const FLAGS: u32 =
        LARGE_SEND | (MSS_MAX << MSS_SHIFT) | IP_CHECKSUM | UDP_CHECKSUM | TCP_CHECKSUM;
    /// Second word: insert a VLAN tag (its bytes are swapped in bits 15:0).
    pub(crate) const VLAN: u32 = 1 << 17;
}

/// Receive, first word.
pub(crate) mod rx {
    pub(crate) const MULTICAST: u32 = 1 << 27;
    pub(crate) const UNICAST: u32 = 1 << 26;
    pub(crate) const BROADCAST: u32 = 1 << 25;
    /// Always set, as bit 24 is always clear (data sheet, page 61). On the 8169 they report
    /// overflows.
    pub(crate) const ALWAYS: u32 = 1 << 23;
    /// Any of the errors.
    pub(crate) const ERROR: u32 = 1 << 21;
    /// Longer than the watchdog of the receiver allows, or than RxMaxSize.
    pub(crate) const WATCHDOG: u32 = 1 << 22;
    /// The longest frame that comes without it, whatever RxMaxSize is (data sheet, page 61).
    /// FreeBSD and OpenBSD say a byte less.
    pub(crate) const MAX_GOOD_FRAME: usize = 8192;
    /// The longest frame that comes at all (data sheet, page 15).
    pub(crate) const MAX_FRAME: usize = 16000;
    pub(crate) const RUNT: u32 = 1 << 20;
    pub(crate) const CRC: u32 = 1 << 19;
    pub(crate) const PROTO_UDP: u32 = 1 << 18;
    pub(crate) const PROTO_TCP: u32 = 1 << 17;
    pub(crate) const PROTO_IP: u32 = PROTO_UDP | PROTO_TCP;
    pub(crate) const IP_FAIL: u32 = 1 << 16;
    pub(crate) const UDP_FAIL: u32 = 1 << 15;
    pub(crate) const TCP_FAIL: u32 = 1 << 14;
    pub(crate) const LENGTH: u32 = 0x3fff;
    /// Second word: a tag was taken out (its bytes are swapped in bits 15:0).
    pub(crate) const VLAN: u32 = 1 << 16;
}

/// The address of a ring, and the chip's place in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ring {
    /// Set once its low address register has been written.
    pub(crate) base: Option<u64>,
    pub(crate) index: u16,
}

impl Ring {
    /// The address of descriptor `index`. It may lie anywhere: what is not the guest's is the bus's
    /// to refuse.
    pub(crate) fn address(base: u64, index: u16) -> u64 {
        base.wrapping_add(u64::from(index) * SIZE)
    }

    /// The descriptor after `index`; `None` where a ring without an end would run on forever.
    pub(crate) fn after(index: u16, opts1: u32) -> Option<u16> {
        if opts1 & RING_END != 0 {
            Some(0)
        } else if index + 1 < RING_MAX {
            Some(index + 1)
        } else {
            None
        }
    }
}
