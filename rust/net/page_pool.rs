// SPDX-License-Identifier: GPL-2.0

//! Receive buffers from a page pool.
//!
//! A page is mapped once, when it enters the pool, and is recycled while it is mapped: to receive
//! a frame costs neither an allocation nor a mapping. Buffers are handed up without copying.
//!
//! # Bounce buffers
//!
//! A page that the device cannot reach is mapped by way of a bounce buffer, of which the whole
//! machine has few (swiotlb, 64 MiB), and keeps it as long as it is out: frames that wait in
//! sockets which no program reads could use them all up. So the pages for a device that does not
//! reach all of the memory come from below 4 GiB, and where everything is bounced, as in a guest
//! whose memory is encrypted, frames are copied.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     contexts::{
//!         PollContext,
//!         RxContext, //
//!     },
//!     page_pool::{
//!         PagePool,
//!         Pool,
//!         RxBuffer, //
//!     }, //
//! };
//! use kernel::prelude::*;
//!
//! /// Fills a ring when the interface is opened.
//! fn fill<'a>(pool: &mut PagePool<'a>, ring: &mut [Option<RxBuffer<'a>>]) -> Result {
//!     for slot in ring {
//!         *slot = Some(pool.alloc().ok_or(ENOMEM)?);
//!     }
//!     Ok(())
//! }
//!
//! /// Hands up a frame without copying; another buffer takes its place in the ring.
//! fn receive<'a>(
//!     rx: &RxContext<'_, PagePool<'a>>,
//!     slot: &mut RxBuffer<'a>,
//!     length: u32,
//! ) -> Option<()> {
//!     let new = rx.alloc()?;
//!     let skb = core::mem::replace(slot, new).into_skb(rx, length)?;
//!     rx.receive(skb);
//!     rx.received(1, length);
//!     Some(())
//! }
//!
//! /// Returns whether frames may be received, whatever the buffers come from.
//! fn may_receive<P: Pool>(cx: &PollContext<'_, P>) -> bool {
//!     cx.receiver().is_some()
//! }
//! ```
//!
//! C header: [`include/net/page_pool/helpers.h`](srctree/include/net/page_pool/helpers.h)

mod layout;

use super::{
    contexts::RxContext,
    device::NetDevice,
    pci,
    skb::{
        RxSkBuff,
        ETHERNET_HEADER, //
    },
    xdp::{
        run,
        RxQueue, //
    }, //
};
use crate::bindings;
use core::{
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};
use layout::Layout;

/// Room in front of a frame, for the headers that a router or a tunnel puts there (`NET_SKB_PAD`).
const HEADROOM: u16 = 64;

/// The same for buffers that XDP programs work on (`XDP_PACKET_HEADROOM`).
const XDP_HEADROOM: u16 = 256;

/// The largest buffer that XDP can work on, in bytes: what is left of a page.
pub const XDP_BUFFER_SIZE: u32 =
    (bindings::NET_PAGE_SIZE - XDP_HEADROOM as usize - bindings::NET_SKB_OVERHEAD) as u32 & !7;

/// The source of the receive buffers of a device: a [`PagePool`], or [`NoPool`].
///
/// The driver makes it in [`Operations::open`](super::operations::Operations::open) and gives it
/// away with what that returns. From then on it takes buffers out through [`RxContext`] only, so
/// that nothing but the poll does. It is dropped while NAPI is disabled.
#[allow(
    dead_code,
    reason = "rustc 1.85 overlooks that it bounds an associated type"
)]
pub trait Pool: sealed::Sealed + Send {}

pub(super) use sealed::Sealed;

mod sealed {
    use crate::{
        bindings,
        net::device::NetDevice, //
    };

    pub trait Sealed {
        /// Lets the poll of `dev` return buffers without a lock from now on.
        ///
        /// # Safety
        ///
        /// NAPI of `dev` must be disabled, and again when the pool is dropped. The device must be
        /// the one that the pool was made for. Buffers must be taken out by its poll only from now
        /// on.
        unsafe fn enable_direct_recycling(&self, dev: &NetDevice);
    }

