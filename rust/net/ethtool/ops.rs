// SPDX-License-Identifier: GPL-2.0

//! The C side of [`ethtool`](super): the table of operations and what is in it.
//!
//! The ethtool core calls all of these in process context under RTNL, for a registered device; what
//! it passes besides is memory of its own, as large as the operation before has said.

use crate::bindings;
use crate::net::{
    chars,
    device::NetDevice,
    error,
    ethtool::{
        Coalesce,
        Refused,
        TestResult,
        WakeEvents,
        MAX_TESTS, //
    },
    operations::Operations,
    phy::{
        Mdio,
        Pause, //
    },
    private::Private, //
};
use core::{
    ffi::CStr,
    mem::MaybeUninit, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

// SAFETY: All fields are integers, bit fields or `Option`s of function pointers: zero is valid.
const ZEROED: bindings::ethtool_ops = unsafe { MaybeUninit::zeroed().assume_init() };

/// Returns the table for devices of `T`.
pub(in crate::net) const fn table<T: Operations>() -> bindings::ethtool_ops {
    let mut ops = ZEROED;
    ops.get_drvinfo = Some(get_drvinfo_callback::<T>);
    ops.get_link = Some(bindings::ethtool_op_get_link);
    ops.get_ts_info = Some(bindings::ethtool_op_get_ts_info);
    ops.get_msglevel = Some(get_msglevel_callback);
    ops.set_msglevel = Some(set_msglevel_callback);
    ops.get_channels = Some(get_channels_callback);
    ops.set_channels = Some(set_channels_callback);
    ops.get_sset_count = Some(get_sset_count_callback::<T>);
    ops.get_strings = Some(get_strings_callback::<T>);
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
        ops.get_ethtool_stats = Some(get_ethtool_stats_callback::<T>);
    }
    if T::HAS_MAC_STATISTICS {
        ops.get_eth_mac_stats = Some(get_eth_mac_stats_callback::<T>);
    }
    if T::REGISTER_BYTES > 0 {
        ops.get_regs_len = Some(get_regs_len_callback::<T>);
        ops.get_regs = Some(get_regs_callback::<T>);
    }
    if !T::WAKE_EVENTS.is_none() {
        ops.get_wol = Some(get_wol_callback::<T>);
        ops.set_wol = Some(set_wol_callback::<T>);
    }
    if T::EEPROM_MAGIC.is_some() {
        ops.get_eeprom_len = Some(get_eeprom_len_callback::<T>);
        ops.get_eeprom = Some(get_eeprom_callback::<T>);
    }
    if !T::SELF_TESTS.is_empty() {
        ops.self_test = Some(self_test_callback::<T>);
    }
    ops
}

/// Tells the user why, where there is a way to, and returns the error.
///
/// # Safety
///
/// `extack` must be null or valid for writes.
unsafe fn refuse(extack: *mut bindings::netlink_ext_ack, refused: &Refused) -> c_int {
    if !extack.is_null() {
        // SAFETY: By the safety requirement. The text lives for ever, as the core wants it.
        unsafe { (*extack)._msg = chars(refused.why) };
    }
    refused.error.to_errno()
}

/// `get_drvinfo`. The core has filled in the rest.
///
/// # Safety
///
/// Called by the ethtool core, with a structure of its own.
unsafe extern "C" fn get_drvinfo_callback<T: Operations>(
    _dev: *mut bindings::net_device,
    info: *mut bindings::ethtool_drvinfo,
) {
    // SAFETY: The core calls this with a structure of its own.
    let version = unsafe { &mut (*info).version };
    version.fill(0);
    // The last byte stays zero, whatever the length of the version.
    let room = version.len().saturating_sub(1);
    for (to, from) in version.iter_mut().take(room).zip(T::VERSION.to_bytes()) {
        *to = *from as c_char;
    }
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
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its own.
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
/// Called by the ethtool core, with a device whose operations are for `T` and structures of its own.
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
                &Refused {
                    error,
                    why: c"no memory for rings of that size: the old ones stay",
                },
            ),
        }
    }
}

/// `get_channels`: one queue each way, and one NAPI and one interrupt for both. The core has zeroed the
/// structure.
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

