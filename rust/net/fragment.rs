// SPDX-License-Identifier: GPL-2.0

//! Frames that are mapped for a device to read, piece by piece.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     contexts::PollContext,
//!     fragment::{
//!         self,
//!         Completed,
//!         MappedFragment,
//!         Pieces, //
//!     },
//!     owned::Owned,
//!     pci,
//!     skb::SkBuff, //
//! };
//! use kernel::prelude::*;
//!
//! /// A ring of one descriptor.
//! struct Slot<'a>(Option<MappedFragment<'a>>);
//!
//! impl<'a> Pieces<'a> for Slot<'a> {
//!     fn take(&mut self, piece: MappedFragment<'a>) -> Result {
//!         if self.0.is_some() {
//!             return Err(EBUSY);
//!         }
//!         self.0 = Some(piece);
//!         Ok(())
//!     }
//! }
//!
//! /// Returns where the device finds the frame.
//! fn send<'a>(
//!     pdev: &'a pci::Device,
//!     slot: &mut Slot<'a>,
//!     skb: Owned<SkBuff>,
//! ) -> Result<(u64, u32)> {
//!     fragment::map(pdev, skb, slot)?;
//!     let piece = slot.0.as_ref().ok_or(EINVAL)?;
//!     Ok((piece.dma_address(), piece.length()))
//! }
//!
//! /// The device has sent it.
//! fn complete<P>(cx: &PollContext<'_, P>, slot: &mut Slot<'_>) {
//!     let mut all = Completed::default();
//!     if let Some(piece) = slot.0.take_if(|piece| cx.may_complete(piece)) {
//!         cx.complete(piece, &mut all);
//!     }
//!     cx.completed(all);
//! }
//! ```
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use super::{
    owned::Owned,
    pci,
    skb::SkBuff,
    xdp::XdpFrame, //
};
use crate::bindings;
use kernel::prelude::*;

/// The frame that a mapping keeps alive.
enum FrameOwner {
    /// Nothing: another piece of the same frame does.
    Nothing,
    Skb(Owned<SkBuff>),
    Xdp(XdpFrame),
}

/// The frames that a poll has completed; see
/// [`PollContext::complete`](super::contexts::PollContext::complete).
#[derive(Default)]
pub struct Completed {
    packets: u32,
    bytes: u32,
    xdp_packets: u32,
    xdp_bytes: u32,
}

impl Completed {
    /// Returns how many frames with an `sk_buff` there were, and their bytes.
    pub(super) fn frames(&self) -> (u32, u32) {
        (self.packets, self.bytes)
    }

    /// Returns the same of frames without one.
    pub(super) fn xdp_frames(&self) -> (u32, u32) {
        (self.xdp_packets, self.xdp_bytes)
    }
}

/// The part of a frame that is mapped, and so how it is unmapped.
#[derive(Clone, Copy)]
enum Area {
    Head,
    Page,
}

/// A piece of a frame that is mapped for a device to read. The last piece owns the frame.
///
/// # Invariants
///
/// `address` is a live mapping of `length` bytes for `pdev`, made as `area` says.
pub struct MappedFragment<'a> {
    pdev: &'a pci::Device,
    address: u64,
    length: u32,
    area: Area,
    frame: FrameOwner,
}

impl<'a> MappedFragment<'a> {
    /// Maps the linear area of a frame.
    fn head(pdev: &'a pci::Device, skb: &SkBuff) -> Result<Self> {
        let length = skb.headlen();
        // SAFETY: The device is bound, and the linear area has `length` bytes.
        let address = unsafe {
            bindings::dma_map_single(
                pci::device(pdev),
                skb.field::<*mut c_void>(bindings::NET_SKB_DATA),
                length as usize,
            )
        };
        Self::checked(pdev, address, length, Area::Head)
    }

    /// Maps a frame that has no page fragments.
    #[inline(always)]
    fn whole(pdev: &'a pci::Device, skb: Owned<SkBuff>) -> Result<Self> {
        let mut piece = Self::head(pdev, &skb)?;
        piece.frame = FrameOwner::Skb(skb);
        Ok(piece)
    }

    /// Maps the page fragment `nth` of a frame, which must be below [`SkBuff::nr_frags`].
    fn frag(pdev: &'a pci::Device, skb: &SkBuff, nth: u32) -> Result<Self> {
        if nth >= skb.nr_frags() {
            return Err(EINVAL);
        }
        // SAFETY: The device is bound, and the frame has that fragment.
        let (address, length) = unsafe {
            (
                bindings::skb_frag_dma_map(pci::device(pdev), skb.as_raw(), nth),
                bindings::skb_frag_size(skb.as_raw(), nth),
            )
        };
        Self::checked(pdev, address, length, Area::Page)
    }

    /// Makes one of the answer of a mapping function for this device: all ones if it failed.
    #[inline]
    fn checked(pdev: &'a pci::Device, address: u64, length: u32, area: Area) -> Result<Self> {
        if address == bindings::dma_addr_t::MAX {
            return Err(ENOMEM);
        }
        // INVARIANT: The mapping succeeded.
        Ok(Self {
            pdev,
            address,
            length,
            area,
            frame: FrameOwner::Nothing,
        })
    }