    impl Sealed for super::NoPool {
        unsafe fn enable_direct_recycling(&self, _dev: &NetDevice) {}
    }

    impl Sealed for super::PagePool<'_> {
        unsafe fn enable_direct_recycling(&self, dev: &NetDevice) {
            // SAFETY: The pool is live, and the instance outlives it. It is the only one that polls
            // with the pool, so the two are on one CPU at a time. A second call does nothing. The
            // rest by the safety requirements.
            // INVARIANT: The instance is that of the device.
            unsafe { bindings::page_pool_enable_direct_recycling(self.pool.as_ptr(), dev.napi()) };
        }
    }
}

/// The pool of a device that does not receive into a [`PagePool`].
#[allow(dead_code, reason = "for drivers of such devices")]
pub struct NoPool;

impl Pool for NoPool {}
impl Pool for PagePool<'_> {}

/// A pool of pages for the receive ring of one device.
///
/// # Invariants
///
/// The pool is live. It has no NAPI instance, or that of the device it was made for, since direct
/// recycling was enabled.
pub struct PagePool<'a> {
    pool: NonNull<bindings::page_pool>,
    pdev: &'a pci::Device,
    layout: Layout,
    /// The memory that pages may come from: flags of their allocation.
    zone: bindings::gfp_t,
    /// Every page is bounced, wherever it comes from.
    bounced: bool,
    /// The identity of the ring for XDP programs; of this pool. `None` if there are none to be run.
    queue: Option<RxQueue>,
}

// SAFETY: The pool belongs to no CPU. Until direct recycling is enabled, its owner is its only
// user; afterwards it is the framework's, which keeps buffers from being taken out, and the pool
// from being dropped, while its NAPI returns some.
unsafe impl Send for PagePool<'_> {}

impl<'a> PagePool<'a> {
    /// Makes a pool that keeps about `buffers` buffers at hand, each of at least `size` bytes; with
    /// `xdp` programs can be run on what is received into them.
    ///
    /// NAPI of `dev` may be running, with another pool.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINVAL` for an absurd size, or with `xdp` one above [`XDP_BUFFER_SIZE`].
    pub fn new(
        pdev: &'a pci::Device,
        dev: &NetDevice,
        buffers: u32,
        size: u32,
        xdp: bool,
    ) -> Result<Self> {
        if xdp && size > XDP_BUFFER_SIZE {
            return Err(EINVAL);
        }
        let layout = Layout::new(size, if xdp { XDP_HEADROOM } else { HEADROOM })?;
        let mut params = bindings::page_pool_params::default();
        // SAFETY: Any bit pattern is valid in both variants of these unions, which are the same
        // fields twice, once named as a group.
        let (fast, slow) = unsafe {
            (
                &mut params.__bindgen_anon_1.fast,
                &mut params.__bindgen_anon_2.slow,
            )
        };
        fast.order = layout.order();
        fast.pool_size = layout.pages_of(buffers);
        fast.nid = bindings::NUMA_NO_NODE;
        fast.dev = pci::device(pdev);
        // A program may write to a frame, and the buffer goes back to the device.
        fast.dma_dir = if xdp {
            bindings::dma_data_direction_DMA_BIDIRECTIONAL
        } else {
            bindings::dma_data_direction_DMA_FROM_DEVICE
        };
        fast.max_len = layout.page_size();
        slow.netdev = dev.as_raw();
        slow.flags = bindings::NET_PP_FLAGS;

        // SAFETY: The parameters are complete; device and network device outlive the pool, which is
        // part of what `open` returns.
        let pool = from_err_ptr(unsafe { bindings::page_pool_create(&params) })?;
        let pool = NonNull::new(pool).ok_or(ENOMEM)?;
        // SAFETY: The device is live.
        let (limited, bounced) = unsafe {
            (
                bindings::dma_addressing_limited(pci::device(pdev)),
                bindings::is_swiotlb_force_bounce(pci::device(pdev)),
            )
        };
        // INVARIANT: It was just made.
        let mut this = Self {
            pool,
            pdev,
            layout,
            zone: if limited { bindings::NET_GFP_DMA32 } else { 0 },
            bounced,
            queue: None,
        };
        if xdp {
            // SAFETY: The pool is live, and `drop` drops the queue before it destroys the pool.
            this.queue = Some(unsafe { RxQueue::new(dev.as_raw(), pool) }?);
        }
        Ok(this)
    }

