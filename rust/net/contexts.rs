// SPDX-License-Identifier: GPL-2.0

//! The rights that a driver has only while the network core calls it to send or to poll, or while
//! RTNL is held.
//!
//! A context is made for one call and handed down by reference: holding one proves that the caller
//! runs inside that call. The stop flag of the transmit queue is reached through contexts only,
//! because it is what keeps `ndo_start_xmit` off a device that is quiet.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     address::MacAddress,
//!     contexts::{
//!         PollContext,
//!         Queue,
//!         Rtnl,
//!         RxContext,
//!         XdpContext,
//!         XmitContext, //
//!     },
//!     spsc::TxQueue, //
//! };
//!
//! /// Accounts a frame that was queued. Returns whether the doorbell is to be rung.
//! fn queued(cx: &XmitContext<'_>, length: u32, full: bool) -> bool {
//!     let last = cx.sent(length);
//!     if full {
//!         stop(cx.queue());
//!     }
//!     last || full
//! }
//!
//! /// A frame of XDP is not accounted.
//! fn queued_xdp(cx: &XdpContext<'_>, full: bool) {
//!     if full {
//!         stop(cx.queue());
//!     }
//! }
//!
//! fn stop(queue: &Queue) {
//!     queue.stop();
//! }
//!
//! /// Receives frames until there are no more, or as many as are allowed.
//! fn poll<P>(cx: &PollContext<'_, P>, mut next: impl FnMut(&RxContext<'_, P>) -> Option<u32>) {
//!     let Some(rx) = cx.receiver() else {
//!         return;
//!     };
//!     let (mut frames, mut bytes) = (0, 0);
//!     while frames < rx.budget() {
//!         let Some(length) = next(&rx) else {
//!             break;
//!         };
//!         frames += 1;
//!         bytes += length;
//!     }
//!     rx.received(frames, bytes);
//! }
//!
//! fn address(rtnl: &Rtnl<'_>) -> MacAddress {
//!     rtnl.address()
//! }
//! ```

use super::{
    address::MacAddress,
    device::NetDevice,
    fragment::{
        Completed,
        MappedFragment, //
    },
    skb::RxSkBuff,
    spsc::TxQueue, //
};
use crate::bindings;
use core::marker::PhantomData;

/// The stop flag of the transmit queue, which is reached through contexts only.
#[repr(transparent)]
pub struct Queue(NetDevice);

impl Queue {
    fn of(dev: &NetDevice) -> &Self {
        // SAFETY: The type is transparent.
        unsafe { &*core::ptr::from_ref(dev).cast() }
    }
}

impl TxQueue for Queue {
    fn stop(&self) {
        // SAFETY: The device is live.
        unsafe { bindings::netif_stop_queue(self.0.as_raw()) };
    }

    fn wake(&self) {
        // SAFETY: The device is live.
        unsafe { bindings::netif_wake_queue(self.0.as_raw()) };
    }

    fn is_stopped(&self) -> bool {
        // SAFETY: The device is live.
        unsafe { bindings::netif_queue_stopped(self.0.as_raw()) }
    }
}

/// The context of a call of [`Transmit::start_xmit`](super::operations::Transmit::start_xmit).
pub struct XmitContext<'a> {
    dev: &'a NetDevice,
    // Only for the callback that it is made for.
    _not_send: PhantomData<*mut ()>,
}

impl<'a> XmitContext<'a> {
    /// Makes the context of a call.
    ///
    /// # Safety
    ///
    /// The caller must be `ndo_start_xmit` of `dev`, with the lock of its transmit queue held for
    /// `'a`.
    pub(super) unsafe fn new(dev: &'a NetDevice) -> Self {
        Self {
            dev,
            _not_send: PhantomData,
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &NetDevice {
        self.dev
    }

    /// Returns the stop flag of the queue.
    pub fn queue(&self) -> &Queue {
        Queue::of(self.dev)
    }

    /// Accounts `bytes` to the byte queue limits, before the device can have sent them.
    ///
    /// Returns whether the doorbell must be rung now: `false` if another frame follows at once.
    #[must_use = "the doorbell must be rung when no other frame follows"]
    pub fn sent(&self, bytes: u32) -> bool {
        // SAFETY: The device is live, and this is `ndo_start_xmit` of its only queue.
        unsafe { bindings::netdev_sent_queue_more(self.dev.as_raw(), bytes) }
    }

    /// Counts a frame that the device is to segment, and its segments.
    pub fn segmented(&self, segments: u32) {
        let counters = self.dev.segmentation();
        counters.frames.count();
        counters.segments.add(segments);
    }
}

/// The context of a call of [`Transmit::send_xdp`](super::operations::Transmit::send_xdp), whose
/// frames the byte queue limits do not count.
pub struct XdpContext<'a> {
    dev: &'a NetDevice,
    // Only for the callback that it is made for.
    _not_send: PhantomData<*mut ()>,
}

impl<'a> XdpContext<'a> {
    /// Makes the context of a call.
    ///
    /// # Safety
    ///
    /// The caller must hold the lock of the transmit queue of `dev` for `'a`, and the device must
    /// not be quiet.
    pub(super) unsafe fn new(dev: &'a NetDevice) -> Self {
        Self {
            dev,
            _not_send: PhantomData,
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &NetDevice {
        self.dev
    }

    /// Returns the stop flag of the queue.
    pub fn queue(&self) -> &Queue {
        Queue::of(self.dev)
    }
}

/// The most frames that one call of [`Napi::poll`](super::operations::Napi::poll) receives. Only a
/// busy poll asks for more, if its socket says so.
pub(super) const MAX_BUDGET: u32 = bindings::NET_NAPI_WEIGHT;

/// The context of a call of [`Napi::poll`](super::operations::Napi::poll), of a device whose
/// receive buffers are from a `P`.
pub struct PollContext<'a, P> {
    dev: &'a NetDevice,
    budget: i32,
    pool: &'a P,
    // Only for the callback that it is made for.
    _not_send: PhantomData<*mut ()>,
}

impl<'a, P> PollContext<'a, P> {
    /// Makes the context of a call.
    ///
    /// # Safety
    ///
    /// The caller must be the NAPI poll function of `dev`, called with `budget`, for `'a`; only one
    /// may be at a time. The pool must be that of the device, with direct recycling enabled.
    pub(super) unsafe fn new(dev: &'a NetDevice, budget: i32, pool: &'a P) -> Self {
        Self {
            dev,
            budget,
            pool,
            _not_send: PhantomData,
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &NetDevice {
        self.dev
    }

    /// Returns the stop flag of the queue.
    pub fn queue(&self) -> &Queue {
        Queue::of(self.dev)
    }

    /// Returns the context of receiving; `None` if only completions are wanted, as by a netpoll,
    /// which may come in any context.
    #[inline]
    pub fn receiver(&self) -> Option<RxContext<'_, P>> {
        let budget = self.budget.unsigned_abs().min(MAX_BUDGET);
        (budget > 0).then_some(RxContext {
            dev: self.dev,
            budget,
            pool: self.pool,
            _not_send: PhantomData,
        })
    }

    /// Returns whether a piece of a frame may be completed now: not the buffers of XDP by a
    /// netpoll, because it may come with interrupts off.
    #[inline]
    pub fn may_complete(&self, piece: &MappedFragment<'_>) -> bool {
        self.budget > 0 || !piece.is_xdp()
    }

    /// Unmaps a piece that was sent. If it is the last of its frame, frees the frame and adds it to
    /// `all`.
    #[inline]
    pub fn complete(&self, piece: MappedFragment<'_>, all: &mut Completed) {
        // SAFETY: This is the poll, called with that budget.
        unsafe { piece.finish(self.budget, all) };
    }

    /// Unmaps a frame of one piece that was sent, frees it and counts it.
    #[allow(
        dead_code,
        reason = "for drivers of devices that send one frame at a time"
    )]
    pub fn complete_one(&self, piece: MappedFragment<'_>) {
        let mut all = Completed::default();
        self.complete(piece, &mut all);
        self.completed(all);
    }

