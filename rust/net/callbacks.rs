// SPDX-License-Identifier: GPL-2.0

//! The C side of [`device`](super::device): what the network core calls, and the private area that
//! it calls it with.
//!
//! Each callback states which guarantee of the core it turns into a borrow. The guarantees are
//! written down in `Documentation/networking/netdevices.rst` and `napi.rst`.

use super::{
    device::{
        Interrupt,
        MacAddress,
        NetDevice,
        Operations,
        PollContext,
        RingConfig,
        RxFilter,
        Verdict,
        XmitContext, //
    },
    features::Features,
    skb::{
        SkBuff,
        Skb, //
    },
    stats::Errors, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

/// The part of the private area that does not depend on the driver.
#[repr(C)]
pub(super) struct Core {
    pub(super) napi: Opaque<bindings::napi_struct>,
    pub(super) reset: Opaque<bindings::work_struct>,
    pub(super) errors: Errors,
    irq: u32,
}

/// The private area of a network device.
///
/// `xmit` and `poll` are `Some` from the middle of `ndo_open` to the end of `ndo_stop`. Between,
/// `xmit` is borrowed by `ndo_start_xmit`, `poll` by the NAPI poll, and both by a quiet device.
#[repr(C)]
pub(super) struct Private<T: Operations> {
    core: Core,
    driver: T,
    xmit: UnsafeCell<Option<T::Xmit>>,
    poll: UnsafeCell<Option<T::Poll>>,
    /// The device runs: it is up, and not asleep. Written by slow paths only.
    running: Atomic<bool>,
}

/// The two tables of operations; they hold only function pointers, so they live for ever.
struct Tables<T>(T);

impl<T: Operations> Tables<T> {
    const NETDEV: bindings::net_device_ops = {
        let mut ops = ZEROED_NETDEV_OPS;
        ops.ndo_open = Some(open::<T>);
        ops.ndo_stop = Some(stop::<T>);
        ops.ndo_start_xmit = Some(start_xmit::<T>);
        ops.ndo_set_rx_mode = Some(set_rx_mode::<T>);
        ops.ndo_set_mac_address = Some(set_mac_address::<T>);
        ops.ndo_validate_addr = Some(bindings::eth_validate_addr);
        ops.ndo_change_mtu = Some(change_mtu::<T>);
        ops.ndo_fix_features = Some(fix_features::<T>);
        ops.ndo_set_features = Some(set_features::<T>);
        ops.ndo_features_check = Some(features_check::<T>);
        ops.ndo_get_stats64 = Some(get_stats64);
        ops.ndo_tx_timeout = Some(tx_timeout);
        ops.ndo_eth_ioctl = Some(bindings::phy_do_ioctl_running);
        ops
    };

    const ETHTOOL: bindings::ethtool_ops = {
        let mut ops = ZEROED_ETHTOOL_OPS;
        ops.get_drvinfo = Some(get_drvinfo::<T>);
        ops.get_link = Some(bindings::ethtool_op_get_link);
        ops.get_link_ksettings = Some(bindings::phy_ethtool_get_link_ksettings);
        ops.set_link_ksettings = Some(bindings::phy_ethtool_set_link_ksettings);
        ops.nway_reset = Some(bindings::phy_ethtool_nway_reset);
        ops
    };
}

// SAFETY: All fields are integers or `Option`s of function pointers: zero is valid.
const ZEROED_NETDEV_OPS: bindings::net_device_ops = unsafe { MaybeUninit::zeroed().assume_init() };
// SAFETY: All fields are integers or `Option`s of function pointers: zero is valid.
const ZEROED_ETHTOOL_OPS: bindings::ethtool_ops = unsafe { MaybeUninit::zeroed().assume_init() };

/// Makes the private area, and ties the device to its operations.
///
/// # Safety
///
/// `dev` must be newly allocated with a private area for a `Private<T>`. `parent` must live longer.
pub(super) unsafe fn init<T: Operations>(
    dev: NonNull<bindings::net_device>,
    parent: *mut bindings::device,
    irq: u32,
    driver: T,
) {
    let dev = dev.as_ptr();
    // SAFETY: By the safety requirements the area is large and aligned enough, and unused; the
    // tables are promoted to statics.
    unsafe {
        let private = bindings::net_helper_netdev_priv(dev).cast::<Private<T>>();
        private.write(Private {
            core: Core {
                napi: Opaque::uninit(),
                reset: Opaque::uninit(),
                errors: Errors::new(),
                irq,
            },
            driver,
            xmit: UnsafeCell::new(None),
            poll: UnsafeCell::new(None),
            running: Atomic::new(false),
        });
        let (core, driver) = (&(*private).core, &(*private).driver);
        core.napi.get().write_bytes(0, 1);
        bindings::net_helper_init_work(core.reset.get(), Some(reset_work::<T>));
        // Resets are possible while the interface is up.
        bindings::disable_work_sync(core.reset.get());
        bindings::net_helper_netdev_setup(
            dev,
            parent,
            &Tables::<T>::NETDEV,
            &Tables::<T>::ETHTOOL,
            T::MAX_MTU,
            irq as c_int,
        );
        bindings::net_helper_netdev_set_features(
            dev,
            T::FEATURES.as_raw(),
            T::DEFAULT_FEATURES.as_raw(),
            T::VLAN_FEATURES.as_raw(),
        );
        bindings::netif_set_tso_max_size(dev, T::TSO_MAX_SIZE);
        bindings::netif_set_tso_max_segs(dev, c_uint::from(T::TSO_MAX_SEGMENTS));
        driver.set_features(T::DEFAULT_FEATURES);
        bindings::net_helper_napi_add(dev, core.napi.get(), Some(poll::<T>));
    }
}

/// Frees a device and its private area.
///
/// # Safety
///
/// `dev` must have been through [`init`] for the same `T`, and must not be registered.
pub(super) unsafe fn free<T: Operations>(dev: NonNull<bindings::net_device>) {
    // SAFETY: By the safety requirements the area is initialized and nobody else uses it: its work
    // item is disabled, as the interface is not up.
    unsafe {
        let private = bindings::net_helper_netdev_priv(dev.as_ptr()).cast::<Private<T>>();
        bindings::net_helper_napi_del((*private).core.napi.get());
        private.drop_in_place();
        bindings::free_netdev(dev.as_ptr());
    }
}

impl<T: Operations> Private<T> {
    /// # Safety
    ///
    /// `dev` must have been through [`init`] for the same `T` and live for `'a`.
    unsafe fn of<'a>(dev: *mut bindings::net_device) -> (&'a NetDevice, &'a Self) {
        // SAFETY: By the safety requirements.
        unsafe {
            (
                NetDevice::from_raw(dev),
                &*bindings::net_helper_netdev_priv(dev).cast(),
            )
        }
    }

    /// Starts the device and lets frames flow.
    ///
    /// # Safety
    ///
    /// The device must be quiet: the queue is stopped, NAPI is disabled, no other slow path runs.
    unsafe fn resume(&self, dev: &NetDevice) {
        // SAFETY: By the safety requirements nothing else borrows the halves.
        let halves = unsafe { ((*self.xmit.get()).as_mut(), (*self.poll.get()).as_mut()) };
        let (Some(xmit), Some(poll)) = halves else {
            return;
        };
        self.driver.start(dev, xmit, poll);
        // SAFETY: The device is live. The lock is the one that the core holds when it calls
        // `set_rx_mode`. NAPI is disabled, so it may be enabled.
        unsafe {
            bindings::net_helper_addr_lock(dev.as_raw());
            set_rx_mode::<T>(dev.as_raw());
            bindings::net_helper_addr_unlock(dev.as_raw());
            bindings::napi_enable(dev.napi());
        }
        self.driver.enable_interrupts();
    }

    /// Makes the device quiet: no frame is being sent, polled or interrupted about, and none is in
    /// the rings.
    ///
    /// # Safety
    ///
    /// The device must be running, and no other slow path may run. Process context.
    unsafe fn quiesce(&self, dev: &NetDevice) {
        // SAFETY: The device is live. `tx_disable` waits for `ndo_start_xmit` and keeps it from
        // running, `napi_disable` does so for the poll; NAPI is enabled.
        unsafe {
            bindings::net_helper_tx_disable(dev.as_raw());
            bindings::napi_disable(dev.napi());
        }
        // SAFETY: So nothing else borrows the halves.
        let halves = unsafe { ((*self.xmit.get()).as_mut(), (*self.poll.get()).as_mut()) };
        if let (Some(xmit), Some(poll)) = halves {
            self.driver.stop(dev, xmit, poll);
        }
        // SAFETY: The interrupt is requested while the device is running. The byte queue limits
        // forget what was in the rings.
        unsafe {
            bindings::synchronize_irq(self.core.irq);
            bindings::net_helper_reset_queue(dev.as_raw());
        }
    }

    /// Brings up the PHY and the device. Frames can be sent when the queue is started or woken.
    ///
    /// # Safety
    ///
    /// RTNL must be held, and the interface have its halves, interrupt and PHY. The queue must be
    /// stopped or not be active.
    unsafe fn up(&self, dev: &NetDevice) {
        let phy = self.driver.phy();
        phy.wake_up();
        self.driver.init_phy();
        // SAFETY: By the safety requirements, and because the work item is disabled while the
        // device is down, as NAPI is, the device is quiet.
        unsafe {
            self.resume(dev);
            bindings::enable_work(self.core.reset.get());
        }
        phy.start();
        self.running.store(true, Relaxed);
    }

    /// Undoes [`Private::up`]; does nothing to a device that is down.
    ///
    /// # Safety
    ///
    /// RTNL must be held.
    unsafe fn down(&self, dev: &NetDevice) {
        if !self.running.load(Relaxed) {
            return;
        }
        self.running.store(false, Relaxed);
        // SAFETY: The device is running. Once the work item is disabled RTNL keeps other slow
        // paths out.
        unsafe {
            bindings::disable_work_sync(self.core.reset.get());
            self.driver.phy().stop();
            self.quiesce(dev);
        }
    }
}

