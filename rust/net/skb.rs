// SPDX-License-Identifier: GPL-2.0

//! Socket buffers.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    device::NetDevice,
    pci,
    xdp::XdpFrame, //
};
use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// The most fragments that a frame has, the linear area included.
pub const MAX_FRAGMENTS: u32 = bindings::NET_MAX_SKB_FRAGS + 1;

/// The protocol in an IPv4 packet, as far as checksums are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Something else, by its number.
    Other(u8),
}

/// What a frame wants done with it when it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    None,
    /// Fill in the checksum of this protocol over IPv4.
    Checksum(Protocol),
    /// Cut it into TCP segments with this many bytes of payload, over IPv4.
    Segment(u32),
}

/// A frame (`struct sk_buff`) to look at.
///
/// # Invariants
///
/// The `sk_buff` is live and nobody writes to it while the reference is: who sends a frame gave it
/// up, and who receives one has not handed it up.
#[repr(transparent)]
pub struct Skb(Opaque<bindings::sk_buff>);

impl Skb {
    /// # Safety
    ///
    /// `skb` must fulfil the type invariants for `'a`.
    pub(super) unsafe fn from_raw<'a>(skb: *mut bindings::sk_buff) -> &'a Self {
        // SAFETY: `Skb` is a transparent wrapper; the rest is the caller's promise.
        unsafe { &*skb.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.get()
    }

    /// Reads a field.
    ///
    /// # Safety
    ///
    /// `struct sk_buff` must have a field of type `F` at this offset.
    #[inline]
    unsafe fn field<F: Copy>(&self, offset: usize) -> F {
        // SAFETY: By the type invariants the structure is live, and by the safety requirements the field is there. No other
        // thread writes to these fields while there is a `Skb`.
        unsafe { self.as_raw().byte_add(offset).cast::<F>().read() }
    }

    /// Returns the length of the frame in bytes, all fragments included.
    pub fn length(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned int len`.
        unsafe { self.field(bindings::NET_SKB_LEN) }
    }

    /// Returns the length of the linear area in bytes.
    fn head_length(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned int data_len`.
        let paged: u32 = unsafe { self.field(bindings::NET_SKB_DATA_LEN) };
        self.length().saturating_sub(paged)
    }

    /// Reads a field of what follows the linear area.
    ///
    /// # Safety
    ///
    /// `struct skb_shared_info` must have a field of type `F` at this offset.
    #[inline]
    unsafe fn shared_field<F: Copy>(&self, offset: usize) -> F {
        // SAFETY: Those are the offsets of `unsigned char *head` and `sk_buff_data_t end`, which counts from there (see
        // bindings.h). There a live frame has its `skb_shared_info`, in which nothing but the count of references is written
        // while clones share it; the rest is the caller's promise.
        unsafe {
            let head: *const u8 = self.field(bindings::NET_SKB_HEAD);
            let end: u32 = self.field(bindings::NET_SKB_END);
            head.add(end as usize + offset).cast::<F>().read()
        }
    }

    /// Returns the number of fragments besides the linear area.
    fn pages(&self) -> u32 {
        // SAFETY: That is the offset of `__u8 nr_frags`.
        let pages: u8 = unsafe { self.shared_field(bindings::NET_SHARED_PAGES) };
        pages.into()
    }

    /// Returns the payload of each frame that this one is to be cut into, in bytes; 0 if it is not.
    fn segment_size(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned short gso_size`.
        let size: u16 = unsafe { self.shared_field(bindings::NET_SHARED_GSO_SIZE) };
        size.into()
    }

    /// Returns the number of fragments, the linear area included.
    pub fn fragments(&self) -> u32 {
        self.pages() + 1
    }

    /// Returns what the frame wants done with it.
    #[inline]
    pub fn offload(&self) -> Offload {
        let size = self.segment_size();
        if size != 0 {
            return Offload::Segment(size);
        }
        // SAFETY: By the type invariants. A frame that wants its checksum computed has its headers
        // in the linear area, and its network header set; only IPv4 is announced.
        unsafe {
            if !bindings::net_helper_skb_csum_partial(self.as_raw()) {
                return Offload::None;
            }
            Offload::Checksum(match bindings::net_helper_skb_ip_protocol(self.as_raw()) {
                6 => Protocol::Tcp,
                17 => Protocol::Udp,
                other => Protocol::Other(other),
            })
        }
    }

    /// Returns how many frames this one is to be cut into; 0 if it is not.
    pub fn segments(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned short gso_segs`.
        let segments: u16 = unsafe { self.shared_field(bindings::NET_SHARED_GSO_SEGMENTS) };
        segments.into()
    }

    /// Returns whether the frame wants its checksum computed, and is not to be cut.
    pub fn wants_checksum(&self) -> bool {
        matches!(self.offload(), Offload::Checksum(_))
    }

    /// Returns whether the frame, without its Ethernet header, or each packet that it is to be cut into, is longer than `mtu`.
    pub fn exceeds(&self, mtu: u32) -> bool {
        // SAFETY: By the type invariants; a frame that is to be cut has its headers set.
        unsafe { bindings::net_helper_skb_exceeds(self.as_raw(), mtu) }
    }

    /// Returns the VLAN tag to be inserted into the frame, if any.
    pub fn vlan_tag(&self) -> Option<u16> {
        // SAFETY: Those are the offsets of `u32 vlan_all`, which is not zero if there is a tag, and of `__u16 vlan_tci`.
        unsafe {
            let all: u32 = self.field(bindings::NET_SKB_VLAN);
            (all != 0).then(|| self.field(bindings::NET_SKB_VLAN_TAG))
        }
    }

    /// Takes the software time stamp of the transmission, if one was asked for.
    pub fn tx_timestamp(&self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::net_helper_skb_tx_timestamp(self.as_raw()) };
    }
}

