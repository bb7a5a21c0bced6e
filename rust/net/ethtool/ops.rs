// SPDX-License-Identifier: GPL-2.0

//! The C side of [`ethtool`](super): the table of operations and what is in it.
//!
//! Those that only show something are in [`reports`]. The ethtool core calls all of them in process
//! context under RTNL, for a registered device; what it passes besides is memory of its own, as
//! large as the operation before has said.

use crate::bindings;
use crate::net::{
    chars,
    device::NetDevice,
    error,
    ethtool::{
        reports,
        Coalesce,
        ExtackError,
        WakeEvents, //
    },
    operations::Operations,
    phy::{
        Mdio,
        Pause, //
    },
    private::Private, //
};
use core::mem::MaybeUninit;
use kernel::{
    error::from_result,
    prelude::*, //
};

// SAFETY: All fields are integers, bit fields or `Option`s of function pointers: zero is valid.
const ZEROED: bindings::ethtool_ops = unsafe { MaybeUninit::zeroed().assume_init() };

/// Returns the table for devices of `T`.
pub(in crate::net) const fn table<T: Operations>() -> bindings::ethtool_ops {
    let mut ops = ZEROED;
    ops.get_drvinfo = Some(reports::get_drvinfo_callback::<T>);
    ops.get_link = Some(bindings::ethtool_op_get_link);
    ops.get_ts_info = Some(bindings::ethtool_op_get_ts_info);
    ops.get_msglevel = Some(get_msglevel_callback);
    ops.set_msglevel = Some(set_msglevel_callback);
    ops.get_channels = Some(get_channels_callback);
    ops.set_channels = Some(set_channels_callback);
    ops.get_sset_count = Some(reports::get_sset_count_callback::<T>);
    ops.get_strings = Some(reports::get_strings_callback::<T>);
    if <T::Mdio as Mdio>::EXISTS {
        ops.get_link_ksettings = Some(bindings::phy_ethtool_get_link_ksettings);
        ops.set_link_ksettings = Some(bindings::phy_ethtool_set_link_ksettings);
        ops.nway_reset = Some(bindings::phy_ethtool_nway_reset);
        ops.get_pauseparam = Some(get_pauseparam_callback);
        ops.set_pauseparam = Some(set_pauseparam_callback::<T>);
    }
    if T::RINGS.is_some() {
        ops.get_ringparam = Some(get_ringparam_callback::<T>);
        ops.set_ringparam = Some(set_ringparam_callback::<T>);
    }
    if T::HAS_COALESCE {
        ops.supported_coalesce_params = bindings::NET_COALESCE_PARAMS;
        ops.get_coalesce = Some(get_coalesce_callback::<T>);
        ops.set_coalesce = Some(set_coalesce_callback::<T>);
    }
    if !T::STATISTICS.is_empty() {
        ops.get_ethtool_stats = Some(reports::get_ethtool_stats_callback::<T>);
    }
    if T::HAS_MAC_STATISTICS {
        ops.get_eth_mac_stats = Some(reports::get_eth_mac_stats_callback::<T>);
    }
    if T::REGISTER_BYTES > 0 {
        ops.get_regs_len = Some(reports::get_regs_len_callback::<T>);
        ops.get_regs = Some(reports::get_regs_callback::<T>);
    }
    if !T::WAKE_EVENTS.is_none() {
        ops.get_wol = Some(get_wol_callback::<T>);
        ops.set_wol = Some(set_wol_callback::<T>);
    }
    if T::EEPROM_MAGIC.is_some() {
        ops.get_eeprom_len = Some(reports::get_eeprom_len_callback::<T>);
        ops.get_eeprom = Some(reports::get_eeprom_callback::<T>);
    }
    if !T::SELF_TESTS.is_empty() {
        ops.self_test = Some(reports::self_test_callback::<T>);
    }
    ops
}

/// Shows the user the reason, where there is a way to, and returns the error.
///
/// # Safety
///
/// `extack` must be null or valid for writes.
unsafe fn refuse(extack: *mut bindings::netlink_ext_ack, refused: &ExtackError) -> c_int {
    if !extack.is_null() {
        // SAFETY: By the safety requirement. The text lives forever, as the core wants it.
        unsafe { (*extack)._msg = chars(refused.why) };
    }
    refused.error.to_errno()
}

/// `get_msglevel`.
///
/// # Safety
///
/// Called by the ethtool core, with a device that has been through `callbacks::init`.
unsafe extern "C" fn get_msglevel_callback(dev: *mut bindings::net_device) -> u32 {
    // SAFETY: The core calls this with such a device.
    unsafe { NetDevice::from_raw(dev) }.message_level()
}

