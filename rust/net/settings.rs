// SPDX-License-Identifier: GPL-2.0

//! The settings of the network core: the receive filter, the address, the MTU and the features.
//!
//! The callbacks of [`callbacks`](super::callbacks) that change how a device works while it may be
//! up.

use super::{
    features::Features,
    operations::{
        Operations,
        RingConfig, //
    },
    private::Private,
    runtime_pm::RpmGuard,
    skb::SkBuff, //
};
use crate::bindings;
use core::ffi::c_void;
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

/// `ndo_set_rx_mode`: under the lock of the address lists, any context but hard interrupts.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T`.
pub(super) unsafe extern "C" fn set_rx_mode_callback<T: Operations>(
    dev: *mut bindings::net_device,
) {
    // SAFETY: The core calls this with a device whose operations are for `T`, and holds the lock.
    unsafe {
        let (dev, private) = Private::<T>::of(dev);
        private.apply_rx_filter(dev);
    }
}

/// `ndo_set_mac_address`: process context, under RTNL.
///
/// # Safety
///
/// Called by the network core, with a `struct sockaddr` and a device whose operations are for `T`.
pub(super) unsafe extern "C" fn set_mac_address_callback<T: Operations>(
    dev: *mut bindings::net_device,
    address: *mut c_void,
) -> c_int {
    // SAFETY: The core calls this with a `struct sockaddr` and a device of `T`, which then has a
    // valid address of 6 bytes.
    unsafe {
        let (dev, private) = Private::<T>::of(dev);
        // Resuming the device writes the address, so that it must not change meanwhile.
        let _guard = RpmGuard::new(dev);
        let result = bindings::eth_mac_addr(dev.as_raw(), address);
        if result == 0 {
            private.driver.set_mac_address(&dev.address());
        }
        result
    }
}

/// `ndo_change_mtu`: process context, under RTNL. The MTU is within the limits.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T`.
pub(super) unsafe extern "C" fn change_mtu_callback<T: Operations>(
    dev: *mut bindings::net_device,
    mtu: c_int,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T`, under RTNL.
    unsafe {
        let (dev, private) = Private::<T>::of(dev);
        let _guard = RpmGuard::new(dev);
        let before = private.config(dev);
        if before.xdp && mtu.unsigned_abs() > T::MAX_XDP_MTU {
            bindings::netdev_warn_xdp_mtu(dev.as_raw(), T::MAX_XDP_MTU);
            return EINVAL.to_errno();
        }
        let after = RingConfig {
            mtu: mtu.unsigned_abs(),
            ..before
        };
        bindings::netdev_set_mtu(dev.as_raw(), after.mtu);
        if bindings::netif_running(dev.as_raw()) {
            if let Err(e) = private.reopen(dev, &after) {
                bindings::netdev_set_mtu(dev.as_raw(), before.mtu);
                return e.to_errno();
            }
        }
        let allowed = private.driver.check_pause(after.mtu).is_ok();
        if allowed != private.driver.check_pause(before.mtu).is_ok() {
            let up = private.running.load(Relaxed);
            if let Some(phy) = dev.phy() {
                phy.allow_pause(allowed, up);
            }
        }
        // What the new size allows is asked of `fix_features`.
        bindings::netdev_update_features(dev.as_raw());
    }
    0
}

/// `ndo_fix_features`: process context, under RTNL.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T`.
pub(super) unsafe extern "C" fn fix_features_callback<T: Operations>(
    dev: *mut bindings::net_device,
    wanted: bindings::netdev_features_t,
) -> bindings::netdev_features_t {
    // SAFETY: The core calls this with a device whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    let config = private.config(dev);
    let mut features = Features::from_raw(wanted);
    if config.xdp {
        // A program is to see frames whole, and what it sends back would lose its tag.
        features = features.without(Features::VLAN_RX);
    }
    private.driver.fix_features(config.mtu, features).as_raw()
}

/// `ndo_set_features`: process context, under RTNL.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T`.
pub(super) unsafe extern "C" fn set_features_callback<T: Operations>(
    dev: *mut bindings::net_device,
    features: bindings::netdev_features_t,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    let _guard = RpmGuard::new(dev);
    private.driver.set_features(Features::from_raw(features));
    // SAFETY: The device is live, its operations are for `T`, and the lock is the one that the core
    // holds.
    unsafe {
        bindings::netif_addr_lock_bh(dev.as_raw());
        private.apply_rx_filter(dev);
        bindings::netif_addr_unlock_bh(dev.as_raw());
    }
    0
}

/// `ndo_features_check`: any context but hard interrupts, before each frame is sent.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and a live frame.
pub(super) unsafe extern "C" fn features_check_callback<T: Operations>(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
    features: bindings::netdev_features_t,
) -> bindings::netdev_features_t {
    // SAFETY: The core calls this with a device whose operations are for `T`, and with a frame that
    // only it uses, and not while this runs.
    unsafe {
        let (_, private) = Private::<T>::of(dev);
        let features = private
            .driver
            .check_features(SkBuff::from_raw(skb), Features::from_raw(features));
        bindings::vlan_features_check(skb, features.as_raw())
    }
}