/// Puts a device to sleep, or to rest because it cannot be reached; nothing happens to one that is
/// already. `wake` asks it to watch for what shall wake the system.
///
/// # Safety
///
/// `dev` must be registered with operations for `T`, and stay so. Process context, without RTNL.
pub(super) unsafe fn sleep<T: Operations>(dev: NonNull<bindings::net_device>, wake: bool) {
    // SAFETY: By the safety requirements; RTNL is held in between.
    unsafe {
        let (dev, private) = Private::<T>::of(dev.as_ptr());
        bindings::rtnl_lock();
        if bindings::net_helper_device_present(dev.as_raw()) {
            bindings::netif_device_detach(dev.as_raw());
            private.down(dev);
            if bindings::net_helper_netif_running(dev.as_raw()) {
                private.driver.prepare_sleep(wake);
            }
        }
        bindings::rtnl_unlock();
    }
}

/// Undoes [`sleep`]. The device may have forgotten everything.
///
/// # Safety
///
/// As [`sleep`].
pub(super) unsafe fn wake<T: Operations>(dev: NonNull<bindings::net_device>) {
    // SAFETY: By the safety requirements; RTNL is held in between. An interface that is running,
    // in the core's sense, has all that `open` gave it, and its queue is stopped by the detachment.
    unsafe {
        let (dev, private) = Private::<T>::of(dev.as_ptr());
        bindings::rtnl_lock();
        if !bindings::net_helper_device_present(dev.as_raw()) {
            private.driver.wake_up(&mac_address(dev));
            if bindings::net_helper_netif_running(dev.as_raw()) {
                private.up(dev);
            }
            bindings::netif_device_attach(dev.as_raw());
        }
        bindings::rtnl_unlock();
    }
}

