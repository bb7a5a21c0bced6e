// SPDX-License-Identifier: GPL-2.0

//! The 16-byte descriptor of the RTL8111B, for both directions.
//!
//! ```text
//! offset  0  opts1    ownership, flags, length
//!         4  opts2    VLAN
//!         8  address  of the buffer, as the device sees it; 64 bits
//! ```
//!
//! All of it is little endian in memory; here it is in the order of the CPU. A ring ends at the
//! descriptor that carries [`EOR`], after which the chip goes back to the first. The bits are
//! those which Linux's r8169 and Realtek's r8168 use for these chips.

use crate::net::from_device::FromDevice;
use core::ops::RangeInclusive;

/// The size of a descriptor in bytes.
pub const DESCRIPTOR_SIZE: usize = 16;
/// The most descriptors that a ring is given, as in Realtek's driver.
pub const MAX_DESCRIPTORS: u32 = 1024;

/// opts1: the chip owns the descriptor and its buffer; the chip clears it when it is done.
pub const OWN: u32 = 1 << 31;
/// opts1: the last descriptor of the ring.
pub const EOR: u32 = 1 << 30;
/// opts1: the first descriptor of a frame.
pub const FS: u32 = 1 << 29;
/// opts1: the last descriptor of a frame.
pub const LS: u32 = 1 << 28;

/// TX opts1: the length of the fragment in bytes.
const TX_LENGTH: u32 = 0xffff;
/// The lengths a fragment of a sent frame may have, in bytes: what opts1 can say, but not nothing.
pub const TX_FRAGMENT_SIZES: RangeInclusive<u32> = 1..=TX_LENGTH;

/// RX opts1: the size of the buffer, then the length of the frame with its FCS, in bytes.
const RX_LENGTH: u32 = 0x3fff;
/// RX status: the frame is longer than the receive watchdog allows.
const RX_WATCHDOG: u32 = 1 << 22;
/// RX status: the summary of the receive errors; without it the other error bits mean nothing.
const RX_ERROR: u32 = 1 << 21;
/// RX status: the frame is shorter than 64 bytes.
const RX_RUNT: u32 = 1 << 20;
/// RX status: the frame check sequence does not match.
const RX_CRC: u32 = 1 << 19;
/// RX status: both bits: IPv4 without TCP or UDP; neither: no IPv4.
const RX_UDP: u32 = 1 << 18;
const RX_TCP: u32 = 1 << 17;
/// RX status: the checksum of the IPv4 header, of UDP or of TCP is wrong.
const RX_IP_FAILED: u32 = 1 << 16;
const RX_UDP_FAILED: u32 = 1 << 15;
const RX_TCP_FAILED: u32 = 1 << 14;

/// The length of the frame check sequence, which the chip leaves at the end of a frame.
pub const FCS_LENGTH: u32 = 4;
/// The shortest frame worth passing on: an Ethernet header, without the FCS.
pub const FRAME_MIN: u32 = 14;
/// The sizes an RX buffer may have, in bytes: the shortest frame fits, and opts1 can say it.
pub const RX_BUFFER_SIZES: RangeInclusive<u32> = FRAME_MIN + FCS_LENGTH..=RX_LENGTH;

/// The memory of a ring, shared with the device.
///
/// `index` counts descriptors. One that is out of range is ignored by writes and reads as 0.
pub trait DescriptorMemory {
    /// Returns the number of descriptors.
    fn count(&self) -> u32;

    /// Reads opts1, once and in no order to other accesses.
    fn opts1(&self, index: u32) -> FromDevice<u32>;

    /// Reads opts2, once and in no order to other accesses.
    fn opts2(&self, index: u32) -> FromDevice<u32>;

    /// Reads opts1 and, if the chip no longer owns the descriptor, after that opts2.
    #[inline]
    fn received(&self, index: u32) -> Option<(FromDevice<u32>, FromDevice<u32>)> {
        let opts1 = self.opts1(index);
        if opts1.bits(OWN) != 0 {
            return None;
        }
        self.rmb();
        Some((opts1, self.opts2(index)))
    }

    /// Orders the read of opts1 that saw [`OWN`] clear before all later reads (`dma_rmb`).
    fn rmb(&self);

