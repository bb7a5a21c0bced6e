// SPDX-License-Identifier: GPL-2.0

//! The C side of [`operations`](super::operations): what the network core calls.
//!
//! Each callback states which guarantee of the core it turns into a borrow. The guarantees are
//! written down in `Documentation/networking/netdevices.rst` and `napi.rst`.

use super::{
    atomic::Flag,
    contexts::{
        PollContext,
        XmitContext,
        MAX_BUDGET, //
    },
    device::{
        private_area,
        Core, //
    },
    ethtool::ops as ethtool,
    operations::{
        IrqReturn,
        Operations,
        Polled, //
    },
    owned::Owned,
    pci,
    phy::{
        Mdio,
        Phy, //
    },
    private::Private,
    queues,
    runtime_pm::{
        self,
        RpmGuard, //
    },
    settings,
    skb::SkBuff,
    stats::{
        Errors,
        Segmentation, //
    },
    xdp::{
        ops as xdp_ops,
        Xdp, //
    }, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::Opaque, //
};

/// The two tables of operations; they hold only function pointers, so they live forever.
struct Tables<T>(T);

impl<T: Operations> Tables<T> {
    /// The `ndo_start_xmit`. Where the kernel checks the types of functions that are called through
    /// pointers (kCFI), C must return the enum that is an integer here, and call what the private
    /// area begins with.
    const START_XMIT: unsafe extern "C" fn(
        *mut bindings::sk_buff,
        *mut bindings::net_device,
    ) -> bindings::netdev_tx_t = if cfg!(any(CONFIG_CFI, CONFIG_CFI_CLANG)) {
        bindings::ndo_start_xmit
    } else {
        start_xmit_callback::<T>
    };

    const NETDEV: &'static bindings::net_device_ops = &{
        let mut ops = ZEROED_NETDEV_OPS;
        ops.ndo_open = Some(open_callback::<T>);
        ops.ndo_stop = Some(stop_callback::<T>);
        ops.ndo_start_xmit = Some(Self::START_XMIT);
        ops.ndo_set_rx_mode = Some(settings::set_rx_mode_callback::<T>);
        ops.ndo_set_mac_address = Some(settings::set_mac_address_callback::<T>);
        ops.ndo_validate_addr = Some(bindings::eth_validate_addr);
        ops.ndo_change_mtu = Some(settings::change_mtu_callback::<T>);
        ops.ndo_fix_features = Some(settings::fix_features_callback::<T>);
        ops.ndo_set_features = Some(settings::set_features_callback::<T>);
        ops.ndo_features_check = Some(settings::features_check_callback::<T>);
        ops.ndo_get_stats64 = Some(get_stats64_callback::<T>);
        ops.ndo_tx_timeout = Some(tx_timeout_callback::<T>);
        if T::MAX_XDP_MTU > 0 {
            ops.ndo_bpf = Some(xdp_ops::bpf_callback::<T>);
            ops.ndo_xdp_xmit = Some(xdp_ops::xdp_xmit_callback::<T>);
        }
        if <T::Mdio as Mdio>::EXISTS {
            ops.ndo_eth_ioctl = Some(eth_ioctl_callback::<T>);
        }
        ops
    };

    const ETHTOOL: &'static bindings::ethtool_ops = &ethtool::table::<T>();
}

// SAFETY: All fields are integers or `Option`s of function pointers: zero is valid.
const ZEROED_NETDEV_OPS: bindings::net_device_ops = unsafe { MaybeUninit::zeroed().assume_init() };