    /// Returns how many bytes a device may write into a buffer.
    pub fn buffer_size(&self) -> u32 {
        self.layout.size()
    }

    /// Takes a buffer out of the pool, or `None` if there is no memory. Process context: waits
    /// until there is some.
    pub fn alloc(&mut self) -> Option<RxBuffer<'a>> {
        // SAFETY: Direct recycling is not enabled yet, so the owner of the pool is its only user.
        unsafe { self.alloc_with(bindings::NET_GFP_SLEEP) }
    }

    /// Takes a buffer out of the pool, or `None` if there is no memory to be had with these flags.
    ///
    /// # Safety
    ///
    /// Nothing else may take buffers out at the same time; once direct recycling is enabled this
    /// must be the poll of the device that the pool was made for.
    unsafe fn alloc_with(&self, flags: bindings::gfp_t) -> Option<RxBuffer<'a>> {
        let mut address = MaybeUninit::uninit();
        // SAFETY: The pool is live, and maps its pages; the rest by the safety requirements.
        let start = NonNull::new(unsafe {
            bindings::page_pool_alloc_frag(
                self.pool.as_ptr(),
                address.as_mut_ptr(),
                self.layout.slot(),
                flags | self.zone,
            )
        })?;
        // SAFETY: With a fragment there is an address.
        let address = unsafe { address.assume_init() };
        // INVARIANT: The fragment was just taken out, and `slot` bytes of it are this value's.
        Some(RxBuffer {
            start: start.cast(),
            address: address.wrapping_add(self.layout.headroom().into()),
            pdev: self.pdev,
            layout: self.layout,
        })
    }
}

impl Drop for PagePool<'_> {
    fn drop(&mut self) {
        self.queue = None;
        // SAFETY: The pool is live, and its NAPI, if it has one, is disabled (see
        // `Sealed::enable_direct_recycling`). Buffers that are still out keep the rest of it alive.
        unsafe { bindings::page_pool_destroy(self.pool.as_ptr()) };
    }
}

/// Takes buffers out, and runs programs on frames in them.
impl<'a> RxContext<'_, PagePool<'a>> {
    /// Takes a buffer out of the pool, or `None` if there is no memory that can be had at once.
    #[inline]
    pub fn alloc(&self) -> Option<RxBuffer<'a>> {
        // SAFETY: The context shows that this is the poll of the pool's device, of which there is
        // one at a time.
        unsafe { self.pool().alloc_with(bindings::NET_GFP_POLL) }
    }

    /// Returns whether frames are to be copied out of the buffers, because each that is away costs
    /// the machine a bounce buffer.
    #[inline]
    pub fn is_bounced(&self) -> bool {
        self.pool().bounced
    }

    /// Returns whether XDP programs are to be run on what is received.
    #[inline]
    pub fn has_xdp(&self) -> bool {
        self.pool().queue.is_some()
    }

    /// Runs the XDP program, if there is one, on a frame of `length` bytes in a buffer of the pool.
    /// Returns what goes up the stack; all else is done.
    // Inlined it would cost registers for each frame where there are no programs.
    #[inline(never)]
    pub fn run_xdp(&self, buffer: RxBuffer<'a>, length: u32) -> Option<RxSkBuff> {
        let pool = self.pool();
        let dropped = &self.device().errors().rx_dropped;
        let (Some(queue), true) = (&pool.queue, buffer.layout.holds(length)) else {
            dropped.count();
            return None;
        };
        // SAFETY: The fragment is live, and of a pool.
        if unsafe { bindings::page_pool_of_frag(buffer.start.as_ptr().cast()) }
            != pool.pool.as_ptr()
        {
            dropped.count();
            return None;
        }
        buffer.sync_for_cpu(length);
        let place = run::Buffer {
            start: buffer.start.as_ptr().cast(),
            size: buffer.layout.slot(),
            headroom: buffer.layout.headroom(),
            length,
        };
        // SAFETY: By the invariants of the layout there is room for what `build_skb` puts at the
        // end. The buffer is of this pool, whose queue that is, and is given up below.
        match unsafe { run::run(self, queue, &place) } {
            run::XdpVerdict::Pass {
                headroom,
                length,
                metadata,
            } => {
                if length < ETHERNET_HEADER
                    || headroom.saturating_add(length) > buffer.layout.room()
                {
                    dropped.count();
                    return None;
                }
                // SAFETY: The frame is in the buffer and not over the room at its end, and not too
                // short, as was checked, and what a program has put in front of it is in the
                // buffer, too.
                let skb = unsafe {
                    if pool.bounced {
                        buffer.copy(self.device(), headroom, length, metadata)
                    } else {
                        buffer.build_skb(headroom, length)
                    }
                };
                let Some(mut skb) = skb else {
                    dropped.count();
                    return None;
                };
                skb.set_metadata(metadata);
                Some(skb)
            }
            run::XdpVerdict::Gone => {
                let _ = ManuallyDrop::new(buffer);
                None
            }
            run::XdpVerdict::Drop => None,
        }
    }
}

