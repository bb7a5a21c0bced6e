// SPDX-License-Identifier: GPL-2.0

//! Socket buffers.
//!
//! # Examples
//!
//! ```
//! use crate::net::skb::{
//!     Protocol,
//!     RxSkBuff,
//!     SkBuff, //
//! };
//!
//! /// The bits by which a device computes a checksum; `None` if it cannot.
//! fn checksum(skb: &SkBuff) -> Option<u32> {
//!     match skb.checksum() {
//!         None => Some(0),
//!         Some(Protocol::Tcp) => Some(1 << 16),
//!         Some(Protocol::Udp) => Some(1 << 17),
//!         Some(Protocol::Other) => None,
//!     }
//! }
//!
//! /// Notes what the device has found out about a received frame.
//! fn note(skb: &mut RxSkBuff, checked: bool, tag: Option<u16>) {
//!     if checked {
//!         skb.set_csum_unnecessary();
//!     }
//!     if let Some(tag) = tag {
//!         skb.set_vlan_tag(tag);
//!     }
//! }
//! ```
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    device::NetDevice,
    owned::{
        Ownable,
        Owned, //
    }, //
};
use crate::bindings;
use core::{
    mem::ManuallyDrop,
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
    /// Something else.
    Other,
}

/// A borrowed `struct sk_buff`, which is not written to.
///
/// # Invariants
///
/// The `sk_buff` is live and nothing writes to it as long as the reference lives: a frame to be
/// sent was given up by its sender, and one that was received has not been handed up.
#[repr(transparent)]
pub struct SkBuff(Opaque<bindings::sk_buff>);