/// `set_msglevel`.
///
/// # Safety
///
/// Called by the ethtool core, with a device that has been through `callbacks::init`.
unsafe extern "C" fn set_msglevel_callback(dev: *mut bindings::net_device, level: u32) {
    // SAFETY: The core calls this with such a device.
    unsafe { NetDevice::from_raw(dev) }.set_message_level(level);
}

/// `get_ringparam`. The core has zeroed the structure.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its
/// own.
unsafe extern "C" fn get_ringparam_callback<T: Operations>(
    dev: *mut bindings::net_device,
    ring: *mut bindings::ethtool_ringparam,
    _kernel_ring: *mut bindings::kernel_ethtool_ringparam,
    _extack: *mut bindings::netlink_ext_ack,
) {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own.
    let (config, ring) = unsafe {
        let (dev, private) = Private::<T>::of(dev);
        (private.config(dev), &mut *ring)
    };
    if let Some(sizes) = &T::RINGS {
        ring.rx_max_pending = *sizes.rx.end();
        ring.tx_max_pending = *sizes.tx.end();
    }
    ring.rx_pending = config.rx;
    ring.tx_pending = config.tx;
}

/// `set_ringparam`. The core has checked the upper limits.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and structures of its
/// own.
unsafe extern "C" fn set_ringparam_callback<T: Operations>(
    dev: *mut bindings::net_device,
    ring: *mut bindings::ethtool_ringparam,
    _kernel_ring: *mut bindings::kernel_ethtool_ringparam,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and structures of its
    // own, under RTNL.
    unsafe {
        let (dev, private) = Private::<T>::of(dev);
        let (rx, tx) = ((*ring).rx_pending, (*ring).tx_pending);
        let Some(sizes) = &T::RINGS else {
            return error::not_supported().to_errno();
        };
        if let Err(refused) = sizes.check(rx, tx) {
            return refuse(extack, &refused);
        }
        match private.resize_rings(dev, rx, tx) {
            Ok(()) => 0,
            Err(error) => refuse(
                extack,
                &ExtackError {
                    error,
                    why: c"no memory for rings of that size: the old ones stay",
                },
            ),
        }
    }
}

/// `get_channels`: one queue each way, and one NAPI and one interrupt for both. The core has zeroed
/// the structure.
///
/// # Safety
///
/// Called by the ethtool core, with a structure of its own.
unsafe extern "C" fn get_channels_callback(
    _dev: *mut bindings::net_device,
    channels: *mut bindings::ethtool_channels,
) {
    // SAFETY: The core calls this with a structure of its own.
    let channels = unsafe { &mut *channels };
    channels.max_combined = 1;
    channels.combined_count = 1;
}

/// `set_channels`. The core lets through only what [`get_channels_callback`] makes possible and
/// what is a change: nothing. It is here because without it the core refuses to set even what is
/// there.
///
/// # Safety
///
/// Called by the ethtool core.
unsafe extern "C" fn set_channels_callback(
    _dev: *mut bindings::net_device,
    _channels: *mut bindings::ethtool_channels,
) -> c_int {
    EINVAL.to_errno()
}

/// `get_coalesce`. The core has zeroed the structure.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its
/// own.
unsafe extern "C" fn get_coalesce_callback<T: Operations>(
    dev: *mut bindings::net_device,
    coalesce: *mut bindings::ethtool_coalesce,
    _kernel_coalesce: *mut bindings::kernel_ethtool_coalesce,
    _extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own.
    let (driver, coalesce) = unsafe { (Private::<T>::of(dev).1.driver(), &mut *coalesce) };
    let now = match driver.coalesce() {
        Ok(now) => now,
        Err(e) => return e.to_errno(),
    };
    // By the rules of `struct ethtool_coalesce` time and frames must not both be 0: an interrupt
    // that does not wait is said to wait for 1 frame.
    let frames = |usecs, frames| if usecs == 0 && frames == 0 { 1 } else { frames };
    coalesce.rx_coalesce_usecs = now.rx_usecs;
    coalesce.rx_max_coalesced_frames = frames(now.rx_usecs, now.rx_frames);
    coalesce.tx_coalesce_usecs = now.tx_usecs;
    coalesce.tx_max_coalesced_frames = frames(now.tx_usecs, now.tx_frames);
    0
}