/// Leaves a device, which sleeps, as the next driver or the firmware wants to find it.
///
/// # Safety
///
/// As [`sleep`].
pub(super) unsafe fn retire<T: Operations>(dev: NonNull<bindings::net_device>) {
    // SAFETY: By the safety requirements.
    let (_, private) = unsafe { Private::<T>::of(dev.as_ptr()) };
    private.driver.retire();
}

/// Returns the MAC address of a device.
fn mac_address(dev: &NetDevice) -> MacAddress {
    // SAFETY: The device is live and has an address of 6 bytes.
    unsafe {
        bindings::net_helper_dev_addr(dev.as_raw())
            .cast::<MacAddress>()
            .read()
    }
}

impl<T: Operations> Private<T> {
    /// Returns the size that the rings are to have.
    fn config(&self, dev: &NetDevice) -> RingConfig {
        RingConfig {
            // SAFETY: The device is live.
            mtu: unsafe { bindings::net_helper_netdev_mtu(dev.as_raw()) },
        }
    }

    /// Gives a running interface rings of another size. Frames that are in the old ones are lost;
    /// if there is no memory for new ones, the old ones stay.
    ///
    /// # Safety
    ///
    /// RTNL must be held and the interface be up.
    unsafe fn reopen(&self, dev: &NetDevice, config: &RingConfig) -> Result {
        let (xmit, poll) = self.driver.open(dev, config)?;
        let running = self.running.load(Relaxed);
        // SAFETY: With RTNL held and the work item disabled this is the only slow path. Once the
        // device is quiet, or while it sleeps, nothing else borrows the halves, and NAPI is
        // disabled.
        unsafe {
            if running {
                bindings::disable_work_sync(self.core.reset.get());
                self.quiesce(dev);
            }
            *self.xmit.get() = Some(xmit);
            *self.poll.get() = Some(poll);
            if running {
                self.resume_and_wake(dev);
                bindings::enable_work(self.core.reset.get());
            }
        }
        Ok(())
    }