/// An owned frame to be sent.
///
/// # Invariants
///
/// The pointer is to a live `sk_buff`, and this value owns the only reference to it: the core passes frames with more than one
/// reference only to devices that allow it (`IFF_TX_SKB_SHARING`), and ours do not.
pub struct SkBuff(NonNull<bindings::sk_buff>);

// SAFETY: An `sk_buff` belongs to no CPU; ownership may move.
unsafe impl Send for SkBuff {}

impl SkBuff {
    /// Takes over a frame.
    ///
    /// # Safety
    ///
    /// `skb` must be a live `sk_buff` of which the caller gives up the only reference.
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(skb)
    }

    /// Makes a frame of `data`, to be sent by `dev`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn from_slice(dev: &NetDevice, data: &[u8]) -> Result<Self> {
        let length = u32::try_from(data.len())?;
        // SAFETY: The device is live.
        let skb = unsafe { bindings::net_helper_netdev_alloc_skb(dev.as_raw(), length) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: The frame is new, and has room for that many bytes. Its reference is taken over.
        unsafe {
            bindings::net_helper_skb_put_data(skb.as_ptr(), data.as_ptr().cast(), length);
            Ok(Self::from_raw(skb))
        }
    }

    /// Gives the reference up to the caller.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// Frees a frame that was sent.
    ///
    /// # Safety
    ///
    /// `budget` must be that of the NAPI poll this runs in, or 0.
    unsafe fn consume(self, budget: i32) {
        // SAFETY: The reference is given up. With a budget of 0 the function does not assume NAPI; the rest is the caller's promise.
        unsafe { bindings::napi_consume_skb(self.into_raw(), budget) };
    }

    /// Computes the checksum that was left to the device.
    ///
    /// # Errors
    ///
    /// `ENOMEM` or `EINVAL`: the frame cannot be sent.
    pub fn checksum_in_software(&mut self) -> Result {
        // SAFETY: By the type invariants, and whoever owns a frame to be sent may write to its header,
        // which the function makes sure is nobody else's.
        to_result(unsafe { bindings::skb_checksum_help(self.as_raw()) })
    }
}

impl Deref for SkBuff {
    type Target = Skb;

