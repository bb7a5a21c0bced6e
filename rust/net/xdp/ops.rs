// SPDX-License-Identifier: GPL-2.0

//! The C side of [`xdp`](super): what the network core calls, and the end of a poll.

use crate::bindings;
use crate::net::{
    contexts::XdpContext,
    device::NetDevice,
    error,
    operations::{
        Operations,
        RingConfig, //
    },
    private::Private,
    xdp::{
        run::longest,
        XdpFrame, //
    }, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    prelude::*,
    sync::atomic::Release, //
};

impl<T: Operations> Private<T> {
    /// Sends and redirects the frames that programs have left for the end of the poll.
    ///
    /// # Safety
    ///
    /// This must be the end of the poll of `dev`.
    pub(in crate::net) unsafe fn finish_xdp(&self, dev: &NetDevice) {
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
            // There was no room for the rest.
            frames.filter_map(Option::take).for_each(drop);
            let dropped = (batch.count as u32).saturating_sub(sent);
            dev.errors().tx_dropped.add(dropped);
            batch.count = 0;
        }
    }

    /// Sends the frames that `next` returns as long as there is room; the one that does not fit is
    /// given to `refused`, and there is no further then. Returns how many were sent.
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
        // SAFETY: Soft interrupts are off. The lock keeps `ndo_start_xmit` out. A queue that is not
        // stopped belongs to a device that is up and not quiet: it is stopped from the beginning,
        // and whenever the device is made quiet (`Private::stop_hw`). So this is the only borrow of
        // the half.
        unsafe {
            bindings::netif_tx_lock_queue(dev.as_raw());
            let usable = !bindings::netif_queue_stopped(dev.as_raw());
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
                    bindings::txq_trans_cond_update(dev.as_raw());
                }
            }
            bindings::netif_tx_unlock_queue(dev.as_raw());
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
            if after != before && bindings::netif_running(dev.as_raw()) {
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
            unsafe { bindings::bpf_prog_put(old) };
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
pub(in crate::net) unsafe extern "C" fn bpf_callback<T: Operations>(
    dev: *mut bindings::net_device,
    command: *mut bindings::netdev_bpf,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and a command, under
    // RTNL.
    unsafe {
        if !bindings::netdev_bpf_is_setup_prog(command) {
            return EINVAL.to_errno();
        }
        let program = bindings::netdev_bpf_prog(command);
        let (dev, private) = Private::<T>::of(dev);
        if !program.is_null() && dev.mtu() > T::MAX_XDP_MTU {
            bindings::netdev_bpf_refuse_mtu(command, T::MAX_XDP_MTU);
            return error::not_supported().to_errno();
        }
        from_result(|| private.attach(dev, program).map(|()| 0))
    }
}

/// `ndo_xdp_xmit`: soft interrupt context; frames of other devices.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and `count` frames, of
/// which those that are sent are given away: the answer says how many, from the first on.
pub(in crate::net) unsafe extern "C" fn xdp_xmit_callback<T: Operations>(
    dev: *mut bindings::net_device,
    count: c_int,
    frames: *mut *mut bindings::xdp_frame,
    flags: u32,
) -> c_int {
    if flags & !bindings::XDP_XMIT_FLUSH != 0 {
        return EINVAL.to_errno();
    }
    // SAFETY: The core calls this with a device whose operations are for `T` and that many frames,
    // in a soft interrupt. A frame is taken over when it is reached; one that is refused is the
    // core's again.
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
            // INVARIANT: The core's frames are live, and one buffer each: nothing else is
            // announced.
            || frames.find_map(|&frame| NonNull::new(frame)).map(XdpFrame),
            |frame| {
                let _ = ManuallyDrop::new(frame);
            },
        );
        dev.errors().tx_dropped.add(count.saturating_sub(sent));
        sent as c_int
    }
}
