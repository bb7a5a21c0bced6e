// SPDX-License-Identifier: GPL-2.0

//! XDP: programs that look at frames before there is an `sk_buff`, and frames without one.
//!
//! A program sees a frame in its receive buffer, which has room in front of it then. What the program wants
//! done is done here; a driver only gets those frames that go up the stack, and sends those that are to be
//! sent. Frames of several buffers there are none: a program is refused where the MTU would want them.
//!
//! C header: [`include/net/xdp.h`](srctree/include/net/xdp.h)

use super::{
    atomic::Pointer,
    callbacks::Private,
    contexts::{
        RxContext,
        XdpContext,
        MAX_BUDGET, //
    },
    device::{
        NetDevice,
        Operations,
        RingConfig, //
    },
    error, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        Acquire,
        Relaxed,
        Release, //
    },
    types::Opaque, //
};

/// The most frames that a poll collects to be sent: its budget is no larger
/// ([`MAX_BUDGET`](super::contexts::MAX_BUDGET)).
const BATCH: usize = MAX_BUDGET as usize;

/// A frame without an `sk_buff`, which this value owns.
///
/// # Invariants
///
/// The pointer is to a live `xdp_frame` that is one buffer, and this value owns it.
pub struct XdpFrame(NonNull<bindings::xdp_frame>);

// SAFETY: A frame belongs to no CPU; ownership may move.
unsafe impl Send for XdpFrame {}

impl XdpFrame {
    /// Returns the length of the frame in bytes.
    pub fn length(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { bindings::net_helper_xdp_frame_len(self.0.as_ptr()) }
    }

    /// Returns where the frame is: that many bytes from there on.
    pub(super) fn data(&self) -> *mut c_void {
        // SAFETY: By the type invariants.
        unsafe { bindings::net_helper_xdp_frame_data(self.0.as_ptr()) }
    }
}

impl Drop for XdpFrame {
    /// Gives the buffer back to where it is from. Any context that page pools allow.
    fn drop(&mut self) {
        // SAFETY: By the type invariants this gives up what is owned.
        unsafe { bindings::xdp_return_frame(self.0.as_ptr()) };
    }
}

/// What XDP keeps for a device.
pub(super) struct Xdp {
    /// The attached program, or null. Written under RTNL; the poll reads it, and a program that was taken
    /// out lives until polls that may have read it are over (RCU).
    program: Pointer<bindings::bpf_prog>,
    batch: UnsafeCell<Batch>,
}

/// What a poll has collected, and what it owes at its end.
struct Batch {
    frames: [Option<XdpFrame>; BATCH],
    count: usize,
    redirected: bool,
    /// There is something to be done at the end of the poll.
    due: bool,
}

impl Xdp {
    pub(super) fn new() -> Self {
        Self {
            program: Pointer::null(),
            batch: UnsafeCell::new(Batch {
                frames: [const { None }; BATCH],
                count: 0,
                redirected: false,
                due: false,
            }),
        }
    }

    /// Returns the attached program, or null.
    fn program(&self) -> *mut bindings::bpf_prog {
        self.program.load(Acquire)
    }

    /// Returns whether a program is attached.
    pub(super) fn is_attached(&self) -> bool {
        !self.program.load(Relaxed).is_null()
    }
}

/// The identity of a receive ring, for programs (`struct xdp_rxq_info`).
///
/// # Invariants
///
/// It is registered for a live device, and for a page pool that outlives it.
pub(super) struct RxQueue(KBox<Opaque<bindings::xdp_rxq_info>>);

// SAFETY: It belongs to no CPU.
unsafe impl Send for RxQueue {}

impl RxQueue {
    /// Registers the receive ring whose buffers are from `pool`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// `pool` must be live, and be destroyed after what is returned is dropped.
    pub(super) unsafe fn new(dev: &NetDevice, pool: NonNull<bindings::page_pool>) -> Result<Self> {
        let queue = KBox::new(Opaque::zeroed(), GFP_KERNEL)?;
        // SAFETY: The structure is zeroed and stays where it is; the rest is the caller's promise.
        to_result(unsafe {
            bindings::net_helper_xdp_rxq_reg(queue.get(), dev.as_raw(), pool.as_ptr())
        })?;
        // INVARIANT: It just was.
        Ok(Self(queue))
    }
}

impl Drop for RxQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::xdp_rxq_info_unreg(self.0.get()) };
    }
}