    fn deref(&self) -> &Skb {
        // SAFETY: By the type invariants, and an owned frame is written with `&mut` only.
        unsafe { Skb::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for SkBuff {
    /// Frees a frame that was not sent or not handed up, in any context.
    fn drop(&mut self) {
        // SAFETY: By the type invariant this gives up the reference that is owned.
        unsafe { bindings::net_helper_kfree_skb_any(self.as_raw()) };
    }
}

/// An owned frame that was received, to be handed up by [`RxContext::receive`](super::contexts::RxContext::receive).
///
/// # Invariants
///
/// The pointer is to a live `sk_buff` of which this value has the only reference, whose linear area holds an Ethernet header at
/// least.
pub struct RxSkb(NonNull<bindings::sk_buff>);

// SAFETY: An `sk_buff` belongs to no CPU; ownership may move.
unsafe impl Send for RxSkb {}

/// The shortest frame that has an Ethernet header, in bytes.
pub(super) const ETHERNET_HEADER: u32 = bindings::ETH_HLEN;

impl RxSkb {
    /// Takes over a frame.
    ///
    /// # Safety
    ///
    /// `skb` must be a live `sk_buff` of which the caller gives up the only reference, with [`ETHERNET_HEADER`] bytes or more in its
    /// linear area.
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(skb)
    }

    /// Takes over a frame, and makes it the `length` bytes from `headroom` on, counted from the start of the linear area.
    ///
    /// # Safety
    ///
    /// `skb` must be a live `sk_buff` of which the caller gives up the only reference. It must be new and empty, without pages, and
    /// its linear area have at least `headroom + length` bytes; `length` must be [`ETHERNET_HEADER`] or more.
    pub(super) unsafe fn with_frame(
        skb: NonNull<bindings::sk_buff>,
        headroom: u32,
        length: u32,
    ) -> Self {
        let raw = skb.as_ptr();
        // SAFETY: Those are the offsets of `unsigned char *data`, `sk_buff_data_t tail`, which counts from the start (see
        // bindings.h), and `unsigned int len`. By the safety requirements it is this function's to write.
        unsafe {
            let head: *mut u8 = Skb::from_raw(raw).field(bindings::NET_SKB_HEAD);
            let data = head.add(headroom as usize);
            raw.byte_add(bindings::NET_SKB_DATA)
                .cast::<*mut u8>()
                .write(data);
            raw.byte_add(bindings::NET_SKB_TAIL)
                .cast::<u32>()
                .write(headroom + length);
            raw.byte_add(bindings::NET_SKB_LEN)
                .cast::<u32>()
                .write(length);
        }
        // INVARIANT: By the safety requirements.
        Self(skb)
    }

    fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Gives the reference up to the caller.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// Returns the length of the frame in bytes.
    pub fn length(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { Skb::from_raw(self.as_raw()) }.length()
    }

    /// Records that an XDP program has put this many bytes of metadata in front of the frame.
    pub(super) fn set_metadata(&mut self, length: u32) {
        if length > 0 {
            // SAFETY: By the type invariants the frame is this value's alone.
            unsafe { bindings::net_helper_skb_set_metadata(self.as_raw(), length) };
        }
    }

    /// Records that the device has found the checksum of the frame right.
    pub fn set_checksum_right(&mut self) {
        // SAFETY: By the type invariants the frame is this value's alone.
        unsafe { bindings::net_helper_skb_csum_unnecessary(self.as_raw()) };
    }

    /// Records the VLAN tag that the device has stripped from the frame.
    pub fn set_vlan_tag(&mut self, tag: u16) {
        // SAFETY: By the type invariants the frame is this value's alone.
        unsafe { bindings::net_helper_skb_vlan_put_tag(self.as_raw(), tag) };
    }
}

impl Drop for RxSkb {
    /// Frees a frame that was not handed up, in any context.
    fn drop(&mut self) {
        // SAFETY: By the type invariant this gives up the reference that is owned.
        unsafe { bindings::net_helper_kfree_skb_any(self.as_raw()) };
    }
}

/// Whom a mapping keeps alive.
enum Owned {
    /// Nobody: another piece of the same frame does.
    Nothing,
    Skb(SkBuff),
    Xdp(XdpFrame),
}

/// What a poll has completed; see [`PollContext::complete`](super::contexts::PollContext::complete).
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

    /// The same of those without.
    pub(super) fn xdp_frames(&self) -> (u32, u32) {
        (self.xdp_packets, self.xdp_bytes)
    }
}

/// What is mapped of a frame, and so how it is unmapped.
#[derive(Clone, Copy)]
enum Area {
    Head,
    Page,
}

/// A piece of a frame that is mapped for a device to read. That of the last piece owns the frame.
///
/// # Invariants
///
/// `address` is a live mapping of `length` bytes for `pdev`, made as `area` says.
pub struct MappedFragment<'a> {
    pdev: &'a pci::Device,
    address: u64,
    length: u32,
    area: Area,
    frame: Owned,
}