    /// Ends what [`Private::quiesce`] began, on an interface that is up.
    ///
    /// # Safety
    ///
    /// As [`Private::resume`].
    unsafe fn resume_and_wake(&self, dev: &NetDevice) {
        // SAFETY: By the safety requirements. The watchdog must not count the time that it took.
        unsafe {
            self.resume(dev);
            bindings::net_helper_trans_update(dev.as_raw());
            bindings::net_helper_wake_queue(dev.as_raw());
        }
    }
}

/// `ndo_open`: process context, under RTNL, the interface is down.
///
/// # Safety
///
/// Called by the network core, with a registered device whose operations are for `T`.
unsafe extern "C" fn open<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: The core calls this with a registered device, whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    let driver = &private.driver;

    let (xmit, poll) = match driver.open(dev, &private.config(dev)) {
        Ok(halves) => halves,
        Err(e) => return e.to_errno(),
    };
    // SAFETY: The interface is down: neither of the two other users runs.
    unsafe {
        *private.xmit.get() = Some(xmit);
        *private.poll.get() = Some(poll);
    }

    // SAFETY: The cookie is the device, which lives until the interrupt is freed in `stop`.
    let mut result = to_result(unsafe {
        bindings::request_irq(
            private.core.irq,
            Some(interrupt::<T>),
            bindings::IRQF_SHARED as c_ulong,
            bindings::net_helper_netdev_name(dev.as_raw()),
            dev.as_raw().cast(),
        )
    });
    if result.is_ok() {
        result = driver.phy().connect(dev);
        if result.is_err() {
            // SAFETY: It was requested above, with the same cookie.
            unsafe { bindings::free_irq(private.core.irq, dev.as_raw().cast()) };
        }
    }
    if let Err(e) = result {
        // SAFETY: The interface is still down.
        unsafe {
            *private.xmit.get() = None;
            *private.poll.get() = None;
        }
        return e.to_errno();
    }

    // SAFETY: RTNL is held, all is there, and the queue becomes active after this.
    unsafe {
        private.up(dev);
        bindings::net_helper_start_queue(dev.as_raw());
    }
    0
}

/// `ndo_stop`: process context, under RTNL, the interface is up.
///
/// # Safety
///
/// Called by the network core, with a registered device whose operations are for `T`.
unsafe extern "C" fn stop<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: The core calls this with a registered device, whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };

    // SAFETY: `open` succeeded, so the interrupt is requested with this cookie and the PHY is
    // connected. Once the device is down nothing else borrows the halves.
    unsafe {
        private.down(dev);
        bindings::free_irq(private.core.irq, dev.as_raw().cast());
        private.driver.phy().disconnect();
        *private.xmit.get() = None;
        *private.poll.get() = None;
    }
    0
}

/// The work item that resets a device: process context, only while the interface is up, because
/// `stop` disables it first and waits for it.
///
/// # Safety
///
/// Called by the workqueue, with the work item that [`init`] made for `T`.
unsafe extern "C" fn reset_work<T: Operations>(work: *mut bindings::work_struct) {
    // SAFETY: `init` gave this function only to the work item of a `Core` whose NAPI instance
    // belongs to a device of `T`.
    let (dev, private) = unsafe {
        let core = work
            .cast::<u8>()
            .sub(core::mem::offset_of!(Core, reset))
            .cast::<Core>();
        Private::<T>::of(bindings::net_helper_napi_dev((*core).napi.get()))
    };
    // SAFETY: The interface is up and stays so while this runs: `stop` and whatever else is a slow
    // path waits for this work item before it begins.
    unsafe {
        private.quiesce(dev);
        private.resume_and_wake(dev);
    }
}