/// Where a frame lies that a program is run on.
pub(super) struct Buffer {
    /// The beginning of its buffer.
    pub(super) start: *mut c_void,
    /// The size of that.
    pub(super) size: u32,
    /// How far from there the frame begins.
    pub(super) headroom: u32,
    /// Its length.
    pub(super) length: u32,
}

/// The answer of a program.
pub(super) enum Answer {
    /// The frame goes up the stack, as it is now: where it begins, its length, and how much metadata is in front.
    Pass {
        headroom: u32,
        length: u32,
        metadata: u32,
    },
    /// The buffer has gone elsewhere.
    Gone,
    /// The frame is to be dropped; the buffer is the caller's.
    Drop,
}

/// Runs the program of a device, if there is one, on a frame.
///
/// # Safety
///
/// The frame must lie in the buffer, with room behind it as `build_skb` wants it; the buffer must be the
/// caller's, be of the pool of `queue`, and be given up if the answer is [`Answer::Gone`].
pub(super) unsafe fn run<P>(rx: &RxContext<'_, P>, queue: &RxQueue, buffer: &Buffer) -> Answer {
    let dev = rx.device();
    let xdp = dev.xdp();
    let pass = |headroom, length, metadata| Answer::Pass {
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
    // SAFETY: This is a poll with a budget, in which RCU keeps the program, and there is what a redirection is noted in; the rest is
    // the caller's promise.
    let action =
        unsafe { bindings::net_helper_xdp_run(dev.as_raw(), program, queue.0.get(), &mut frame) };
    if action == bindings::xdp_action_XDP_PASS {
        // Counted when it goes up.
        return pass(frame.headroom, frame.length, frame.metadata);
    }
    // SAFETY: The device is live, and this is its poll.
    unsafe { bindings::net_helper_sw_netstats_rx_add(dev.as_raw(), 1, buffer.length) };
    // SAFETY: The context shows that this is the poll, which runs once at a time and is not left in
    // between, so this is the only borrow.
    let batch = unsafe { &mut *xdp.batch.get() };
    batch.due = true;
    if action == bindings::xdp_action_XDP_REDIRECT {
        batch.redirected = true;
        return Answer::Gone;
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
            Answer::Gone
        }
        _ => Answer::Drop,
    }
}

/// Returns the length of the longest frame that may be sent: what the MTU allows, a header and a VLAN tag.
fn longest(dev: &NetDevice) -> u32 {
    dev.mtu().saturating_add(bindings::VLAN_ETH_HLEN)
}

impl<T: Operations> Private<T> {
    /// Does what the programs have left to be done at the end of a poll.
    ///
    /// # Safety
    ///
    /// This must be the end of the poll of `dev`.
    pub(super) unsafe fn finish_xdp(&self, dev: &NetDevice) {
        // SAFETY: By the safety requirements this is the only borrow.
        let batch = unsafe { &mut *self.core.xdp.batch.get() };
        if !core::mem::take(&mut batch.due) {
            return;
        }
        if core::mem::take(&mut batch.redirected) {
            // SAFETY: In the poll in which frames were redirected.
            unsafe { bindings::xdp_do_flush() };
        }
        if batch.count > 0 {
            let mut frames = batch.frames.iter_mut().take(batch.count);
            // SAFETY: The poll runs with soft interrupts off.
            let sent = unsafe { self.send_xdp(dev, || frames.find_map(Option::take), drop) };
            // Those that there was no room for.
            frames.filter_map(Option::take).for_each(drop);
            let dropped = (batch.count as u32).saturating_sub(sent);
            dev.errors().tx_dropped.add(dropped);
            batch.count = 0;
        }
    }

