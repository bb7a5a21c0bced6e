// SPDX-License-Identifier: GPL-2.0

//! Starting and stopping the hardware, and the slow paths made of these; see
//! [`operations`](super::operations).

use super::{
    contexts::Rtnl,
    device::NetDevice,
    error,
    ethtool::TestResult,
    operations::{
        Operations,
        RingConfig,
        WakeBy, //
    },
    page_pool::Sealed as _,
    private::Private,
    runtime_pm::RpmGuard, //
};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

impl<T: Operations> Private<T> {
    /// Lets the work items run, as they may while the interface is up and no slow path runs.
    ///
    /// # Safety
    ///
    /// The device must be running. It must balance a [`Private::forbid_work`], or the
    /// initialization.
    unsafe fn allow_work(&self) {
        // SAFETY: The work items are initialized; the rest by the safety requirements.
        unsafe {
            bindings::enable_work(self.core.reset.get());
            bindings::enable_work(self.core.refresh.get());
            // The device may have interrupted since it was started. A reset that is asked for after
            // this finds the work item enabled: both functions are full barriers.
            if self.core.reset_due.load(Relaxed) {
                bindings::schedule_work(self.core.reset.get());
            }
        }
    }

    /// Keeps the work items from running, and waits for those that do.
    ///
    /// # Safety
    ///
    /// Process context, and not a work item itself.
    unsafe fn forbid_work(&self) {
        // SAFETY: The work items are initialized; the rest by the safety requirements.
        unsafe {
            bindings::disable_work_sync(self.core.reset.get());
            bindings::disable_work_sync(self.core.refresh.get());
        }
    }