/// A buffer that a device can receive into.
///
/// # Invariants
///
/// It owns one fragment of a page of a page pool, in the kernel's linear map: the `layout.slot`
/// bytes at `start`, which are mapped for `pdev` from `address - layout.headroom` on.
pub struct RxBuffer<'a> {
    start: NonNull<u8>,
    address: u64,
    pdev: &'a pci::Device,
    layout: Layout,
}

// SAFETY: A fragment belongs to no CPU.
unsafe impl Send for RxBuffer<'_> {}

impl<'a> RxBuffer<'a> {
    /// Turns the buffer into a frame of `length` bytes, and takes its place with a new one; copies
    /// the frame if there is none.
    ///
    /// Returns `None` if there is no memory, or if `length` is more than the buffer has or no whole
    /// Ethernet header. There is a buffer in any case.
    #[allow(dead_code, reason = "for drivers of devices with one buffer")]
    pub fn replace_to_skb(
        &mut self,
        rx: &RxContext<'_, PagePool<'a>>,
        length: u32,
    ) -> Option<RxSkBuff> {
        match rx.alloc() {
            Some(new) => core::mem::replace(self, new).into_skb(rx, length),
            None => self.copy_to_skb(rx, length),
        }
    }

    /// Returns the address for the device.
    pub fn dma_address(&self) -> u64 {
        self.address
    }

    /// Returns where the device writes.
    fn frame(&self) -> NonNull<u8> {
        // SAFETY: By the invariants of the layout that is in the buffer.
        unsafe { self.start.add(self.layout.headroom() as usize) }
    }

    fn sync_for_cpu(&self, length: u32) {
        // SAFETY: By the type invariants that many bytes are mapped there, for that device.
        unsafe {
            bindings::dma_sync_single_for_cpu(pci::device(self.pdev), self.address, length as usize)
        };
    }

    /// Copies a frame of `length` bytes out; the buffer can be used again.
    ///
    /// Returns `None` if there is no memory, or if `length` is more than the buffer has or no whole
    /// Ethernet header.
    // The frames that come in large numbers are not copied.
    #[inline(never)]
    pub fn copy_to_skb<P>(&self, rx: &RxContext<'_, P>, length: u32) -> Option<RxSkBuff> {
        if !self.layout.holds(length) {
            return None;
        }
        self.sync_for_cpu(length);
        // SAFETY: The buffer has `headroom + size` bytes, and the length was checked. The context
        // shows that this is the poll. The mapping is that of the type invariants.
        unsafe {
            let skb = self.copy(rx.device(), self.layout.headroom(), length, 0);
            bindings::dma_sync_single_for_device(
                pci::device(self.pdev),
                self.address,
                length as usize,
            );
            skb
        }
    }

