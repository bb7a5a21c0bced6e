// SPDX-License-Identifier: GPL-2.0

//! The private area of a network device: what the framework keeps, and the driver and its halves.

use super::{
    atomic::Flag,
    device::{
        private_area,
        Core,
        NetDevice, //
    },
    operations::{
        Opened,
        Operations,
        RingConfig, //
    }, //
};
use crate::bindings;
use core::cell::UnsafeCell;
use kernel::sync::atomic::Relaxed;

/// The private area of a network device.
///
/// `xmit`, `poll` and `pool` are `Some` from the middle of `ndo_open` to the end of `ndo_stop`.
/// Between, `xmit` is borrowed by `ndo_start_xmit`, `poll` and `pool` by the NAPI poll, and all by
/// a quiet device.
#[repr(C)]
pub(super) struct Private<T: Operations> {
    pub(super) core: Core,
    pub(super) driver: T,
    pub(super) xmit: UnsafeCell<Option<T::TxState>>,
    pub(super) poll: UnsafeCell<Option<T::NapiState>>,
    /// Dropped after the buffers that are in `poll`.
    pub(super) pool: UnsafeCell<Option<T::Pool>>,
    /// A poll borrows `poll` and `pool`. NAPI runs it once at a time, but for a netpoll that begins
    /// while netpoll is being set up.
    pub(super) polling: Flag,
    /// The interface has its halves, interrupt and PHY. Unlike the core's `netif_running` it is not
    /// set while `ndo_open` resumes the device. Written with RTNL held, and the device resumed.
    pub(super) opened: Flag,
    /// The device runs: it is up, and not suspended. Written by slow paths only.
    pub(super) running: Flag,
    /// The device is to receive, so its filter may be set. Changed under the lock of the address
    /// lists, which is the only lock that the core always holds when it sets the filter.
    pub(super) rx_enabled: Flag,
    /// The device is suspended and must not be touched, not even when a neighbour on its line
    /// interrupts. Written by slow paths only.
    pub(super) suspended: Flag,
    /// The device is suspended because it is not in use. Written by the callbacks of `runtime_pm`
    /// only, of which the core runs one at a time.
    pub(super) runtime_suspended: Flag,
}

impl<T: Operations> Private<T> {
    /// Returns a device and its private area.
    ///
    /// # Safety
    ///
    /// `dev` must have been through `callbacks::init` for the same `T` and live for `'a`.
    pub(super) unsafe fn of<'a>(dev: *mut bindings::net_device) -> (&'a NetDevice, &'a Self) {
        // SAFETY: By the safety requirements.
        unsafe { (NetDevice::from_raw(dev), &*private_area(dev).cast()) }
    }

    pub(super) fn driver(&self) -> &T {
        &self.driver
    }

    /// Returns the size that the rings are to have.
    pub(super) fn config(&self, dev: &NetDevice) -> RingConfig {
        RingConfig {
            mtu: dev.mtu(),
            rx: self.core.rx_ring.load(Relaxed),
            tx: self.core.tx_ring.load(Relaxed),
            xdp: self.core.xdp.is_attached(),
        }
    }

    /// Replaces what `Operations::open` has returned, or drops it.
    ///
    /// # Safety
    ///
    /// NAPI must be disabled, and nothing else borrow the halves.
    pub(super) unsafe fn set_halves(&self, opened: Option<Opened<T>>) {
        let (xmit, poll, pool) = match opened {
            Some(opened) => (Some(opened.xmit), Some(opened.poll), Some(opened.pool)),
            None => (None, None, None),
        };
        // SAFETY: By the safety requirements.
        unsafe {
            *self.xmit.get() = xmit;
            *self.poll.get() = poll;
            *self.pool.get() = pool;
        }
    }
}