    /// Sends the frames that `next` returns as long as there is room; the one that does not fit is given to
    /// `refused`, and there is no further then. Returns how many were sent.
    ///
    /// # Safety
    ///
    /// Soft interrupts must be off.
    unsafe fn send_xdp(
        &self,
        dev: &NetDevice,
        mut next: impl FnMut() -> Option<XdpFrame>,
        refused: impl FnOnce(XdpFrame),
    ) -> u32 {
        let longest = longest(dev);
        let mut sent = 0;
        // SAFETY: Soft interrupts are off. The lock keeps `ndo_start_xmit` out. A queue that is not stopped
        // belongs to a device that is up and not quiet: it is stopped from the beginning, and whenever the
        // device is made quiet (`Private::quiesce`). So this is the only borrow of the half.
        unsafe {
            bindings::net_helper_tx_lock(dev.as_raw());
            let usable = !bindings::net_helper_queue_stopped(dev.as_raw());
            if let (true, Some(xmit)) = (usable, (*self.xmit.get()).as_mut()) {
                let cx = XdpContext::new(dev);
                while let Some(frame) = next() {
                    if frame.length() > longest || !self.driver.has_room_xdp(&cx, xmit, &frame) {
                        refused(frame);
                        break;
                    }
                    self.driver.send_xdp(&cx, xmit, frame);
                    sent += 1;
                }
                if sent > 0 {
                    self.driver.flush_xdp(&cx, xmit);
                    bindings::net_helper_tx_touched(dev.as_raw());
                }
            }
            bindings::net_helper_tx_unlock(dev.as_raw());
        }
        sent
    }

    /// Attaches a program, or none. A running interface gets buffers for it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: all is as before.
    ///
    /// # Safety
    ///
    /// RTNL must be held. A program is taken over; only if this succeeds.
    unsafe fn attach(&self, dev: &NetDevice, program: *mut bindings::bpf_prog) -> Result {
        let attached = !program.is_null();
        let before = self.config(dev);
        let after = RingConfig {
            xdp: attached,
            ..before
        };
        // SAFETY: RTNL is held, and the interface is up.
        unsafe {
            if after != before && bindings::net_helper_netif_running(dev.as_raw()) {
                let reopened = self.reopen(dev, &after);
                // Buffers with too much room do as well, if there is no memory for others.
                if attached {
                    reopened?;
                }
            }
        }
        let xdp = &self.core.xdp;
        let old = xdp.program();
        xdp.program.store(program, Release);
        if !old.is_null() {
            // SAFETY: The reference that came with the program; it is freed when RCU allows.
            unsafe { bindings::net_helper_bpf_prog_put(old) };
        }
        if after != before {
            // SAFETY: RTNL is held. What is possible beside a program is asked of `fix_features`.
            unsafe { bindings::netdev_update_features(dev.as_raw()) };
        }
        Ok(())
    }
}

/// `ndo_bpf`: process context, under RTNL.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and a command.
pub(super) unsafe extern "C" fn command<T: Operations>(
    dev: *mut bindings::net_device,
    command: *mut bindings::netdev_bpf,
) -> c_int {
    let mut program = core::ptr::null_mut();
    // SAFETY: The core calls this with a device whose operations are for `T` and a command, under RTNL.
    unsafe {
        if !bindings::net_helper_xdp_command(command, &mut program) {
            return EINVAL.to_errno();
        }
        let (dev, private) = Private::<T>::of(dev);
        if !program.is_null() && dev.mtu() > T::MAX_XDP_MTU {
            bindings::net_helper_xdp_refuse_mtu(command, T::MAX_XDP_MTU);
            return error::not_supported().to_errno();
        }
        match private.attach(dev, program) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }
}

/// `ndo_xdp_xmit`: soft interrupt context; frames of other devices.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and `count` frames, of which those
/// that are sent are given away: the answer says how many, from the first on.
pub(super) unsafe extern "C" fn transmit<T: Operations>(
    dev: *mut bindings::net_device,
    count: c_int,
    frames: *mut *mut bindings::xdp_frame,
    flags: u32,
) -> c_int {
    if flags & !bindings::XDP_XMIT_FLUSH != 0 {
        return EINVAL.to_errno();
    }
    // SAFETY: The core calls this with a device whose operations are for `T` and that many frames, in a
    // soft interrupt. A frame is taken over when it is reached; one that is refused is the core's again.
    unsafe {
        let (dev, private) = Private::<T>::of(dev);
        // They would wait in the ring for the link to come back.
        if !dev.has_link() {
            return error::net_down().to_errno();
        }
        let count = count.max(0) as u32;
        let mut frames = core::slice::from_raw_parts(frames, count as usize).iter();
        let sent = private.send_xdp(
            dev,
            // INVARIANT: The core's frames are live, and one buffer each: nothing else is announced.
            || frames.find_map(|&frame| NonNull::new(frame)).map(XdpFrame),
            |frame| {
                let _ = ManuallyDrop::new(frame);
            },
        );
        dev.errors().tx_dropped.add(count.saturating_sub(sent));
        sent as c_int
    }
}