/// Makes the private area, and ties the device to its operations.
///
/// # Safety
///
/// `dev` must be newly allocated with a private area for a `Private<T>`. `pdev` must be enabled,
/// and live longer; `phy` must have been made for `dev`, and `config` be a saved state of `pdev`,
/// which is taken over.
pub(super) unsafe fn init<T: Operations>(
    dev: NonNull<bindings::net_device>,
    pdev: &pci::Device,
    phy: Option<Phy>,
    config: *mut bindings::pci_saved_state,
    driver: T,
) {
    let dev = dev.as_ptr();
    let irq = pdev.irq();
    let ring = T::RINGS.map_or(0, |sizes| sizes.default);
    // SAFETY: By the safety requirements the area is large and aligned enough, and unused; the
    // tables are promoted to statics.
    unsafe {
        let private = private_area(dev).cast::<Private<T>>();
        private.write(Private {
            core: Core {
                private: bindings::net_helper_private {
                    start_xmit: Some(start_xmit_callback::<T>),
                    interrupt: Some(interrupt_callback::<T>),
                },
                config,
                napi: Opaque::uninit(),
                reset: Opaque::uninit(),
                reset_due: Flag::new(false),
                recover: Opaque::uninit(),
                refresh: Opaque::uninit(),
                errors: Errors::new(),
                segmentation: Segmentation::new(),
                xdp: Xdp::new(),
                rx_ring: Atomic::new(ring),
                tx_ring: Atomic::new(ring),
                message_level: Atomic::new(bindings::NET_MSG_DEFAULT),
                irq,
                phy,
            },
            driver,
            xmit: UnsafeCell::new(None),
            poll: UnsafeCell::new(None),
            pool: UnsafeCell::new(None),
            polling: Flag::new(false),
            opened: Flag::new(false),
            running: Flag::new(false),
            rx_enabled: Flag::new(false),
            suspended: Flag::new(false),
            runtime_suspended: Flag::new(false),
        });
        let (core, driver) = (&(*private).core, &(*private).driver);
        core.napi.get().write_bytes(0, 1);
        bindings::INIT_WORK(core.reset.get(), Some(reset_work_callback::<T>));
        bindings::INIT_WORK(core.recover.get(), Some(recover_work_callback::<T>));
        bindings::INIT_WORK(core.refresh.get(), Some(refresh_work_callback::<T>));
        // They are enabled while the interface is up only.
        bindings::disable_work_sync(core.reset.get());
        bindings::disable_work_sync(core.recover.get());
        bindings::disable_work_sync(core.refresh.get());
        bindings::netdev_setup(
            dev,
            pci::device(pdev),
            Tables::<T>::NETDEV,
            Tables::<T>::ETHTOOL,
            &queues::OPS,
            T::MAX_MTU,
            if T::MAX_XDP_MTU > 0 {
                bindings::NET_XDP_FEATURES
            } else {
                0
            },
            irq as c_int,
        );
        bindings::netdev_sw_irq_coalesce_default_on(dev);
        bindings::netdev_add_features(
            dev,
            T::FEATURES.as_raw(),
            T::DEFAULT_FEATURES.as_raw(),
            T::VLAN_FEATURES.as_raw(),
        );
        bindings::netif_set_tso_max_size(dev, T::TSO_MAX_SIZE);
        bindings::netif_set_tso_max_segs(dev, c_uint::from(T::TSO_MAX_SEGMENTS));
        driver.set_features(T::DEFAULT_FEATURES);
        bindings::netif_napi_add(dev, core.napi.get(), Some(poll_callback::<T>));
        bindings::netif_napi_set_irq(core.napi.get(), irq as c_int);
        // Until `open` starts it: only `ndo_xdp_xmit` looks before.
        bindings::netif_stop_queue(dev);
    }
}

/// Frees a device and its private area.
///
/// # Safety
///
/// `dev` must have been through [`init`] for the same `T`, and must not be registered.
pub(super) unsafe fn free<T: Operations>(dev: NonNull<bindings::net_device>) {
    // SAFETY: By the safety requirements the area is initialized and has no other user: its work
    // items are disabled, as the interface is not up.
    unsafe {
        let private = private_area(dev.as_ptr()).cast::<Private<T>>();
        bindings::netif_napi_del((*private).core.napi.get());
        bindings::kfree((*private).core.config.cast());
        private.drop_in_place();
        bindings::free_netdev(dev.as_ptr());
    }
}