    /// Maps a frame without an `sk_buff`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if it cannot be mapped; it is dropped then.
    pub fn xdp(pdev: &'a pci::Device, frame: XdpFrame) -> Result<Self> {
        let length = frame.length();
        // SAFETY: The device is bound, and the frame has `length` bytes.
        let address =
            unsafe { bindings::dma_map_single(pci::device(pdev), frame.data(), length as usize) };
        let mut mapped = Self::checked(pdev, address, length, Area::Head)?;
        mapped.frame = FrameOwner::Xdp(frame);
        Ok(mapped)
    }

    /// Returns whether this is a frame without an `sk_buff`.
    pub fn is_xdp(&self) -> bool {
        matches!(self.frame, FrameOwner::Xdp(_))
    }

    /// Returns the address for the device.
    pub fn dma_address(&self) -> u64 {
        self.address
    }

    /// Returns the length in bytes.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Returns whether this is the last piece of a frame: the one that owns it.
    pub fn is_last(&self) -> bool {
        !matches!(self.frame, FrameOwner::Nothing)
    }

    /// Unmaps a piece that was sent. If it is the last of its frame, frees the frame and adds it to
    /// `all`.
    ///
    /// # Safety
    ///
    /// `budget` must be that of the NAPI poll this runs in.
    #[inline]
    pub(super) unsafe fn finish(mut self, budget: i32, all: &mut Completed) {
        let frame = core::mem::replace(&mut self.frame, FrameOwner::Nothing);
        drop(self);
        match frame {
            FrameOwner::Nothing => {}
            FrameOwner::Skb(skb) => {
                all.packets = all.packets.wrapping_add(1);
                all.bytes = all.bytes.wrapping_add(skb.length());
                // SAFETY: By the safety requirement.
                unsafe { skb.consume(budget) };
            }
            FrameOwner::Xdp(frame) => {
                all.xdp_packets = all.xdp_packets.wrapping_add(1);
                all.xdp_bytes = all.xdp_bytes.wrapping_add(frame.length());
            }
        }
    }
}

impl Drop for MappedFragment<'_> {
    fn drop(&mut self) {
        let device = pci::device(self.pdev);
        // SAFETY: By the type invariants this is such a mapping, and it is not used again. The
        // frame is dropped after this.
        unsafe {
            match self.area {
                Area::Head => {
                    bindings::dma_unmap_single(device, self.address, self.length as usize)
                }
                Area::Page => bindings::dma_unmap_page(device, self.address, self.length as usize),
            }
        };
    }
}

/// A taker of the pieces of a frame that is mapped: the slots of a transmit ring, or a closure.
pub trait Pieces<'a> {
    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// It could not be taken, and is dropped.
    fn take(&mut self, piece: MappedFragment<'a>) -> Result;
}

impl<'a, F: FnMut(MappedFragment<'a>) -> Result> Pieces<'a> for F {
    fn take(&mut self, piece: MappedFragment<'a>) -> Result {
        self(piece)
    }
}

/// Maps a frame for a device to read, piece by piece: `pieces` takes all of them in order. The last
/// owns the frame.
///
/// # Errors
///
/// `ENOMEM` if a piece cannot be mapped; that of [`Pieces::take`]. The frame is freed then, and
/// `pieces` should give up what it took.
// A call would save and restore more registers than it needs.
#[inline(always)]
pub fn map<'a>(pdev: &'a pci::Device, skb: Owned<SkBuff>, pieces: &mut impl Pieces<'a>) -> Result {
    if skb.nr_frags() > 0 {
        return map_frags(pdev, skb, pieces);
    }
    pieces.take(MappedFragment::whole(pdev, skb)?)
}

/// Maps a frame without page fragments, as all are without
/// [`Features::SG`](super::features::Features), for a device to read.
///
/// # Errors
///
/// `EINVAL` if it has page fragments, `ENOMEM` if it cannot be mapped. The frame is freed then.
#[allow(
    dead_code,
    reason = "for drivers of devices that take a frame in one piece"
)]
pub fn map_linear<'a>(pdev: &'a pci::Device, skb: Owned<SkBuff>) -> Result<MappedFragment<'a>> {
    if skb.nr_frags() > 0 {
        return Err(EINVAL);
    }
    MappedFragment::whole(pdev, skb)
}

/// The same for a frame with page fragments. Most have none: what only these need would cost the
/// others registers.
#[inline(never)]
fn map_frags<'a>(pdev: &'a pci::Device, skb: Owned<SkBuff>, pieces: &mut dyn Pieces<'a>) -> Result {
    let mut piece = MappedFragment::head(pdev, &skb)?;
    for nth in 0..skb.nr_frags() {
        pieces.take(piece)?;
        piece = MappedFragment::frag(pdev, &skb, nth)?;
    }
    piece.frame = FrameOwner::Skb(skb);
    pieces.take(piece)
}
