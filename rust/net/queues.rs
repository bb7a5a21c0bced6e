// SPDX-License-Identifier: GPL-2.0

//! The queues' NAPI instance and their statistics (the netdev family of generic netlink).
//!
//! C header: [`include/net/netdev_queues.h`](srctree/include/net/netdev_queues.h)

use super::device::NetDevice;
use crate::bindings;
use kernel::prelude::*;

pub(super) static OPS: bindings::netdev_stat_ops = bindings::netdev_stat_ops {
    get_queue_stats_rx: Some(get_queue_stats_rx_callback),
    get_queue_stats_tx: Some(get_queue_stats_tx_callback),
    get_base_stats: Some(get_base_stats_callback),
};

/// Ties the two queues to the NAPI instance of the device, or unties them.
///
/// # Safety
///
/// RTNL must be held.
pub(super) unsafe fn set_napi(dev: &NetDevice, on: bool) {
    let napi = if on {
        dev.napi()
    } else {
        core::ptr::null_mut()
    };
    // SAFETY: The device is live and has one queue in each direction; RTNL is held.
    unsafe {
        for queue in [
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_RX,
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_TX,
        ] {
            bindings::netif_queue_set_napi(dev.as_raw(), 0, queue, napi);
        }
    }
}

/// Returns the packets and bytes of the device, whose only queues make up all of them.
fn totals(dev: &NetDevice) -> bindings::rtnl_link_stats64 {
    let mut stats = bindings::rtnl_link_stats64::default();
    // SAFETY: The device is live; the structure is zeroed and valid for writes.
    unsafe { bindings::dev_fetch_sw_netstats(&mut stats, dev.as_raw()) };
    stats
}

/// `get_queue_stats_rx`: process context, under RTNL. Values that are not set are not shown.
///
/// # Safety
///
/// Called by the network core, with a device that has been through `callbacks::init` and a
/// structure of its own.
unsafe extern "C" fn get_queue_stats_rx_callback(
    dev: *mut bindings::net_device,
    _queue: c_int,
    stats: *mut bindings::netdev_queue_stats_rx,
) {
    // SAFETY: The core calls this with such a device and a structure of its own.
    let (dev, stats) = unsafe { (NetDevice::from_raw(dev), &mut *stats) };
    let totals = totals(dev);
    stats.packets = totals.rx_packets;
    stats.bytes = totals.rx_bytes;
    stats.alloc_fail = dev.errors().rx_allocations_failed();
}

/// `get_queue_stats_tx`: process context, under RTNL. Values that are not set are not shown.
///
/// # Safety
///
/// Called by the network core, with a device that has been through `callbacks::init` and a
/// structure of its own.
unsafe extern "C" fn get_queue_stats_tx_callback(
    dev: *mut bindings::net_device,
    _queue: c_int,
    stats: *mut bindings::netdev_queue_stats_tx,
) {
    // SAFETY: The core calls this with such a device and a structure of its own.
    let (dev, stats) = unsafe { (NetDevice::from_raw(dev), &mut *stats) };
    let totals = totals(dev);
    stats.packets = totals.tx_packets;
    stats.bytes = totals.tx_bytes;
    stats.hw_gso_packets = dev.segmentation().frames.value();
    stats.hw_gso_wire_packets = dev.segmentation().segments.value();
}

/// `get_base_stats`: what happened outside of the queues there are now, which is nothing.
///
/// # Safety
///
/// Called by the network core, with structures of its own.
unsafe extern "C" fn get_base_stats_callback(
    _dev: *mut bindings::net_device,
    rx: *mut bindings::netdev_queue_stats_rx,
    tx: *mut bindings::netdev_queue_stats_tx,
) {
    // SAFETY: The core calls this with structures of its own.
    let (rx, tx) = unsafe { (&mut *rx, &mut *tx) };
    rx.packets = 0;
    rx.bytes = 0;
    rx.alloc_fail = 0;
    tx.packets = 0;
    tx.bytes = 0;
    tx.hw_gso_packets = 0;
    tx.hw_gso_wire_packets = 0;
}