/// `ndo_open`: process context, under RTNL, the interface is down.
///
/// # Safety
///
/// Called by the network core, with a registered device whose operations are for `T`.
unsafe extern "C" fn open_callback<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: The core calls this with a registered device, whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    let _guard = RpmGuard::new(dev);
    let driver = &private.driver;

    let opened = match driver.open(dev, &private.config(dev)) {
        Ok(opened) => opened,
        Err(e) => return e.to_errno(),
    };
    // SAFETY: The interface is down: neither of the two other users runs, and NAPI is disabled.
    unsafe { private.set_halves(Some(opened)) };

    // SAFETY: The device lives until the interrupt is freed in `stop`, and its private area begins
    // with the handler.
    let requested = unsafe { bindings::request_irq_shared(private.core.irq, dev.as_raw()) };
    let mut result = to_result(requested);
    if let (Ok(()), Some(phy)) = (result, &private.core.phy) {
        // SAFETY: RTNL is held, the PHY is connected from here to `stop` only, and the device's
        // operations are for `T`.
        result = unsafe { phy.connect(dev.as_raw(), link_changed_callback::<T>) };
        if result.is_err() {
            // SAFETY: It was requested above, with the same device.
            unsafe { bindings::free_irq(private.core.irq, dev.as_raw().cast()) };
        }
    }
    if let Err(e) = result {
        // SAFETY: The interface is still down.
        unsafe { private.set_halves(None) };
        return e.to_errno();
    }

    private.opened.store(true, Relaxed);
    // SAFETY: RTNL is held, all is there, and the queue becomes active after this.
    unsafe {
        private.up(dev);
        bindings::enable_work(private.core.recover.get());
        queues::set_napi(dev, true);
        bindings::netif_start_queue(dev.as_raw());
    }
    0
}

/// `ndo_stop`: process context, under RTNL, the interface is up.
///
/// # Safety
///
/// Called by the network core, with a registered device whose operations are for `T`.
unsafe extern "C" fn stop_callback<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: The core calls this with a registered device, whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    let _guard = RpmGuard::new(dev);

    // SAFETY: `open` succeeded, so the interrupt is requested with this cookie and the PHY is
    // connected. Once the device is down nothing else borrows the halves. The work item that is
    // waited for does not wait for RTNL.
    unsafe {
        bindings::disable_work_sync(private.core.recover.get());
        queues::set_napi(dev, false);
        private.down(dev);
        private.opened.store(false, Relaxed);
        bindings::free_irq(private.core.irq, dev.as_raw().cast());
        if let Some(phy) = dev.phy() {
            phy.disconnect();
        }
        private.set_halves(None);
    }
    0
}

/// The work item that resets a device: process context, only while the interface is up, because
/// `stop` disables it first and waits for it.
///
/// # Safety
///
/// Called by the workqueue, with the work item that [`init`] made for `T`.
unsafe extern "C" fn reset_work_callback<T: Operations>(work: *mut bindings::work_struct) {
    // SAFETY: `init` gave this function only to the work item of a `Core` whose NAPI instance
    // belongs to a device of `T`.
    let (dev, private) = unsafe {
        let core = work
            .cast::<u8>()
            .sub(core::mem::offset_of!(Core, reset))
            .cast::<Core>();
        Private::<T>::of(bindings::napi_dev((*core).napi.get()))
    };
    // SAFETY: The interface is up and stays so while this runs: `stop` and whatever else is a slow
    // path waits for this work item before it begins.
    unsafe {
        private.stop_hw(dev);
        private.start_and_wake_queue(dev);
    }
}

/// The work item that resets a dead device through its bus: process context, only while the
/// interface is up, because `stop` disables it first and waits for it.
///
/// # Safety
///
/// Called by the workqueue, with the work item that [`init`] made for `T`.
unsafe extern "C" fn recover_work_callback<T: Operations>(work: *mut bindings::work_struct) {
    // SAFETY: `init` gave this function only to the work item of a `Core` whose NAPI instance
    // belongs to a device of `T`. The interface is up.
    unsafe {
        let core = work
            .cast::<u8>()
            .sub(core::mem::offset_of!(Core, recover))
            .cast::<Core>();
        let (dev, private) = Private::<T>::of(bindings::napi_dev((*core).napi.get()));
        if bindings::rtnl_trylock() == 0 {
            // The thread that holds RTNL may be waiting for this.
            fsleep(Delta::from_millis(10));
            bindings::schedule_work(work);
            return;
        }
        private.recover(dev);
        bindings::rtnl_unlock();
    }
}

