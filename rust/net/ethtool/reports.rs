// SPDX-License-Identifier: GPL-2.0

//! The operations of [`ops`](super::ops) by which `ethtool` shows a device and tests it:
//! statistics, registers, EEPROM, self-test.

use crate::bindings;
use crate::net::{
    error,
    ethtool::{
        TestResult,
        MAX_TESTS, //
    },
    operations::Operations,
    private::Private, //
};
use core::ffi::CStr;
use kernel::prelude::*;

/// `get_drvinfo`. The core has filled in the rest.
///
/// # Safety
///
/// Called by the ethtool core, with a structure of its own.
pub(super) unsafe extern "C" fn get_drvinfo_callback<T: Operations>(
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
pub(super) unsafe extern "C" fn get_sset_count_callback<T: Operations>(
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
pub(super) unsafe extern "C" fn get_strings_callback<T: Operations>(
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
/// Called by the ethtool core, with a device whose operations are for `T` and zeroed room for as
/// many values as [`get_sset_count_callback`] said.
pub(super) unsafe extern "C" fn get_ethtool_stats_callback<T: Operations>(
    dev: *mut bindings::net_device,
    _stats: *mut bindings::ethtool_stats,
    data: *mut u64,
) {
    // SAFETY: The core calls this with a device whose operations are for `T`, and with room for
    // that many values, which it has zeroed and which has no other user.
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
/// Called by the ethtool core, with a device whose operations are for `T` and a structure of its
/// own.
pub(super) unsafe extern "C" fn get_eth_mac_stats_callback<T: Operations>(
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
pub(super) unsafe extern "C" fn get_regs_len_callback<T: Operations>(
    _dev: *mut bindings::net_device,
) -> c_int {
    T::REGISTER_BYTES as c_int
}

/// `get_regs`.
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T`, a structure of its own
/// and zeroed room for as many bytes as [`get_regs_len_callback`] said.
pub(super) unsafe extern "C" fn get_regs_callback<T: Operations>(
    dev: *mut bindings::net_device,
    regs: *mut bindings::ethtool_regs,
    data: *mut c_void,
) {
    // SAFETY: The core calls this with a device whose operations are for `T`, a structure of its
    // own, and that much room, which it has zeroed and which has no other user.
    unsafe {
        let driver = Private::<T>::of(dev).1.driver();
        (*regs).version = driver.register_version();
        let dump = core::slice::from_raw_parts_mut(data.cast::<u8>(), T::REGISTER_BYTES);
        driver.read_registers(dump);
    }
}

/// `get_eeprom_len`. With a length of 0 the core refuses to read it (`EOPNOTSUPP`).
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T`.
pub(super) unsafe extern "C" fn get_eeprom_len_callback<T: Operations>(
    dev: *mut bindings::net_device,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T`.
    unsafe { Private::<T>::of(dev) }.1.driver().eeprom_size() as c_int
}

/// `get_eeprom`. The core has checked offset and length against [`get_eeprom_len_callback`].
///
/// # Safety
///
/// Called by the ethtool core, with a device whose operations are for `T`, a structure of its own
/// and room for as many bytes as that says.
pub(super) unsafe extern "C" fn get_eeprom_callback<T: Operations>(
    dev: *mut bindings::net_device,
    eeprom: *mut bindings::ethtool_eeprom,
    data: *mut u8,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T` and a structure of its
    // own.
    let ((dev, private), eeprom) = unsafe { (Private::<T>::of(dev), &mut *eeprom) };
    let (offset, length) = (eeprom.offset as usize, eeprom.len as usize);
    let end = offset.checked_add(length);
    if end.is_none_or(|end| end > private.driver().eeprom_size()) {
        return EINVAL.to_errno();
    }
    // SAFETY: The core's buffer has room for that many bytes, and no other reference to them
    // exists.
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
/// Called by the ethtool core, with a device whose operations are for `T`, a structure of its own
/// and room for as many results as [`get_sset_count_callback`] said.
pub(super) unsafe extern "C" fn self_test_callback<T: Operations>(
    dev: *mut bindings::net_device,
    test: *mut bindings::ethtool_test,
    data: *mut u64,
) {
    const {
        assert!(T::SELF_TESTS.len() <= MAX_TESTS);
    }
    // SAFETY: The core calls this with a device whose operations are for `T`, a structure of its
    // own, and that many results, which it has zeroed and which has no other user.
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
