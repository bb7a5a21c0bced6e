// SPDX-License-Identifier: GPL-2.0

//! Running programs on frames, and acting on their answers.

use crate::bindings;
use crate::net::{
    contexts::RxContext,
    device::NetDevice,
    xdp::{
        RxQueue,
        XdpFrame, //
    }, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// The place of a frame that a program is run on.
pub(in crate::net) struct Buffer {
    /// The beginning of its buffer.
    pub(in crate::net) start: *mut c_void,
    /// The size of that.
    pub(in crate::net) size: u32,
    /// The offset from there at which the frame begins.
    pub(in crate::net) headroom: u32,
    /// Its length.
    pub(in crate::net) length: u32,
}

/// The answer of a program.
pub(in crate::net) enum XdpVerdict {
    /// The frame goes up the stack, as it is now: where it begins, its length, and how much
    /// metadata is in front.
    Pass {
        headroom: u32,
        length: u32,
        metadata: u32,
    },
    /// The buffer was given up with its frame (`XDP_TX`, `XDP_REDIRECT`).
    Gone,
    /// The frame is to be dropped; the buffer is the caller's.
    Drop,
}

/// Runs the program of a device, if there is one, on a frame.
///
/// # Safety
///
/// The frame must lie in the buffer, with room behind it as `build_skb` wants it; the buffer must
/// be the caller's, be of the pool of `queue`, and be given up if the answer is
/// [`XdpVerdict::Gone`].
pub(in crate::net) unsafe fn run<P>(
    rx: &RxContext<'_, P>,
    queue: &RxQueue,
    buffer: &Buffer,
) -> XdpVerdict {
    let dev = rx.device();
    let xdp = dev.xdp();
    let pass = |headroom, length, metadata| XdpVerdict::Pass {
        headroom,
        length,
        metadata,
    };
    let program = xdp.program();
    if program.is_null() {
        return pass(buffer.headroom, buffer.length, 0);
    }
    let mut frame = bindings::net_helper_xdp {
        start: buffer.start,
        size: buffer.size,
        headroom: buffer.headroom,
        length: buffer.length,
        metadata: 0,
        frame: core::ptr::null_mut(),
    };
    // SAFETY: This is a poll with a budget, in which RCU keeps the program, and there is what a
    // redirection is noted in; the rest by the safety requirements.
    let action = unsafe { bindings::xdp_run(dev.as_raw(), program, queue.0.get(), &mut frame) };
    if action == bindings::xdp_action_XDP_PASS {
        // Counted when it goes up.
        return pass(frame.headroom, frame.length, frame.metadata);
    }
    // SAFETY: The device is live, and this is its poll.
    unsafe { bindings::dev_sw_netstats_rx_add_batch(dev.as_raw(), 1, buffer.length) };
    // SAFETY: The context shows that this is the poll, which runs once at a time and is not left in
    // between, so this is the only borrow.
    let batch = unsafe { &mut *xdp.batch.get() };
    batch.due = true;
    if action == bindings::xdp_action_XDP_REDIRECT {
        batch.redirected = true;
        return XdpVerdict::Gone;
    }
    match NonNull::new(frame.frame) {
        Some(frame) if action == bindings::xdp_action_XDP_TX => {
            // INVARIANT: The program's frame is in the buffer that the caller gives up.
            let frame = XdpFrame(frame);
            match batch.frames.get_mut(batch.count) {
                Some(slot) if frame.length() <= longest(dev) => {
                    *slot = Some(frame);
                    batch.count += 1;
                }
                _ => dev.errors().tx_dropped.count(),
            }
            XdpVerdict::Gone
        }
        _ => XdpVerdict::Drop,
    }
}

/// Returns the length of the longest frame that may be sent: what the MTU allows, a header and a
/// VLAN tag.
pub(in crate::net) fn longest(dev: &NetDevice) -> u32 {
    dev.mtu().saturating_add(bindings::VLAN_ETH_HLEN)
}