/// `set_channels`. The core lets through only what [`get_channels_callback`] makes possible and what is a change:
/// nothing. It is here because without it the core refuses to set even what is there.
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
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its own.
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
/// Called by the ethtool core, with a device whose operations are for `T` and structures of its own.
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
    // 1 frame is no wait, see `get_coalesce`; who sets only the time leaves that 1 as it was.
    let frames = |frames| if frames == 1 { 0 } else { frames };
    let wanted = Coalesce {
        rx_usecs: coalesce.rx_coalesce_usecs,
        rx_frames: frames(coalesce.rx_max_coalesced_frames),
        tx_usecs: coalesce.tx_coalesce_usecs,
        tx_frames: frames(coalesce.tx_max_coalesced_frames),
    };
    match driver.set_coalesce(dev, &wanted) {
        Ok(()) => 0,
        // SAFETY: It is the core's, or null.
        Err(refused) => unsafe { refuse(extack, &refused) },
    }
}

/// `get_pauseparam`.
///
/// # Safety
///
/// Called by the ethtool core, with a device that has been through `callbacks::init` and a structure of its own.
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
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its own.
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

/// Returns the strings of a set, or `None` if there is no such set.
fn strings<T: Operations>(set: u32) -> Option<&'static [&'static CStr]> {
    match set {
        bindings::ethtool_stringset_ETH_SS_TEST => Some(T::SELF_TESTS),
        bindings::ethtool_stringset_ETH_SS_STATS => Some(T::STATISTICS),
        _ => None,
    }
    .filter(|strings| !strings.is_empty())
}

/// `get_sset_count`.
///
/// # Safety
///
/// Called by the ethtool core.
unsafe extern "C" fn get_sset_count_callback<T: Operations>(
    _dev: *mut bindings::net_device,
    set: c_int,
) -> c_int {
    match strings::<T>(set as u32) {
        Some(strings) => strings.len() as c_int,
        None => error::not_supported().to_errno(),
    }
}

/// `get_strings`.
///
/// # Safety
///
/// Called by the ethtool core, with room for as many strings as [`get_sset_count_callback`] said.
unsafe extern "C" fn get_strings_callback<T: Operations>(
    _dev: *mut bindings::net_device,
    set: u32,
    data: *mut u8,
) {
    const LENGTH: usize = bindings::ETH_GSTRING_LEN as usize;
    for (nth, string) in strings::<T>(set).unwrap_or_default().iter().enumerate() {
        let mut padded = [0u8; LENGTH];
        // The last byte stays zero.
        for (to, from) in padded.iter_mut().take(LENGTH - 1).zip(string.to_bytes()) {
            *to = *from;
        }
        // SAFETY: The core's buffer has room for that many strings of this length; bytes have no
        // alignment.
        unsafe { data.add(nth * LENGTH).cast::<[u8; LENGTH]>().write(padded) };
    }
}

/// `get_ethtool_stats`.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and zeroed room for as many
/// values as [`get_sset_count_callback`] said.
unsafe extern "C" fn get_ethtool_stats_callback<T: Operations>(
    dev: *mut bindings::net_device,
    _stats: *mut bindings::ethtool_stats,
    data: *mut u64,
) {
    // SAFETY: The core calls this with a device whose operations are for `T`, and with room for that
    // many values, which it has zeroed and which nobody else looks at.
    let (driver, values) = unsafe {
        (
            Private::<T>::of(dev).1.driver(),
            core::slice::from_raw_parts_mut(data, T::STATISTICS.len()),
        )
    };
    driver.refresh_statistics();
    driver.statistics(values);
}

/// `get_eth_mac_stats`. The core has marked all values as absent.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its own.
unsafe extern "C" fn get_eth_mac_stats_callback<T: Operations>(
    dev: *mut bindings::net_device,
    stats: *mut bindings::ethtool_eth_mac_stats,
) {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own. The union is the same fields twice, once named as a group, and integers.
    let (driver, src, to) = unsafe {
        (
            Private::<T>::of(dev).1.driver(),
            (*stats).src,
            (*stats).__bindgen_anon_1.__bindgen_anon_1.as_mut(),
        )
    };
    // There is one MAC; only a device with preemption has more (`ETHTOOL_MAC_STATS_SRC_*`).
    if src != bindings::ethtool_mac_stats_src_ETHTOOL_MAC_STATS_SRC_AGGREGATE {
        return;
    }
    driver.refresh_statistics();
    let mac = driver.mac_statistics();
    to.FramesTransmittedOK = mac.frames_transmitted_ok;
    to.SingleCollisionFrames = mac.single_collision_frames;
    to.MultipleCollisionFrames = mac.multiple_collision_frames;
    to.FramesReceivedOK = mac.frames_received_ok;
    to.AlignmentErrors = mac.alignment_errors;
    to.FramesLostDueToIntMACXmitError = mac.frames_lost_due_to_int_mac_xmit_error;
    to.BroadcastFramesReceivedOK = mac.broadcast_frames_received_ok;
    to.MulticastFramesReceivedOK = mac.multicast_frames_received_ok;
}