/// The work item that asks a device for its counters: process context, only while the interface is
/// up, because `stop` disables it first and waits for it.
///
/// # Safety
///
/// Called by the workqueue, with the work item that [`init`] made for `T`.
unsafe extern "C" fn refresh_work_callback<T: Operations>(work: *mut bindings::work_struct) {
    // SAFETY: `init` gave this function only to the work item of a `Core` whose NAPI instance
    // belongs to a device of `T`.
    let (_, private) = unsafe {
        let core = work
            .cast::<u8>()
            .sub(core::mem::offset_of!(Core, refresh))
            .cast::<Core>();
        Private::<T>::of(bindings::napi_dev((*core).napi.get()))
    };
    private.driver.refresh_statistics();
}

/// Called by phylib when the link has changed. It has set the carrier of the network device by
/// itself.
///
/// # Safety
///
/// Called by phylib, with the device that the PHY is connected to, whose operations are for `T`.
unsafe extern "C" fn link_changed_callback<T: Operations>(dev: *mut bindings::net_device) {
    // SAFETY: `open` connects the PHY to a device whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    if dev.message_level() & bindings::NET_MSG_LINK != 0 {
        // SAFETY: The PHY is connected to the device.
        unsafe { bindings::phy_print_status(dev.as_raw()) };
    }
    if let Some(phy) = dev.phy() {
        private.driver.link_changed(phy);
    }
    runtime_pm::link_changed(dev);
}

/// The interrupt handler: hard interrupt context, from `request_irq` to `free_irq`. Returns whether
/// the device interrupted.
///
/// # Safety
///
/// Called by `interrupt` of `rust/helpers`, with a device whose operations are for `T`.
unsafe extern "C" fn interrupt_callback<T: Operations>(dev: *mut bindings::net_device) -> bool {
    // SAFETY: By the safety requirements.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    // In D3 a device takes no writes and does not interrupt.
    !private.suspended.load(Relaxed) && private.driver.interrupt(dev) == IrqReturn::Handled
}

/// `ndo_start_xmit`: under the lock of the transmit queue, soft interrupts off.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and a frame that it gives
/// away.
unsafe extern "C" fn start_xmit_callback<T: Operations>(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
) -> bindings::netdev_tx_t {
    let Some(raw) = NonNull::new(skb) else {
        return bindings::netdev_tx_NETDEV_TX_OK;
    };
    // SAFETY: The core calls this with a device whose operations are for `T`. The lock is held, and
    // there is one queue. The frame is live and looked at only, until it is taken over.
    let (dev, private, skb, cx) = unsafe {
        let (dev, private) = Private::<T>::of(dev);
        (dev, private, SkBuff::from_raw(skb), XmitContext::new(dev))
    };
    // SAFETY: The lock of the queue makes this the only borrow: a quiet device has it disabled, and
    // only contexts enable it again, of which a quiet device has none.
    let xmit = unsafe { (*private.xmit.get()).as_mut() };
    if let Some(xmit) = xmit {
        if !private.driver.has_room(&cx, xmit, skb) {
            return bindings::netdev_tx_NETDEV_TX_BUSY;
        }
        // SAFETY: The core gives the frame away, of which there is one reference: the device does
        // not allow more.
        let skb = unsafe { Owned::<SkBuff>::from_raw(raw.cast()) };
        private.driver.start_xmit(&cx, xmit, skb);
    } else {
        dev.errors().tx_dropped.count();
        // SAFETY: The core gives the frame away, of which there is one reference: the device does
        // not allow more.
        drop(unsafe { Owned::<SkBuff>::from_raw(raw.cast()) });
    }
    bindings::netdev_tx_NETDEV_TX_OK
}