/// The interrupt handler: hard interrupt context, from `request_irq` to `free_irq`.
///
/// # Safety
///
/// Called by the interrupt core, with the cookie of [`open`].
unsafe extern "C" fn interrupt<T: Operations>(
    _irq: c_int,
    cookie: *mut c_void,
) -> bindings::irqreturn_t {
    // SAFETY: The cookie is the device, see `open`.
    let (dev, private) = unsafe { Private::<T>::of(cookie.cast()) };
    match private.driver.interrupt(dev) {
        Interrupt::Handled => bindings::irqreturn::IRQ_HANDLED,
        Interrupt::NotOurs => bindings::irqreturn::IRQ_NONE,
    }
}

/// `ndo_start_xmit`: under the lock of the transmit queue, soft interrupts off.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and a frame that it gives away.
unsafe extern "C" fn start_xmit<T: Operations>(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
) -> bindings::netdev_tx_t {
    let Some(skb) = NonNull::new(skb) else {
        return bindings::netdev_tx_NETDEV_TX_OK;
    };
    // SAFETY: The core calls this with a device whose operations are for `T` and gives the frame
    // away. The lock is held, and there is one queue.
    let (dev, private, skb, cx) = unsafe {
        let (dev, private) = Private::<T>::of(dev);
        (dev, private, SkBuff::from_raw(skb), XmitContext::new(dev))
    };
    // SAFETY: The lock of the queue makes this the only borrow: a quiet device has it disabled.
    let Some(xmit) = (unsafe { (*private.xmit.get()).as_mut() }) else {
        dev.errors().tx_dropped.count();
        return bindings::netdev_tx_NETDEV_TX_OK;
    };
    match private.driver.start_xmit(&cx, xmit, skb) {
        Verdict::Taken => bindings::netdev_tx_NETDEV_TX_OK,
        Verdict::Busy(skb) => {
            // The core still has this pointer: ownership goes back to it.
            let _ = skb.into_raw();
            bindings::netdev_tx_NETDEV_TX_BUSY
        }
    }
}

/// The NAPI poll: soft interrupt context (or a thread), once at a time.
///
/// # Safety
///
/// Called by NAPI, with the instance that [`init`] made for `T`.
unsafe extern "C" fn poll<T: Operations>(napi: *mut bindings::napi_struct, budget: c_int) -> c_int {
    // SAFETY: `init` gave this function only to the NAPI instance of a device of `T`.
    let (dev, private) = unsafe { Private::<T>::of(bindings::net_helper_napi_dev(napi)) };
    // SAFETY: This is the poll of that device; NAPI runs it once at a time, and a quiet device has
    // NAPI disabled, so this is the only borrow.
    let (cx, half) = unsafe {
        (
            PollContext::new(dev, budget),
            (*private.poll.get()).as_mut(),
        )
    };
    let Some(half) = half else {
        // SAFETY: As above.
        unsafe { bindings::napi_complete_done(napi, 0) };
        return 0;
    };
    let done = private.driver.poll(&cx, half).min(cx.budget()) as c_int;
    // SAFETY: As above. Interrupts come back only when the core says that the poll is over.
    if done < budget && unsafe { bindings::napi_complete_done(napi, done) } {
        private.driver.enable_interrupts();
    }
    done
}

/// `ndo_set_rx_mode`: under the lock of the address lists, any context but hard interrupts.
///
/// # Safety
///
/// Called by the network core, or with the same lock held, with a device whose operations are for `T`.
unsafe extern "C" fn set_rx_mode<T: Operations>(dev: *mut bindings::net_device) {
    // SAFETY: The core calls this with a device whose operations are for `T`.
    let (_, private) = unsafe { Private::<T>::of(dev) };
    // SAFETY: The device is live.
    let flags = unsafe { bindings::net_helper_netdev_flags(dev) };
    let filter = if flags & bindings::NET_IFF_PROMISC != 0 {
        RxFilter::Promiscuous
    } else if flags & bindings::NET_IFF_ALLMULTI != 0 {
        RxFilter::AllMulticast
    } else {
        // SAFETY: The lock of the lists is held.
        match unsafe { multicast_hash(dev) } {
            0 => RxFilter::Own,
            hash => RxFilter::Multicast(hash),
        }
    };
    private.driver.set_rx_filter(filter);
}