impl SkBuff {
    /// Returns the frame behind a pointer.
    ///
    /// # Safety
    ///
    /// `skb` must fulfil the type invariants for `'a`.
    pub(super) unsafe fn from_raw<'a>(skb: *mut bindings::sk_buff) -> &'a Self {
        // SAFETY: `SkBuff` is a transparent wrapper; the rest by the safety requirements.
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
    pub(super) unsafe fn field<F: Copy>(&self, offset: usize) -> F {
        // SAFETY: By the type invariants the structure is live, and by the safety requirements the
        // field is there. No other thread writes to these fields while there is a `SkBuff`.
        unsafe { self.as_raw().byte_add(offset).cast::<F>().read() }
    }

    /// Returns the length of the frame in bytes, all fragments included.
    pub fn length(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned int len`.
        unsafe { self.field(bindings::NET_SKB_LEN) }
    }

    /// Returns the length of the linear area in bytes.
    pub(super) fn headlen(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned int data_len`.
        let paged: u32 = unsafe { self.field(bindings::NET_SKB_DATA_LEN) };
        self.length().saturating_sub(paged)
    }

    /// Reads a field of the `skb_shared_info` behind the linear area.
    ///
    /// # Safety
    ///
    /// `struct skb_shared_info` must have a field of type `F` at this offset.
    #[inline]
    unsafe fn shared_field<F: Copy>(&self, offset: usize) -> F {
        // SAFETY: Those are the offsets of `unsigned char *head` and `sk_buff_data_t end`, which
        // counts from there (see bindings.h). There a live frame has its `skb_shared_info`, in
        // which nothing but the count of references is written while clones share it; the rest by
        // the safety requirements.
        unsafe {
            let head: *const u8 = self.field(bindings::NET_SKB_HEAD);
            let end: u32 = self.field(bindings::NET_SKB_END);
            head.add(end as usize + offset).cast::<F>().read()
        }
    }

    /// Returns the number of page fragments, besides the linear area.
    pub(super) fn nr_frags(&self) -> u32 {
        // SAFETY: That is the offset of `__u8 nr_frags`.
        let frags: u8 = unsafe { self.shared_field(bindings::NET_SHARED_NR_FRAGS) };
        frags.into()
    }

    /// Returns the TCP payload of each segment in bytes, over IPv4, if the frame is to be segmented
    /// (TSO); otherwise 0.
    #[inline]
    pub fn gso_size(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned short gso_size`.
        let size: u16 = unsafe { self.shared_field(bindings::NET_SHARED_GSO_SIZE) };
        size.into()
    }

    /// Returns the number of fragments, the linear area included.
    pub fn fragments(&self) -> u32 {
        self.nr_frags() + 1
    }

    /// Returns whether a checksum is to be filled in (`CHECKSUM_PARTIAL`).
    #[inline]
    fn is_partial(&self) -> bool {
        // SAFETY: That is the offset of a byte, in which `ip_summed` is (`check_bit_fields` in
        // helpers/skbuff.c).
        let bits: u8 = unsafe { self.field(bindings::NET_SKB_PKT_TYPE) };
        bits >> bindings::NET_SKB_SUMMED_SHIFT & 3 == bindings::NET_CHECKSUM_PARTIAL
    }

    /// Returns the protocol over IPv4 whose checksum is to be filled in (`CHECKSUM_PARTIAL`), if
    /// one is; in a frame that is to be segmented, in each segment.
    ///
    /// Only of a frame to be sent: [`check_features`](super::operations::Transmit::check_features)
    /// is asked about other protocols than IPv4, too, whose headers have something else there.
    #[inline]
    pub fn checksum(&self) -> Option<Protocol> {
        if !self.is_partial() {
            return None;
        }
        // SAFETY: Those are the offsets of `unsigned char *head` and `__u16 network_header`, which
        // counts from there and is not beyond the end of the data. Behind that `skb_shared_info`
        // follows in the same allocation, so that the byte is in it, whatever the protocol.
        let protocol = unsafe {
            let head: *const u8 = self.field(bindings::NET_SKB_HEAD);
            let network: u16 = self.field(bindings::NET_SKB_NETWORK_HEADER);
            head.add(usize::from(network) + bindings::NET_IP_PROTOCOL)
                .read()
        };
        Some(match protocol {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            _ => Protocol::Other,
        })
    }

    /// Returns the number of segments of a frame that is to be segmented; otherwise 0.
    pub fn gso_segs(&self) -> u32 {
        // SAFETY: That is the offset of `unsigned short gso_segs`.
        let segments: u16 = unsafe { self.shared_field(bindings::NET_SHARED_GSO_SEGS) };
        segments.into()
    }

    /// Returns whether the checksum of the frame is to be filled in, and it is not to be segmented.
    pub fn wants_checksum(&self) -> bool {
        self.gso_size() == 0 && self.is_partial()
    }

    /// Returns whether the frame, without its Ethernet header, or each of its segments, is longer
    /// than `mtu`.
    pub fn exceeds(&self, mtu: u32) -> bool {
        if self.gso_size() == 0 {
            return self.length() > bindings::ETH_HLEN + mtu;
        }
        // SAFETY: By the type invariants; a frame that is to be segmented has its headers set.
        unsafe { !bindings::skb_gso_validate_network_len(self.as_raw(), mtu) }
    }

    /// Returns the VLAN tag to be inserted into the frame, if any.
    pub fn vlan_tag(&self) -> Option<u16> {
        // SAFETY: Those are the offsets of `u32 vlan_all`, which is not zero if there is a tag, and
        // of `__u16 vlan_tci`.
        unsafe {
            let all: u32 = self.field(bindings::NET_SKB_VLAN);
            (all != 0).then(|| self.field(bindings::NET_SKB_VLAN_TAG))
        }
    }

    /// Takes the software time stamp of the transmission, if one was asked for, or has the PHY take
    /// one.
    #[inline]
    pub fn tx_timestamp(&self) {
        // SAFETY: That is the offset of `__u8 tx_flags`.
        let wanted: u8 = unsafe { self.shared_field(bindings::NET_SHARED_TX_FLAGS) };
        if wanted != 0 {
            // SAFETY: By the type invariants.
            unsafe { bindings::skb_tx_timestamp(self.as_raw()) };
        }
    }
}

// SAFETY: It belongs to no CPU.
unsafe impl Send for SkBuff {}

// SAFETY: A frame that was not given away stays live until it is freed.
unsafe impl Ownable for SkBuff {
    /// Frees a frame that was not sent, in any context.
    unsafe fn release(this: NonNull<Self>) {
        // SAFETY: By the safety requirements.
        unsafe { bindings::dev_kfree_skb_any(this.as_ptr().cast()) };
    }
}

/// An owned frame to be sent: this is the only reference to it. The core passes frames with more
/// than one reference only to devices that allow it (`IFF_TX_SKB_SHARING`), and ours do not.
impl Owned<SkBuff> {
    /// Makes a frame of `data`, to be sent by `dev`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn from_slice(dev: &NetDevice, data: &[u8]) -> Result<Self> {
        let length = u32::try_from(data.len())?;
        // SAFETY: The device is live.
        let skb = unsafe { bindings::netdev_alloc_skb(dev.as_raw(), length) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: The frame is new, and has room for that many bytes. Its reference is taken over.
        unsafe {
            bindings::skb_put_data(skb.as_ptr(), data.as_ptr().cast(), length);
            Ok(Self::from_raw(skb.cast()))
        }
    }

    /// Frees a frame that was sent.
    ///
    /// # Safety
    ///
    /// `budget` must be that of the NAPI poll this runs in, or 0.
    pub(super) unsafe fn consume(self, budget: i32) {
        // SAFETY: The reference is given up. With a budget of 0 the function does not assume NAPI;
        // the rest by the safety requirements.
        unsafe { bindings::napi_consume_skb(Self::into_raw(self).as_ptr().cast(), budget) };
    }

    /// Computes the checksum that was left to the device.
    ///
    /// # Errors
    ///
    /// `ENOMEM` or `EINVAL`: the frame cannot be sent.
    pub fn checksum_help(&mut self) -> Result {
        // SAFETY: By the type invariants, and a frame that is owned may be written to its header,
        // which the function makes sure is no other frame's.
        to_result(unsafe { bindings::skb_checksum_help(self.as_raw()) })
    }
}

/// An owned frame that was received, to be handed up by
/// [`RxContext::receive`](super::contexts::RxContext::receive).
///
/// # Invariants
///
/// The pointer is to a live `sk_buff` of which this value has the only reference, whose linear area
/// holds an Ethernet header at least.
pub struct RxSkBuff(NonNull<bindings::sk_buff>);

// SAFETY: An `sk_buff` belongs to no CPU; ownership may move.
unsafe impl Send for RxSkBuff {}

/// The shortest frame that has an Ethernet header, in bytes.
pub(super) const ETHERNET_HEADER: u32 = bindings::ETH_HLEN;

impl RxSkBuff {
    /// Takes over a frame.
    ///
    /// # Safety
    ///
    /// `skb` must be a live `sk_buff` of which the caller gives up the only reference, with
    /// [`ETHERNET_HEADER`] bytes or more in its linear area.
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(skb)
    }

    /// Takes over a frame, and makes it the `length` bytes from `headroom` on, counted from the
    /// start of the linear area.
    ///
    /// # Safety
    ///
    /// `skb` must be a live `sk_buff` of which the caller gives up the only reference. It must be
    /// new and empty, without pages, and its linear area have at least `headroom + length` bytes;
    /// `length` must be [`ETHERNET_HEADER`] or more.
    pub(super) unsafe fn with_frame(
        skb: NonNull<bindings::sk_buff>,
        headroom: u32,
        length: u32,
    ) -> Self {
        let raw = skb.as_ptr();
        // SAFETY: Those are the offsets of `unsigned char *data`, `sk_buff_data_t tail`, which
        // counts from the start (see bindings.h), and `unsigned int len`. By the safety
        // requirements it is this function's to write.
        unsafe {
            let head: *mut u8 = SkBuff::from_raw(raw).field(bindings::NET_SKB_HEAD);
            let data = head.add(headroom as usize);
            raw.byte_add(bindings::NET_SKB_DATA)
                .cast::<*mut u8>()
                .write(data);
            raw.byte_add(bindings::NET_SKB_TAIL)
                .cast::<u32>()
                .write(headroom.wrapping_add(length));
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

    /// Strips the Ethernet header, notes what it says, and gives the reference up to the caller.
    /// Returns as well whether the frame is to a multicast address.
    #[inline]
    pub(super) fn into_packet(self, dev: &NetDevice) -> (*mut bindings::sk_buff, bool) {
        let raw = ManuallyDrop::new(self).as_raw();
        // SAFETY: By the type invariants the frame is this function's to write, and has an Ethernet
        // header; the device is live. Those are the offsets of `__be16 protocol`, and of a byte, in
        // which `pkt_type` is (`check_bit_fields` in helpers/skbuff.c).
        let bits = unsafe {
            let protocol = bindings::eth_type_trans(raw, dev.as_raw());
            raw.byte_add(bindings::NET_SKB_PROTOCOL)
                .cast::<u16>()
                .write(protocol);
            raw.byte_add(bindings::NET_SKB_PKT_TYPE).cast::<u8>().read()
        };
        let pkt_type = bits >> bindings::NET_SKB_PKT_TYPE_SHIFT & 7;
        (raw, pkt_type == bindings::NET_PACKET_MULTICAST)
    }

    /// Returns the length of the frame in bytes.
    pub fn length(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { SkBuff::from_raw(self.as_raw()) }.length()
    }

    /// Records that an XDP program has put this many bytes of metadata in front of the frame.
    pub(super) fn set_metadata(&mut self, length: u32) {
        if length > 0 {
            // SAFETY: By the type invariants the frame is this value's alone.
            unsafe { bindings::skb_metadata_set(self.as_raw(), length) };
        }
    }

    /// Records that the device has found the checksum of the frame right.
    pub fn set_csum_unnecessary(&mut self) {
        // SAFETY: By the type invariants the frame is this value's alone. That is the offset of a
        // byte, in which `ip_summed` is (`check_bit_fields` in helpers/skbuff.c).
        unsafe {
            let bits = self
                .as_raw()
                .byte_add(bindings::NET_SKB_PKT_TYPE)
                .cast::<u8>();
            let others = bits.read() & !(3 << bindings::NET_SKB_SUMMED_SHIFT);
            bits.write(
                others | bindings::NET_CHECKSUM_UNNECESSARY << bindings::NET_SKB_SUMMED_SHIFT,
            );
        }
    }

    /// Records the VLAN tag that the device has stripped from the frame.
    pub fn set_vlan_tag(&mut self, tag: u16) {
        // SAFETY: By the type invariants the frame is this value's alone.
        unsafe { bindings::__vlan_hwaccel_put_tag(self.as_raw(), tag) };
    }
}

impl Drop for RxSkBuff {
    /// Frees a frame that was not handed up, in any context.
    fn drop(&mut self) {
        // SAFETY: By the type invariant this gives up the reference that is owned.
        unsafe { bindings::dev_kfree_skb_any(self.as_raw()) };
    }
}