impl<'a> MappedFragment<'a> {
    /// Maps the linear area of a frame.
    fn head(pdev: &'a pci::Device, skb: &Skb) -> Result<Self> {
        let length = skb.head_length();
        // SAFETY: The device is bound, and the linear area has `length` bytes.
        let address = unsafe {
            bindings::net_helper_dma_map_single(
                pci::device(pdev),
                skb.field::<*mut c_void>(bindings::NET_SKB_DATA),
                length as usize,
            )
        };
        Self::checked(pdev, address, length, Area::Head)
    }

    /// Maps a fragment of a frame besides the linear area; `nth` must be below [`Skb::pages`].
    fn page(pdev: &'a pci::Device, skb: &Skb, nth: u32) -> Result<Self> {
        if nth >= skb.pages() {
            return Err(EINVAL);
        }
        // SAFETY: The device is bound, and the frame has that fragment.
        let (address, length) = unsafe {
            (
                bindings::net_helper_dma_map_frag(pci::device(pdev), skb.as_raw(), nth),
                bindings::net_helper_skb_frag_size(skb.as_raw(), nth),
            )
        };
        Self::checked(pdev, address, length, Area::Page)
    }

    fn checked(pdev: &'a pci::Device, address: u64, length: u32, area: Area) -> Result<Self> {
        // SAFETY: `address` is the answer of a mapping function for this device.
        if unsafe { bindings::net_helper_dma_mapping_error(pci::device(pdev), address) } {
            return Err(ENOMEM);
        }
        // INVARIANT: The mapping succeeded.
        Ok(Self {
            pdev,
            address,
            length,
            area,
            frame: Owned::Nothing,
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
        let address = unsafe {
            bindings::net_helper_dma_map_single(pci::device(pdev), frame.data(), length as usize)
        };
        let mut mapped = Self::checked(pdev, address, length, Area::Head)?;
        mapped.frame = Owned::Xdp(frame);
        Ok(mapped)
    }

    /// Returns whether this is a frame without an `sk_buff`.
    pub fn is_xdp(&self) -> bool {
        matches!(self.frame, Owned::Xdp(_))
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
        !matches!(self.frame, Owned::Nothing)
    }

    /// Unmaps a piece that was sent. If it is the last of its frame, frees the frame and adds it to `all`.
    ///
    /// # Safety
    ///
    /// `budget` must be that of the NAPI poll this runs in.
    #[inline]
    pub(super) unsafe fn finish(mut self, budget: i32, all: &mut Completed) {
        let frame = core::mem::replace(&mut self.frame, Owned::Nothing);
        drop(self);
        match frame {
            Owned::Nothing => {}
            Owned::Skb(skb) => {
                all.packets = all.packets.wrapping_add(1);
                all.bytes = all.bytes.wrapping_add(skb.length());
                // SAFETY: By the safety requirement.
                unsafe { skb.consume(budget) };
            }
            Owned::Xdp(frame) => {
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
                Area::Head => bindings::net_helper_dma_unmap_single(
                    device,
                    self.address,
                    self.length as usize,
                ),
                Area::Page => {
                    bindings::net_helper_dma_unmap_page(device, self.address, self.length as usize)
                }
            }
        };
    }
}

/// Maps a frame for a device to read, piece by piece: returns the last piece, which owns the frame; `each` takes those before
/// it in order.
///
/// # Errors
///
/// `ENOMEM` if a piece cannot be mapped; that of `each`. The frame is freed then, and `each` should
/// give up what it took.
#[inline]
pub fn map<'a>(
    pdev: &'a pci::Device,
    skb: SkBuff,
    mut each: impl FnMut(MappedFragment<'a>) -> Result,
) -> Result<MappedFragment<'a>> {
    let pages = skb.pages();
    let mut piece = MappedFragment::head(pdev, &skb)?;
    if pages > 0 {
        piece = map_pages(pdev, &skb, pages, piece, &mut each)?;
    }
    piece.frame = Owned::Skb(skb);
    Ok(piece)
}

/// Maps the pages of a frame; `each` takes `piece` and all of them but the last, which is returned.
#[inline(never)]
fn map_pages<'a>(
    pdev: &'a pci::Device,
    skb: &Skb,
    pages: u32,
    mut piece: MappedFragment<'a>,
    each: &mut dyn FnMut(MappedFragment<'a>) -> Result,
) -> Result<MappedFragment<'a>> {
    for nth in 0..pages {
        each(piece)?;
        piece = MappedFragment::page(pdev, skb, nth)?;
    }
    Ok(piece)
}