/// `get_regs_len`.
///
/// # Safety
///
/// Called by the ethtool core.
unsafe extern "C" fn get_regs_len_callback<T: Operations>(
    _dev: *mut bindings::net_device,
) -> c_int {
    T::REGISTER_BYTES as c_int
}

/// `get_regs`.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T`, a structure of its own and
/// zeroed room for as many bytes as [`get_regs_len_callback`] said.
unsafe extern "C" fn get_regs_callback<T: Operations>(
    dev: *mut bindings::net_device,
    regs: *mut bindings::ethtool_regs,
    data: *mut c_void,
) {
    // SAFETY: The core calls this with a device whose operations are for `T`, a structure of its own,
    // and that much room, which it has zeroed and which nobody else looks at.
    unsafe {
        let driver = Private::<T>::of(dev).1.driver();
        (*regs).version = driver.register_version();
        let dump = core::slice::from_raw_parts_mut(data.cast::<u8>(), T::REGISTER_BYTES);
        driver.read_registers(dump);
    }
}

/// `get_wol`. The core has zeroed the structure.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its own.
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

/// `set_wol`. The core has refused what [`get_wol_callback`] does not list, and remembers what is set.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its own.
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

/// `get_eeprom_len`: with a length of 0 the core answers `EOPNOTSUPP` to who wants to read it.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T`.
unsafe extern "C" fn get_eeprom_len_callback<T: Operations>(
    dev: *mut bindings::net_device,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T`.
    unsafe { Private::<T>::of(dev) }.1.driver().eeprom_size() as c_int
}

/// `get_eeprom`. The core has checked offset and length against [`get_eeprom_len_callback`].
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T`, a structure of its own and
/// room for as many bytes as that says.
unsafe extern "C" fn get_eeprom_callback<T: Operations>(
    dev: *mut bindings::net_device,
    eeprom: *mut bindings::ethtool_eeprom,
    data: *mut u8,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its own.
    let ((dev, private), eeprom) = unsafe { (Private::<T>::of(dev), &mut *eeprom) };
    let (offset, length) = (eeprom.offset as usize, eeprom.len as usize);
    let end = offset.checked_add(length);
    if end.is_none_or(|end| end > private.driver().eeprom_size()) {
        return EINVAL.to_errno();
    }
    // SAFETY: The core's buffer has room for that many bytes, and no other reference to them exists.
    let bytes = unsafe {
        data.write_bytes(0, length);
        core::slice::from_raw_parts_mut(data, length)
    };
    // SAFETY: RTNL is held.
    unsafe { private.while_quiet(dev, |driver| driver.read_eeprom(offset, bytes)) };
    eeprom.magic = T::EEPROM_MAGIC.unwrap_or_default();
    0
}

/// `self_test`. The core has zeroed the results.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T`, a structure of its own and
/// room for as many results as [`get_sset_count_callback`] said.
unsafe extern "C" fn self_test_callback<T: Operations>(
    dev: *mut bindings::net_device,
    test: *mut bindings::ethtool_test,
    data: *mut u64,
) {
    const {
        assert!(T::SELF_TESTS.len() <= MAX_TESTS);
    }
    // SAFETY: The core calls this with a device whose operations are for `T`, a structure of its own,
    // and that many results, which it has zeroed and which nobody else looks at.
    let (dev, private, test, data) = unsafe {
        let (dev, private) = Private::<T>::of(dev);
        let data = core::slice::from_raw_parts_mut(data, T::SELF_TESTS.len());
        (dev, private, &mut *test, data)
    };
    let mut results = [TestResult::NotRun; MAX_TESTS];
    let results = &mut results[..T::SELF_TESTS.len()];
    private.driver().self_test_online(dev, results);
    if test.flags & bindings::ethtool_test_flags_ETH_TEST_FL_OFFLINE != 0 {
        // SAFETY: RTNL is held.
        if unsafe { private.self_test_offline(dev, results) }.is_err() {
            test.flags |= bindings::ethtool_test_flags_ETH_TEST_FL_FAILED;
        }
    }
    for (to, result) in data.iter_mut().zip(results) {
        // A test that was not run has nothing to complain about, as in other drivers.
        if *result == TestResult::Failed {
            *to = 1;
            test.flags |= bindings::ethtool_test_flags_ETH_TEST_FL_FAILED;
        }
    }
}