/// The NAPI poll: soft interrupt context (or a thread), once at a time.
///
/// # Safety
///
/// Called by NAPI, with the instance that [`init`] made for `T`.
unsafe extern "C" fn poll_callback<T: Operations>(
    napi: *mut bindings::napi_struct,
    budget: c_int,
) -> c_int {
    // SAFETY: `init` gave this function only to the NAPI instance of a device of `T`.
    let (dev, private) = unsafe { Private::<T>::of(bindings::napi_dev(napi)) };
    if private.polling.xchg(true, Acquire) {
        // Nothing keeps a netpoll that began while netpoll was being set up from running beside a
        // poll.
        return budget;
    }
    // SAFETY: The flag makes this the only poll of that device, and a quiet device has NAPI
    // disabled, so this is the only borrow.
    let halves = unsafe {
        (
            (*private.poll.get()).as_mut(),
            (*private.pool.get()).as_ref(),
        )
    };
    let (Some(half), Some(pool)) = halves else {
        private.polling.store(false, Release);
        // SAFETY: This is the poll of that instance.
        unsafe { bindings::napi_complete_done(napi, 0) };
        return 0;
    };
    // SAFETY: This is the poll, called with that budget, and `start_hw` has enabled the pool's
    // direct recycling.
    let cx = unsafe { PollContext::new(dev, budget, pool) };
    let polled = private.driver.poll(&cx, half);
    // SAFETY: The driver's part of the poll is over.
    unsafe { private.finish_xdp(dev) };
    private.polling.store(false, Release);
    let work = match polled {
        Polled::Busy(work) => work,
        // With 0 the core would not wait for its timer.
        Polled::Again => 1,
        Polled::Idle => 0,
    };
    if work >= budget.unsigned_abs().min(MAX_BUDGET) {
        // There may be more: the core calls again, if all that it allows was used.
        return budget;
    }
    let work = work as c_int;
    // SAFETY: This is the poll of that instance. The core says whether the poll is over, or a timer
    // calls it again.
    if unsafe { bindings::napi_complete_done(napi, work) } {
        match polled {
            Polled::Idle => private.driver.enable_interrupts(),
            Polled::Busy(_) | Polled::Again => dev.schedule_poll(),
        }
    }
    work
}

/// `ndo_eth_ioctl`: process context, under RTNL. Reads and writes registers of the PHY.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and a request that it has
/// copied.
unsafe extern "C" fn eth_ioctl_callback<T: Operations>(
    dev: *mut bindings::net_device,
    request: *mut bindings::ifreq,
    command: c_int,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T`, and what it gave is
    // passed on.
    unsafe {
        let (dev, _) = Private::<T>::of(dev);
        let _guard = RpmGuard::new(dev);
        bindings::phy_do_ioctl_running(dev.as_raw(), request, command)
    }
}

/// `ndo_get_stats64`: any context but hard interrupts, at any time.
///
/// It must not wait, and the device takes a while to write its counters. So it returns those that
/// were read last, and has them read again for the next call.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and a zeroed structure.
unsafe extern "C" fn get_stats64_callback<T: Operations>(
    dev: *mut bindings::net_device,
    stats: *mut bindings::rtnl_link_stats64,
) {
    // SAFETY: The core calls this with a device whose operations are for `T` and a zeroed structure
    // of its own. The work item lives as long as the device; while disabled it is not scheduled.
    unsafe {
        let (dev, private) = Private::<T>::of(dev);
        bindings::dev_fetch_sw_netstats(stats, dev.as_raw());
        dev.errors().add_to(&mut *stats);
        private.driver.hardware_errors().add_to(&mut *stats);
        bindings::schedule_work(private.core.refresh.get());
    }
}

/// `ndo_tx_timeout`: soft interrupt context, when the queue was stopped for five seconds.
///
/// # Safety
///
/// Called by the network core, with a live device whose operations are for `T`.
unsafe extern "C" fn tx_timeout_callback<T: Operations>(
    dev: *mut bindings::net_device,
    _queue: c_uint,
) {
    // SAFETY: The core calls this with a live device whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    dev.errors().tx_errors.count();
    if private.driver.is_dead() {
        private.core.schedule_recovery();
    } else {
        dev.schedule_reset();
    }
}