    /// Starts the device and lets frames flow.
    ///
    /// # Safety
    ///
    /// The device must be quiet: the queue is stopped, NAPI is disabled, no other slow path runs.
    unsafe fn start_hw(&self, dev: &NetDevice) {
        // SAFETY: By the safety requirements nothing else borrows the halves, and NAPI is disabled.
        // The pool was made for this device by its `open`. Only `set_halves` or the end of the
        // device drops it, both while NAPI is disabled, and only the poll takes buffers out of it.
        let halves = unsafe {
            if let Some(pool) = &*self.pool.get() {
                pool.enable_direct_recycling(dev);
            }
            ((*self.xmit.get()).as_mut(), (*self.poll.get()).as_mut())
        };
        let (Some(xmit), Some(poll)) = halves else {
            return;
        };
        self.core.reset_due.store(false, Relaxed);
        self.driver.start(dev, xmit, poll);
        // SAFETY: The device is live. The lock is the one that the core holds when it calls
        // `ndo_set_rx_mode`. NAPI is disabled, so it may be enabled.
        unsafe {
            bindings::netif_addr_lock_bh(dev.as_raw());
            self.rx_enabled.store(true, Relaxed);
            self.apply_rx_filter(dev);
            bindings::netif_addr_unlock_bh(dev.as_raw());
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
    pub(super) unsafe fn stop_hw(&self, dev: &NetDevice) {
        // SAFETY: The device is live, and NAPI is enabled. `napi_disable` keeps the poll from
        // running, and waits until one that runs has called `napi_complete_done`. `synchronize_net`
        // waits for the rest of that poll, which unmasks the interrupts: a poll runs with soft
        // interrupts off, which is a read side of RCU. `netif_tx_disable` keeps `ndo_start_xmit`
        // from running and waits for it. It comes after these two, because the poll wakes a stopped
        // queue, whatever has stopped it. `rx_enabled` is cleared because a filter that is set
        // while the device stops, as joining a multicast group may do at any time, would have it
        // receive again.
        unsafe {
            bindings::napi_disable(dev.napi());
            bindings::synchronize_net();
            bindings::netif_tx_disable(dev.as_raw());
            bindings::netif_addr_lock_bh(dev.as_raw());
            self.rx_enabled.store(false, Relaxed);
            bindings::netif_addr_unlock_bh(dev.as_raw());
        }
        self.driver.disable_interrupts();
        // SAFETY: The interrupt is requested while the device is running.
        unsafe { bindings::synchronize_irq(self.core.irq) };
        // SAFETY: The poll and `ndo_start_xmit` are over and cannot run again, and by the safety
        // requirements no other slow path runs, so nothing else borrows the halves.
        let halves = unsafe { ((*self.xmit.get()).as_mut(), (*self.poll.get()).as_mut()) };
        if let (Some(xmit), Some(poll)) = halves {
            self.driver.stop(dev, xmit, poll);
        }
        // SAFETY: The interrupt is requested while the device is running. The device is live, and
        // neither the poll nor `ndo_start_xmit`, which count bytes of this queue, can run.
        unsafe {
            bindings::synchronize_irq(self.core.irq);
            bindings::netdev_reset_queue(dev.as_raw());
        }
    }

    /// Brings up the PHY and the device. Frames can be sent when the queue is started or woken.
    ///
    /// # Safety
    ///
    /// No other slow path may run meanwhile: RTNL must be held, or this be part of a runtime
    /// resume, which the others wait for. The device must be down, and the interface have its
    /// halves, interrupt and PHY. The queue must be stopped or not be active.
    pub(super) unsafe fn up(&self, dev: &NetDevice) {
        let phy = dev.phy();
        if let Some(phy) = phy {
            phy.power_up();
            self.driver.init_phy(phy);
        }
        // SAFETY: By the safety requirements the queue is stopped and no other slow path runs.
        // While a device is down its NAPI and its work items are disabled. So it is quiet, and
        // allowing the work items balances `down`, or the initialization.
        unsafe {
            self.start_hw(dev);
            self.allow_work();
        }
        if let Some(phy) = phy {
            phy.start();
        }
        self.running.store(true, Relaxed);
    }

    /// Undoes [`Private::up`]; does nothing to a device that is down.
    ///
    /// # Safety
    ///
    /// RTNL must be held, and this not be one of the work items that [`Private::forbid_work`] waits
    /// for.
    pub(super) unsafe fn down(&self, dev: &NetDevice) {
        if !self.running.load(Relaxed) {
            return;
        }
        self.running.store(false, Relaxed);
        // SAFETY: The device is running. RTNL is held, which only process context can do, and this
        // is none of the work items. Once these are disabled RTNL keeps other slow paths out.
        unsafe {
            self.forbid_work();
            if let Some(phy) = dev.phy() {
                phy.stop();
            }
            // A stopped device does not dump its counters.
            self.driver.refresh_statistics();
            self.stop_hw(dev);
        }
        if let Some(phy) = dev.phy() {
            phy.wait_state_machine();
        }
    }
}

/// Suspends a device, or quiets one that cannot be reached (a PCI error). No effect if it is
/// detached already. It is armed for `wake`.
///
/// # Safety
///
/// `dev` must be registered with operations for `T`, and stay so. Process context, without RTNL.
pub(super) unsafe fn suspend<T: Operations>(dev: NonNull<bindings::net_device>, wake: WakeBy) {
    // SAFETY: By the safety requirements; RTNL is held in between.
    unsafe {
        let (dev, private) = Private::<T>::of(dev.as_ptr());
        bindings::rtnl_lock();
        // The power management core resumes a device that is runtime-suspended first.
        if bindings::netif_device_present(dev.as_raw()) && !private.runtime_suspended.load(Relaxed)
        {
            bindings::netif_device_detach(dev.as_raw());
            private.suspend_device(dev, wake);
        }
        bindings::rtnl_unlock();
    }
}

/// Undoes [`suspend`]. The device may have lost all its registers.
///
/// # Safety
///
/// As [`suspend`].
pub(super) unsafe fn resume<T: Operations>(dev: NonNull<bindings::net_device>) {
    // SAFETY: By the safety requirements; RTNL is held in between.
    unsafe {
        let (dev, private) = Private::<T>::of(dev.as_ptr());
        bindings::rtnl_lock();
        if !bindings::netif_device_present(dev.as_raw()) {
            private.resume_device(dev);
            bindings::netif_device_attach(dev.as_raw());
            if private.driver.is_dead() {
                // Without a carrier nothing is sent, so the transmit watchdog would not notice.
                private.core.schedule_recovery();
            }
        }
        bindings::rtnl_unlock();
    }
}

/// Returns whether an interface is up and has a carrier: it is not to be runtime-suspended.
pub(super) fn is_in_use(dev: &NetDevice) -> bool {
    // SAFETY: The device is live.
    unsafe { bindings::netif_running(dev.as_raw()) && dev.has_link() }
}

/// The answer of [`runtime_suspend`].
pub(super) enum RuntimeSuspend {
    /// The device is suspended.
    Suspended,
    /// It is not, because it is in use.
    InUse,
    /// It is not, for a reason that will pass.
    NotNow,
}

/// Runtime-suspends a device that is not in use, until it is resumed or raises PME on link-up.
///
/// # Safety
///
/// As [`suspend`], but that another thread may hold RTNL, and wait for this. No other slow path may
/// suspend or resume the device before [`runtime_resume`] is called.
pub(super) unsafe fn runtime_suspend<T: Operations>(
    dev: NonNull<bindings::net_device>,
) -> RuntimeSuspend {
    // SAFETY: By the safety requirements; RTNL is held where it is unlocked.
    unsafe {
        let (dev, private) = Private::<T>::of(dev.as_ptr());
        if bindings::rtnl_trylock() == 0 {
            return RuntimeSuspend::NotNow;
        }
        let answer = private.runtime_suspend(dev);
        bindings::rtnl_unlock();
        answer
    }
}

/// Undoes a [`runtime_suspend`] that succeeded.
///
/// # Safety
///
/// As [`runtime_suspend`].
pub(super) unsafe fn runtime_resume<T: Operations>(dev: NonNull<bindings::net_device>) {
    // SAFETY: By the safety requirements.
    unsafe {
        let (dev, private) = Private::<T>::of(dev.as_ptr());
        if private.runtime_suspended.load(Relaxed) {
            private.runtime_resume(dev);
        }
    }
}

/// Leaves a suspended device as the next driver or the firmware wants to find it.
///
/// # Safety
///
/// As [`suspend`].
pub(super) unsafe fn hand_over<T: Operations>(dev: NonNull<bindings::net_device>) {
    // SAFETY: By the safety requirements.
    let (dev, private) = unsafe { Private::<T>::of(dev.as_ptr()) };
    private.driver.hand_over(dev.phy());
}

impl<T: Operations> Private<T> {
    /// Returns whether the interface has all that `ndo_open` gives it, and is not about to be
    /// closed.
    fn is_open(&self, dev: &NetDevice) -> bool {
        // SAFETY: The device is live.
        self.opened.load(Relaxed) && unsafe { bindings::netif_running(dev.as_raw()) }
    }

    /// Stops a device and arms it for `wake`; its bus suspends it afterwards. Its queue is stopped.
    ///
    /// # Safety
    ///
    /// As [`Private::down`].
    unsafe fn suspend_device(&self, dev: &NetDevice, wake: WakeBy) {
        // SAFETY: By the safety requirements.
        unsafe {
            if self.running.load(Relaxed) {
                self.driver.suspend_prepare(dev.phy(), wake);
            }
            self.down(dev);
            if self.is_open(dev) {
                self.driver.arm_wake(wake);
                self.suspended.store(true, Relaxed);
                // A handler that has not seen it yet is to be over before the bus suspends the
                // device. The interrupt is requested while the interface is running.
                bindings::synchronize_irq(self.core.irq);
            }
        }
    }

    /// Resets a device that does not answer through its bus, as r8169 does. One that cannot be
    /// reset, or is dead afterwards, stays detached.
    ///
    /// # Safety
    ///
    /// RTNL must be held, the interface be up, and this not be one of the work items that a slow
    /// path waits for.
    pub(super) unsafe fn recover(&self, dev: &NetDevice) {
        let _guard = RpmGuard::new(dev);
        if !self.running.load(Relaxed) || !self.driver.is_dead() {
            return;
        }
        // SAFETY: By the safety requirements RTNL is held, and this is none of the work items. The
        // device is live, and its parent is a PCI device. Nothing else is about to resume it: the
        // guard keeps it from being runtime-suspended, and the resume of the system takes RTNL.
        unsafe {
            dev.print_error(
                c"the card does not answer: resetting it through its bus",
                EIO.to_errno(),
            );
            bindings::netif_device_detach(dev.as_raw());
            self.suspend_device(dev, WakeBy::Nothing);
            let answer = bindings::pci_reset_bus(dev.pdev());
            if answer == 0 {
                dev.restore_config();
            }
            if answer == EAGAIN.to_errno() {
                // Another driver on the bus is busy. The next timeout tries again.
            } else if answer < 0 || self.driver.is_dead() {
                dev.print_error(
                    c"the card cannot be reset through its bus: detached",
                    answer,
                );
                return;
            }
            self.resume_device(dev);
            bindings::netif_device_attach(dev.as_raw());
        }
    }

    /// Undoes [`Private::suspend_device`], but for the queue; returns whether the device runs.
    ///
    /// # Safety
    ///
    /// The device must be suspended. RTNL must be held, or this be part of a runtime resume, and
    /// nothing else be about to resume the device. The interface must be detached, or its queue be
    /// stopped.
    unsafe fn resume_device(&self, dev: &NetDevice) -> bool {
        self.suspended.store(false, Relaxed);
        // SAFETY: By the safety requirements RTNL is held, or this is part of a runtime resume.
        let address = unsafe { dev.address() };
        self.driver.reinit(&address);
        // SAFETY: The device was suspended, so it is down. An interface that is open has its
        // halves, interrupt and PHY. By the safety requirements no other slow path runs, and the
        // queue is stopped: detaching the interface does that as well.
        unsafe {
            let running = self.is_open(dev);
            if running {
                self.up(dev);
            }
            running
        }
    }

    /// The part of [`runtime_suspend`] for which RTNL is held.
    ///
    /// # Safety
    ///
    /// RTNL must be held; the rest as [`runtime_suspend`].
    unsafe fn runtime_suspend(&self, dev: &NetDevice) -> RuntimeSuspend {
        // SAFETY: RTNL is held, and this is a callback of the power management core, not a work
        // item of the device. Where it is resumed again, it has just been suspended, and by the
        // safety requirements nothing else resumes it before this has returned.
        unsafe {
            if !bindings::netif_device_present(dev.as_raw()) {
                // After an error that it did not recover from it is quiet already.
                return RuntimeSuspend::Suspended;
            }
            if is_in_use(dev) {
                return RuntimeSuspend::InUse;
            }
            self.runtime_suspended.store(true, Relaxed);
            // Else phylib would power the PHY down, which then could not see a link.
            bindings::netdev_set_wol_enabled(dev.as_raw(), true);
            self.suspend_device(dev, WakeBy::Link);
            if self.is_open(dev) && self.driver.senses_link() {
                // The link came before the device was armed for it, so there would never be a PME.
                self.runtime_resume(dev);
                return RuntimeSuspend::NotNow;
            }
        }
        RuntimeSuspend::Suspended
    }

    /// Resumes the device and wakes its queue.
    ///
    /// # Safety
    ///
    /// The device must be runtime-suspended.
    unsafe fn runtime_resume(&self, dev: &NetDevice) {
        let wakes = !self.driver.wake_events().is_none();
        self.runtime_suspended.store(false, Relaxed);
        // SAFETY: The device is live and suspended, and its queue is stopped as long as it is. The
        // power management core runs one callback at a time, so nothing else resumes the device.
        unsafe {
            bindings::netdev_set_wol_enabled(dev.as_raw(), wakes);
            if self.resume_device(dev) {
                bindings::netif_trans_update(dev.as_raw());
                bindings::netif_wake_queue(dev.as_raw());
            }
        }
    }

    /// Gives a running interface rings of another size. Frames that are in the old ones are lost;
    /// if there is no memory for new ones, the old ones stay.
    ///
    /// # Safety
    ///
    /// RTNL must be held and the interface be up.
    pub(super) unsafe fn reopen(&self, dev: &NetDevice, config: &RingConfig) -> Result {
        // A device that is runtime-resumed meanwhile, which RTNL does not prevent, would borrow the
        // halves.
        let _guard = RpmGuard::new(dev);
        let opened = self.driver.open(dev, config)?;
        let running = self.running.load(Relaxed);
        // SAFETY: With RTNL held and the work items disabled this is the only slow path. Once the
        // device is quiet, or while it is suspended, nothing else borrows the halves, and NAPI is
        // disabled.
        unsafe {
            if running {
                self.forbid_work();
                self.stop_hw(dev);
            }
            self.set_halves(Some(opened));
            if running {
                self.start_and_wake_queue(dev);
                self.allow_work();
            }
        }
        Ok(())
    }

    /// Ends what [`Private::stop_hw`] began, on an interface that is up.
    ///
    /// # Safety
    ///
    /// As [`Private::start_hw`].
    pub(super) unsafe fn start_and_wake_queue(&self, dev: &NetDevice) {
        // SAFETY: By the safety requirements. The watchdog must not count the time that it took.
        unsafe {
            self.start_hw(dev);
            bindings::netif_trans_update(dev.as_raw());
            bindings::netif_wake_queue(dev.as_raw());
        }
    }

    /// Gives the rings another size, now or, if the interface is down, when it comes up.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: all is as before.
    ///
    /// # Safety
    ///
    /// RTNL must be held.
    pub(super) unsafe fn resize_rings(&self, dev: &NetDevice, rx: u32, tx: u32) -> Result {
        let before = self.config(dev);
        let after = RingConfig { rx, tx, ..before };
        // SAFETY: The device is live; RTNL is held, so it stays up or down.
        unsafe {
            if after != before && bindings::netif_running(dev.as_raw()) {
                self.reopen(dev, &after)?;
            }
        }
        self.core.rx_ring.store(rx, Relaxed);
        self.core.tx_ring.store(tx, Relaxed);
        Ok(())
    }

    /// Runs `f`, which needs a quiet device, whether the interface is up or down. A device that is
    /// runtime-suspended is resumed.
    ///
    /// # Safety
    ///
    /// RTNL must be held.
    pub(super) unsafe fn while_quiet(&self, dev: &NetDevice, f: impl FnOnce(&T)) {
        // A device that is runtime-suspended meanwhile, which RTNL does not prevent, would be
        // stopped twice.
        let _guard = RpmGuard::new(dev);
        let running = self.running.load(Relaxed);
        // SAFETY: RTNL is held, so the device keeps running, or stays down. With the work items
        // disabled this is the only slow path.
        unsafe {
            if running {
                self.forbid_work();
                self.stop_hw(dev);
            }
            f(&self.driver);
            if running {
                self.start_and_wake_queue(dev);
                self.allow_work();
            }
        }
    }

    /// Runs the tests that need a quiet device, on an interface that is up.
    ///
    /// # Errors
    ///
    /// `ENETDOWN` if it is not; no test has run then.
    ///
    /// # Safety
    ///
    /// RTNL must be held.
    pub(super) unsafe fn self_test_offline(
        &self,
        dev: &NetDevice,
        results: &mut [TestResult],
    ) -> Result {
        if !self.running.load(Relaxed) {
            return Err(error::net_down());
        }
        // SAFETY: RTNL is held, so the device keeps running. With the work items disabled this is
        // the only slow path; once the device is quiet nothing else borrows the halves.
        unsafe {
            self.forbid_work();
            self.stop_hw(dev);
            let halves = ((*self.xmit.get()).as_mut(), (*self.poll.get()).as_mut());
            if let (Some(xmit), Some(poll)) = halves {
                self.driver.self_test(&Rtnl::new(dev), xmit, poll, results);
            }
            self.start_and_wake_queue(dev);
            self.allow_work();
        }
        Ok(())
    }
}