    /// Counts frames that the device has sent, in the statistics and, those that were accounted,
    /// for the byte queue limits.
    pub fn completed(&self, all: Completed) {
        let (packets, bytes) = all.frames();
        let (xdp_packets, xdp_bytes) = all.xdp_frames();
        // SAFETY: The device is live, and this is its poll, which alone completes. The helper never
        // takes more out of the byte queue limits than is in there.
        unsafe {
            bindings::dev_sw_netstats_tx_add(self.dev.as_raw(), packets, bytes);
            bindings::netdev_completed_queue_at_most(self.dev.as_raw(), packets, bytes);
            if xdp_packets > 0 {
                bindings::dev_sw_netstats_tx_add(self.dev.as_raw(), xdp_packets, xdp_bytes);
            }
        }
    }
}

/// The context of receiving, in a poll with a budget: soft interrupt context.
pub struct RxContext<'a, P> {
    dev: &'a NetDevice,
    budget: u32,
    pool: &'a P,
    // Only for the poll that it is made in.
    _not_send: PhantomData<*mut ()>,
}

impl<P> RxContext<'_, P> {
    /// Returns the device.
    pub fn device(&self) -> &NetDevice {
        self.dev
    }

    /// Returns how many frames may be received: at least one.
    pub fn budget(&self) -> u32 {
        self.budget
    }

    pub(super) fn pool(&self) -> &P {
        self.pool
    }

    /// Hands a received frame up the stack; [`RxContext::received`] counts it.
    pub fn receive(&self, skb: RxSkBuff) {
        let (packet, multicast) = skb.into_packet(self.dev);
        if multicast {
            self.dev.errors().multicast.count();
        }
        // SAFETY: The device is live, this is its poll, and the reference to the packet, which is
        // without its Ethernet header, is given up.
        unsafe { bindings::napi_gro_receive(self.dev.napi(), packet) };
    }

    /// Hands a received frame up the stack and counts it; without one, for want of memory, counts
    /// a frame that was dropped.
    #[allow(
        dead_code,
        reason = "for drivers of devices that receive one frame at a time"
    )]
    pub fn receive_one(&self, skb: Option<RxSkBuff>) {
        let Some(skb) = skb else {
            self.device().errors().rx_dropped.count();
            return;
        };
        self.received(1, skb.length());
        self.receive(skb);
    }

    /// Counts frames that were handed up.
    pub fn received(&self, packets: u32, bytes: u32) {
        // SAFETY: The device is live, and this is its poll, which alone receives.
        unsafe { bindings::dev_sw_netstats_rx_add_batch(self.dev.as_raw(), packets, bytes) };
    }
}

/// A network device while RTNL is held.
pub struct Rtnl<'a> {
    dev: &'a NetDevice,
    // Only for the callback that it is made for.
    _not_send: PhantomData<*mut ()>,
}

impl<'a> Rtnl<'a> {
    /// Makes the value that shows that RTNL is held.
    ///
    /// # Safety
    ///
    /// RTNL must be held for `'a`.
    pub(super) unsafe fn new(dev: &'a NetDevice) -> Self {
        Self {
            dev,
            _not_send: PhantomData,
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &NetDevice {
        self.dev
    }

    /// Returns the MAC address, which changes under RTNL only.
    pub fn address(&self) -> MacAddress {
        // SAFETY: By the safety requirements of `new` RTNL is held.
        unsafe { self.dev.address() }
    }
}
