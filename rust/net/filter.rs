// SPDX-License-Identifier: GPL-2.0

//! The receive filter.

use super::{
    device::NetDevice,
    operations::{
        Operations,
        RxFilter, //
    },
    private::Private, //
};
use crate::bindings;
use kernel::sync::atomic::Relaxed;

impl<T: Operations> Private<T> {
    /// Has the device receive what the lists of the network core have, if it is to receive at all.
    ///
    /// # Safety
    ///
    /// The lock of the address lists of `dev` must be held.
    pub(super) unsafe fn apply_rx_filter(&self, dev: &NetDevice) {
        if !self.rx_enabled.load(Relaxed) {
            // A slow path has stopped the receiver; `start_hw` sets the filter that is current
            // then.
            return;
        }
        // SAFETY: The device is live.
        let flags = unsafe { bindings::netdev_flags(dev.as_raw()) };
        let filter = if flags & bindings::NET_IFF_PROMISC != 0 {
            RxFilter::Promiscuous
        } else if flags & bindings::NET_IFF_ALLMULTI != 0 {
            RxFilter::AllMulticast
        } else {
            // SAFETY: The lock of the lists is held.
            match unsafe { multicast_hash(dev.as_raw()) } {
                0 => RxFilter::Own,
                hash => RxFilter::Multicast(hash),
            }
        };
        self.driver.set_rx_filter(filter);
    }
}

/// Returns the hash of the multicast addresses that the device is to receive; see [`RxFilter`].
///
/// # Safety
///
/// The lock of the address lists of `dev` must be held.
unsafe fn multicast_hash(dev: *mut bindings::net_device) -> u64 {
    let mut hash = 0u64;
    // SAFETY: The lock keeps the list as it is, which ends where it begins. An entry has an address
    // of 6 bytes at least.
    unsafe {
        let list = bindings::netdev_mc_list(dev);
        let mut entry = (*list).next;
        while entry != list {
            let crc = bindings::ether_crc(6, bindings::netdev_hw_addr(entry));
            hash |= 1 << (crc >> 26);
            entry = (*entry).next;
        }
    }
    hash
}