/// `set_coalesce`. The core refuses what is not in `supported_coalesce_params`.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and structures of its
/// own.
unsafe extern "C" fn set_coalesce_callback<T: Operations>(
    dev: *mut bindings::net_device,
    coalesce: *mut bindings::ethtool_coalesce,
    _kernel_coalesce: *mut bindings::kernel_ethtool_coalesce,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own.
    let (dev, driver, coalesce) = unsafe {
        let (dev, private) = Private::<T>::of(dev);
        (dev, private.driver(), &*coalesce)
    };
    // 1 frame is no wait, see `get_coalesce`; user space that changes only the usecs writes the 1
    // back.
    let frames = |frames| if frames == 1 { 0 } else { frames };
    let wanted = Coalesce {
        rx_usecs: coalesce.rx_coalesce_usecs,
        rx_frames: frames(coalesce.rx_max_coalesced_frames),
        tx_usecs: coalesce.tx_coalesce_usecs,
        tx_frames: frames(coalesce.tx_max_coalesced_frames),
    };
    match driver.set_coalesce(dev, &wanted) {
        Ok(()) => 0,
        // SAFETY: What the core gives is null or valid for writes.
        Err(refused) => unsafe { refuse(extack, &refused) },
    }
}

/// `get_pauseparam`.
///
/// # Safety
///
/// Called by the ethtool core, with a device that has been through `callbacks::init` and a
/// structure of its own.
unsafe extern "C" fn get_pauseparam_callback(
    dev: *mut bindings::net_device,
    param: *mut bindings::ethtool_pauseparam,
) {
    // SAFETY: The core calls this with such a device and a structure of its own.
    let (dev, param) = unsafe { (NetDevice::from_raw(dev), &mut *param) };
    let Some(phy) = dev.phy() else {
        return;
    };
    let pause = phy.pause();
    param.autoneg = u32::from(phy.negotiates());
    param.rx_pause = u32::from(pause.rx);
    param.tx_pause = u32::from(pause.tx);
}

/// `set_pauseparam`.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its
/// own.
unsafe extern "C" fn set_pauseparam_callback<T: Operations>(
    dev: *mut bindings::net_device,
    param: *mut bindings::ethtool_pauseparam,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own.
    let (dev, driver, param) = unsafe {
        let (dev, private) = Private::<T>::of(dev);
        (dev, private.driver(), &*param)
    };
    let Some(phy) = dev.phy() else {
        return error::not_supported().to_errno();
    };
    // The MAC obeys what the PHY has negotiated: nothing can be forced on it.
    if (param.autoneg != 0) != phy.negotiates() {
        return error::not_supported().to_errno();
    }
    if let Err(refused) = driver.check_pause(dev.mtu()) {
        return refused.error.to_errno();
    }
    let pause = Pause {
        rx: param.rx_pause != 0,
        tx: param.tx_pause != 0,
    };
    from_result(|| phy.set_pause(pause).map(|()| 0))
}

/// `get_wol`. The core has zeroed the structure.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its
/// own.
unsafe extern "C" fn get_wol_callback<T: Operations>(
    dev: *mut bindings::net_device,
    wol: *mut bindings::ethtool_wolinfo,
) {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own.
    unsafe {
        if bindings::device_can_wakeup(bindings::netdev_parent(dev)) {
            (*wol).supported = T::WAKE_EVENTS.as_raw();
            (*wol).wolopts = Private::<T>::of(dev).1.driver().wake_events().as_raw();
        }
    }
}

/// `set_wol`. The core has refused what [`get_wol_callback`] does not list, and remembers what is
/// set.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its
/// own.
unsafe extern "C" fn set_wol_callback<T: Operations>(
    dev: *mut bindings::net_device,
    wol: *mut bindings::ethtool_wolinfo,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own.
    let (driver, events) = unsafe {
        if !bindings::device_can_wakeup(bindings::netdev_parent(dev)) {
            return error::not_supported().to_errno();
        }
        (Private::<T>::of(dev).1.driver(), (*wol).wolopts)
    };
    let Some(events) = WakeEvents::from_raw(events, T::WAKE_EVENTS) else {
        return EINVAL.to_errno();
    };
    driver.set_wake_events(events);
    let wake = !events.is_none();
    // SAFETY: The device is live, and its parent too. What is enabled already cannot be enabled.
    unsafe {
        let parent = bindings::netdev_parent(dev);
        if bindings::device_may_wakeup(parent) == wake {
            0
        } else {
            bindings::device_set_wakeup_enable(parent, wake)
        }
    }
}
