// SPDX-License-Identifier: GPL-2.0

//! What a driver may do only while the network core calls it to send or to poll.
//!
//! A context is made for one call and handed down by reference: who has one is in that call, and need not
//! prove it again.

use super::{
    device::NetDevice,
    skb::SkBuff, //
};
use crate::bindings;
use core::marker::PhantomData;

/// The surroundings of a call of [`Operations::start_xmit`](super::device::Operations::start_xmit).
pub struct XmitContext<'a> {
    dev: &'a NetDevice,
    // Only for the callback that it is made for.
    _not_send: PhantomData<*mut ()>,
}

impl<'a> XmitContext<'a> {
    /// # Safety
    ///
    /// The caller must hold the lock of the transmit queue of `dev` for `'a`.
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

    /// Accounts `bytes` to the byte queue limits, before the device can have sent them.
    ///
    /// Returns whether the device must be told now: `false` if another frame follows at once.
    #[must_use = "the device must be told when no other frame follows"]
    pub fn sent(&self, bytes: u32) -> bool {
        // SAFETY: The device is live, and this is `ndo_start_xmit` of its only queue.
        unsafe { bindings::net_helper_sent_queue(self.dev.as_raw(), bytes) }
    }

    /// Counts a frame that the device is to cut into this many.
    pub fn segmented(&self, segments: u32) {
        let counters = self.dev.segmentation();
        counters.frames.count();
        counters.segments.add(segments);
    }
}

/// The most frames that one call of [`Operations::poll`](super::device::Operations::poll) receives. Only a
/// busy poll asks for more, if its socket says so.
pub(super) const MAX_BUDGET: u32 = bindings::NET_NAPI_WEIGHT;

/// The surroundings of a call of [`Operations::poll`](super::device::Operations::poll).
pub struct PollContext<'a> {
    dev: &'a NetDevice,
    budget: i32,
    // Only for the callback that it is made for.
    _not_send: PhantomData<*mut ()>,
}

impl<'a> PollContext<'a> {
    /// # Safety
    ///
    /// The caller must be the NAPI poll function of `dev`, called with `budget`, for `'a`.
    pub(super) unsafe fn new(dev: &'a NetDevice, budget: i32) -> Self {
        Self {
            dev,
            budget,
            _not_send: PhantomData,
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &NetDevice {
        self.dev
    }

    /// Returns how many frames may be received; 0 if only completions are wanted.
    pub fn budget(&self) -> u32 {
        self.budget.unsigned_abs().min(MAX_BUDGET)
    }

    /// Returns the budget in the form that freeing a frame wants it in.
    pub fn napi_budget(&self) -> i32 {
        self.budget
    }

    /// Hands a received frame up the stack; [`PollContext::received`] counts it.
    ///
    /// The frame must have an Ethernet header, which is so for any frame of 14 bytes or more.
    pub fn receive(&self, skb: SkBuff) {
        let dev = self.dev.as_raw();
        let skb = skb.into_raw();
        // SAFETY: The device is live, this is its poll, and the reference to the frame is given up.
        unsafe {
            if bindings::net_helper_skb_set_protocol(skb, dev) {
                self.dev.errors().multicast.count();
            }
            bindings::net_helper_napi_gro_receive(self.dev.napi(), skb);
        }
    }

    /// Counts frames that were handed up.
    pub fn received(&self, packets: u32, bytes: u32) {
        // SAFETY: The device is live, and this is its poll, which alone receives.
        unsafe { bindings::net_helper_sw_netstats_rx_add(self.dev.as_raw(), packets, bytes) };
    }

    /// Counts frames without an `sk_buff` that the device has sent.
    pub fn completed_xdp(&self, packets: u32, bytes: u32) {
        // SAFETY: The device is live, and this is its poll, which alone completes.
        unsafe { bindings::net_helper_sw_netstats_tx_add(self.dev.as_raw(), packets, bytes) };
    }

    /// Counts frames that the device has sent, in the statistics and for the byte queue limits.
    pub fn completed(&self, packets: u32, bytes: u32) {
        // SAFETY: The device is live, and this is its poll, which alone completes.
        unsafe {
            bindings::net_helper_sw_netstats_tx_add(self.dev.as_raw(), packets, bytes);
            bindings::net_helper_completed_queue(self.dev.as_raw(), packets, bytes);
        }
    }
}