    /// Copies the frame of `length` bytes that begins at `headroom`, and as many bytes of metadata
    /// in front of it.
    ///
    /// # Safety
    ///
    /// This must be the poll of `dev`. All of it must be in the buffer, and `length` be
    /// [`ETHERNET_HEADER`] or more.
    #[inline(always)]
    unsafe fn copy(
        &self,
        dev: &NetDevice,
        headroom: u32,
        length: u32,
        metadata: u32,
    ) -> Option<RxSkBuff> {
        let all = metadata + length;
        // SAFETY: This is the poll of that NAPI instance, by the safety requirements.
        let skb = NonNull::new(unsafe { bindings::napi_alloc_skb(dev.napi(), all) })?;
        // SAFETY: By the safety requirements that is in the buffer, and the `sk_buff` has room for
        // it; C copies it, whatever the device writes at the same time. The `sk_buff` is this
        // function's alone.
        unsafe {
            let from = self.start.as_ptr().add((headroom - metadata) as usize);
            bindings::skb_put_data(skb.as_ptr(), from.cast(), all);
            bindings::skb_pull(skb.as_ptr(), metadata);
            Some(RxSkBuff::from_raw(skb))
        }
    }

    /// Copies what the device has written at the beginning of the buffer; the buffer can be used
    /// again.
    ///
    /// Returns `false`, and copies nothing, if `to` is longer than the buffer.
    pub fn copy_to_slice(&self, to: &mut [u8]) -> bool {
        if to.len() > self.layout.size() as usize {
            return false;
        }
        let length = to.len() as u32;
        self.sync_for_cpu(length);
        // SAFETY: The buffer has `headroom + size` bytes. The device may write at the same time, so
        // each is read as memory that others write; that gives some bytes. The mapping is that of
        // the type invariants.
        unsafe {
            for (nth, byte) in to.iter_mut().enumerate() {
                *byte = self.frame().add(nth).read_volatile();
            }
            bindings::dma_sync_single_for_device(pci::device(self.pdev), self.address, to.len());
        }
        true
    }

    /// Turns the buffer into a frame of `length` bytes, without copying it.
    ///
    /// Returns `None`, and the buffer to its pool, if there is no memory, or if `length` is more
    /// than the buffer has or no whole Ethernet header.
    #[inline]
    pub fn into_skb<P>(self, _rx: &RxContext<'_, P>, length: u32) -> Option<RxSkBuff> {
        if !self.layout.holds(length) {
            return None;
        }
        self.sync_for_cpu(length);
        // SAFETY: By the invariants of the layout the slot has room for the frame and for what
        // `build_skb` puts at its end. The context shows that this is a poll, and the length was
        // checked.
        unsafe {
            let headroom = self.layout.headroom();
            self.build_skb(headroom, length)
        }
    }

    /// Turns the buffer into the frame of `length` bytes that begins at `headroom`.
    ///
    /// # Safety
    ///
    /// This must be a poll. The frame must be in the buffer, with `NET_SKB_OVERHEAD` bytes behind
    /// it, and `length` be [`ETHERNET_HEADER`] or more.
    // A call would cost each frame more than the whole function; `run_xdp` is the other caller.
    #[inline(always)]
    unsafe fn build_skb(self, headroom: u32, length: u32) -> Option<RxSkBuff> {
        // SAFETY: The slot is this value's alone, and becomes the frame's, which is new; the rest
        // by the safety requirements.
        unsafe {
            let skb = NonNull::new(bindings::page_pool_build_skb(
                self.start.as_ptr().cast(),
                self.layout.slot(),
            ))?;
            // The frame returns the fragment to its pool when it is freed.
            let _ = ManuallyDrop::new(self);
            Some(RxSkBuff::with_frame(skb, headroom, length))
        }
    }
}

impl Drop for RxBuffer<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants this gives up the fragment that is owned.
        unsafe { bindings::page_pool_put_frag(self.start.as_ptr().cast()) };
    }
}