    /// Writes the address and opts2, then, after all earlier writes (`dma_wmb`), opts1.
    fn publish(&self, index: u32, address: u64, opts1: u32, opts2: u32);
}

/// The protocol whose checksum the chip computes, together with that of the IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxChecksum {
    /// TCP over IPv4.
    Tcp,
    /// UDP over IPv4.
    Udp,
}

/// TX opts1: compute the checksum of the IPv4 header, of UDP, of TCP.
const TX_IP_CHECKSUM: u32 = 1 << 18;
const TX_UDP_CHECKSUM: u32 = 1 << 17;
const TX_TCP_CHECKSUM: u32 = 1 << 16;

/// TX opts1: cut the frame into segments. The checksums are computed too.
const TX_SEGMENT: u32 = 1 << 27;
/// TX opts1: the payload of a segment in bytes, at this bit and up to this value.
const TX_MSS_SHIFT: u32 = 16;
/// The largest payload of a segment, in bytes.
pub const TX_MSS_MAX: u32 = 0x7ff;

/// TX opts2: insert the VLAN tag in the lower 16 bits, which has its most significant byte first.
const TX_VLAN: u32 = 1 << 17;
/// RX opts2: a VLAN tag was stripped; it is in the lower 16 bits, most significant byte first.
const RX_VLAN: u32 = 1 << 16;

/// Returns the VLAN tag that the chip stripped from a frame, if it did.
pub fn rx_vlan(opts2: FromDevice<u32>) -> Option<u16> {
    // Any tag is a tag: there is nothing to check.
    (opts2.bits(RX_VLAN) != 0).then_some((opts2.bits(0xffff) as u16).swap_bytes())
}

/// The offloads of a frame that the chip sends.
///
/// It holds the bits that go into every descriptor of the frame. Offloads are added as methods
/// which return the command with their bits set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxCommand {
    opts1: u32,
    opts2: u32,
}

impl TxCommand {
    /// Send the frame as it is.
    pub const fn plain() -> Self {
        Self { opts1: 0, opts2: 0 }
    }

    /// Compute the checksums. The frame must be IPv4 and have at least 60 bytes.
    pub const fn checksum(mut self, protocol: TxChecksum) -> Self {
        self.opts1 |= TX_IP_CHECKSUM
            | match protocol {
                TxChecksum::Tcp => TX_TCP_CHECKSUM,
                TxChecksum::Udp => TX_UDP_CHECKSUM,
            };
        self
    }

    /// Cut the frame, which must be TCP over IPv4, into segments of `mss` bytes payload, up to
    /// [`TX_MSS_MAX`].
    ///
    /// It excludes [`TxCommand::checksum`], whose bits are those of the size.
    pub const fn segment(mut self, mss: u32) -> Self {
        self.opts1 |= TX_SEGMENT | ((mss & TX_MSS_MAX) << TX_MSS_SHIFT);
        self
    }

    /// Returns whether the frame is to be cut into segments.
    pub const fn is_tso(self) -> bool {
        self.opts1 & TX_SEGMENT != 0
    }

    /// Insert a VLAN tag.
    pub const fn vlan(mut self, tag: u16) -> Self {
        self.opts2 |= TX_VLAN | tag.swap_bytes() as u32;
        self
    }

    /// Returns the opts1 of a fragment of `length` bytes, owned by the chip.
    ///
    /// `first` and `last`: of its frame; `end`: the last descriptor of the ring.
    pub(super) fn opts1(self, length: u32, first: bool, last: bool, end: bool) -> u32 {
        let place = flag(first, FS) | flag(last, LS) | flag(end, EOR);
        self.opts1 | OWN | place | (length & TX_LENGTH)
    }

    /// Returns the opts2 of every fragment.
    pub(super) fn opts2(self) -> u32 {
        self.opts2
    }
}

/// Returns the opts1 of a TX descriptor that is not in use; `end`: the last of the ring.
pub(super) fn tx_idle(end: bool) -> u32 {
    flag(end, EOR)
}