/// # Safety
///
/// The lock of the address lists of `dev` must be held.
unsafe fn multicast_hash(dev: *mut bindings::net_device) -> u64 {
    let mut hash = 0u64;
    let mut entry = core::ptr::null_mut();
    loop {
        // SAFETY: The lock keeps the list as it is; `entry` is null or the entry before. An entry
        // has an address of 6 bytes at least.
        unsafe {
            entry = bindings::net_helper_mc_next(dev, entry);
            if entry.is_null() {
                return hash;
            }
            let crc = bindings::net_helper_ether_crc(6, bindings::net_helper_hw_addr(entry));
            hash |= 1 << (crc >> 26);
        }
    }
}

/// `ndo_set_mac_address`: process context, under RTNL.
///
/// # Safety
///
/// Called by the network core, with a `struct sockaddr` and a device whose operations are for `T`.
unsafe extern "C" fn set_mac_address<T: Operations>(
    dev: *mut bindings::net_device,
    address: *mut c_void,
) -> c_int {
    // SAFETY: The core calls this with a `struct sockaddr` and a device of `T`, which then has a
    // valid address of 6 bytes.
    unsafe {
        let result = bindings::eth_mac_addr(dev, address);
        if result == 0 {
            let (dev, private) = Private::<T>::of(dev);
            private.driver.set_mac_address(&mac_address(dev));
        }
        result
    }
}

/// `ndo_change_mtu`: process context, under RTNL. The MTU is within the limits.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T`.
unsafe extern "C" fn change_mtu<T: Operations>(
    dev: *mut bindings::net_device,
    mtu: c_int,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T`, under RTNL.
    unsafe {
        let (dev, private) = Private::<T>::of(dev);
        let before = private.config(dev);
        let after = RingConfig {
            mtu: mtu.unsigned_abs(),
        };
        bindings::net_helper_netdev_set_mtu(dev.as_raw(), after.mtu);
        if bindings::net_helper_netif_running(dev.as_raw()) {
            if let Err(e) = private.reopen(dev, &after) {
                bindings::net_helper_netdev_set_mtu(dev.as_raw(), before.mtu);
                return e.to_errno();
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
unsafe extern "C" fn fix_features<T: Operations>(
    dev: *mut bindings::net_device,
    wanted: bindings::netdev_features_t,
) -> bindings::netdev_features_t {
    // SAFETY: The core calls this with a device whose operations are for `T`.
    let (dev, private) = unsafe { Private::<T>::of(dev) };
    private
        .driver
        .fix_features(private.config(dev).mtu, Features::from_raw(wanted))
        .as_raw()
}

/// `ndo_set_features`: process context, under RTNL.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T`.
unsafe extern "C" fn set_features<T: Operations>(
    dev: *mut bindings::net_device,
    features: bindings::netdev_features_t,
) -> c_int {
    // SAFETY: The core calls this with a device whose operations are for `T`.
    let (_, private) = unsafe { Private::<T>::of(dev) };
    private.driver.set_features(Features::from_raw(features));
    0
}

/// `ndo_features_check`: any context but hard interrupts, before each frame is sent.
///
/// # Safety
///
/// Called by the network core, with a device whose operations are for `T` and a live frame.
unsafe extern "C" fn features_check<T: Operations>(
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
            .check_features(Skb::from_raw(skb), Features::from_raw(features));
        bindings::net_helper_vlan_features_check(skb, features.as_raw())
    }
}

/// `ndo_get_stats64`: any context but hard interrupts, at any time.
///
/// # Safety
///
/// Called by the network core, with a live device and a zeroed structure.
unsafe extern "C" fn get_stats64(
    dev: *mut bindings::net_device,
    stats: *mut bindings::rtnl_link_stats64,
) {
    // SAFETY: The core calls this with a live device and a zeroed structure of its own.
    unsafe {
        bindings::net_helper_fetch_sw_netstats(stats, dev);
        NetDevice::from_raw(dev).errors().add_to(&mut *stats);
    }
}

/// `ndo_tx_timeout`: soft interrupt context, when the queue was stopped for five seconds.
///
/// # Safety
///
/// Called by the network core, with a live device.
unsafe extern "C" fn tx_timeout(dev: *mut bindings::net_device, _queue: c_uint) {
    // SAFETY: The core calls this with a live device.
    let dev = unsafe { NetDevice::from_raw(dev) };
    dev.errors().tx_errors.count();
    dev.schedule_reset();
}

/// `get_drvinfo`: process context, under RTNL. The core has filled in the rest.
///
/// # Safety
///
/// Called by the ethtool core, with a structure of its own.
unsafe extern "C" fn get_drvinfo<T: Operations>(
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