/// Returns the opts1 that gives the chip a buffer of `size` bytes; `end`: the last of the ring.
pub(super) fn rx_opts1(size: u32, end: bool) -> u32 {
    OWN | (size & RX_LENGTH) | flag(end, EOR)
}

fn flag(set: bool, bit: u32) -> u32 {
    if set {
        bit
    } else {
        0
    }
}

/// The chip's verdict about the checksums of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nothing that can be relied on: not IPv4, another protocol, or a failure. Software decides.
    Unknown,
    /// IPv4 with TCP; both checksums are right.
    Tcp,
    /// IPv4 with UDP; both checksums are right.
    Udp,
}

/// The reason why a received descriptor holds no frame for the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxError {
    /// The frame check sequence does not match.
    Crc,
    /// Shorter than an Ethernet frame may be.
    Runt,
    /// Longer than the chip's receive watchdog allows.
    Watchdog,
    /// An error that the chip does not name.
    Unnamed,
    /// A part of a frame: it did not fit into one buffer.
    Fragmented,
    /// A length that no frame in the buffer can have: the device lies, or is broken.
    Length,
}

/// A received frame, as far as its descriptor describes it.
///
/// # Invariants
///
/// `length` is at least [`FRAME_MIN`], and with the FCS at most the size of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxFrameInfo {
    length: u32,
    checksum: RxChecksum,
}

impl RxFrameInfo {
    /// Returns the length in bytes, from the Ethernet header on, without the FCS.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Returns what the chip found out about the checksums.
    pub fn checksum(&self) -> RxChecksum {
        self.checksum
    }
}

/// The decoder of the opts1 that the chip leaves in an RX descriptor.
pub struct RxStatus;

impl RxStatus {
    /// Decodes `opts1` of a descriptor whose buffer has `buffer_size` bytes.
    ///
    /// It has an answer for every value; whether [`OWN`] is set is not looked at.
    ///
    /// # Errors
    ///
    /// The first that applies: an error that the chip reports, a fragment, an impossible length.
    #[inline]
    pub fn decode(opts1: FromDevice<u32>, buffer_size: u32) -> Result<RxFrameInfo, RxError> {
        if opts1.bits(RX_ERROR) != 0 {
            return Err(Self::error(opts1));
        }
        if opts1.bits(FS | LS) != FS | LS {
            return Err(RxError::Fragmented);
        }

        let length = FromDevice::new(opts1.bits(RX_LENGTH))
            .bounded(FRAME_MIN + FCS_LENGTH..=buffer_size)
            .and_then(|length| length.checked_sub(FCS_LENGTH))
            .ok_or(RxError::Length)?;

        const FAILED: u32 = RX_IP_FAILED | RX_UDP_FAILED | RX_TCP_FAILED;
        let checksum = match opts1.bits(RX_TCP | RX_UDP | FAILED) {
            RX_TCP => RxChecksum::Tcp,
            RX_UDP => RxChecksum::Udp,
            _ => RxChecksum::Unknown,
        };

        // INVARIANT: `bounded` checked both ends.
        Ok(RxFrameInfo { length, checksum })
    }

    /// Returns which error the chip reports in `opts1`, which has [`RX_ERROR`] set.
    #[cold]
    fn error(opts1: FromDevice<u32>) -> RxError {
        if opts1.bits(RX_WATCHDOG) != 0 {
            RxError::Watchdog
        } else if opts1.bits(RX_RUNT) != 0 {
            RxError::Runt
        } else if opts1.bits(RX_CRC) != 0 {
            RxError::Crc
        } else {
            RxError::Unnamed
        }
    }

    /// The same for a frame that has a wrong FCS or is a runt, as if it had not; `None` for any
    /// other.
    #[cold]
    pub fn decode_damaged(opts1: FromDevice<u32>, buffer_size: u32) -> Option<RxFrameInfo> {
        if opts1.bits(RX_WATCHDOG) != 0 || opts1.bits(RX_CRC | RX_RUNT) == 0 {
            return None;
        }
        let whole = FromDevice::new(opts1.bits(!RX_ERROR));
        let info = Self::decode(whole, buffer_size).ok()?;
        Some(RxFrameInfo {
            checksum: RxChecksum::Unknown,
            ..info
        })
    }
}
