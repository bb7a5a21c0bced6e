// SPDX-License-Identifier: GPL-2.0

//! An MDIO bus of a MAC with one PHY on it, driven by phylib.
//!
//! `kernel::net::phy` is for drivers of PHYs; this is the other side.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     atomic::Flag,
//!     phy::{
//!         Mdio,
//!         NoPhy,
//!         Phy,
//!         Registers, //
//!     }, //
//! };
//! use kernel::{
//!     prelude::*,
//!     sync::atomic::Relaxed, //
//! };
//!
//! /// An MDIO bus on which nothing has to be waited for.
//! struct Bus {
//!     is_gone: Flag,
//! }
//!
//! impl Mdio for Bus {
//!     fn read(&self, _register: u8) -> Result<u16> {
//!         if self.is_gone.load(Relaxed) {
//!             return Err(ENODEV);
//!         }
//!         Ok(0)
//!     }
//!
//!     fn write(&self, _register: u8, _value: u16) -> Result {
//!         Ok(())
//!     }
//! }
//!
//! /// Has the PHY negotiate again (`BMCR_ANENABLE`, `BMCR_ANRESTART`).
//! fn negotiate(phy: &Phy) -> Result {
//!     phy.with_registers(|registers: &Registers<'_>| registers.set_bits(0, 0x1200))
//! }
//!
//! /// The bus of a device without a PHY: there is none.
//! fn bus() -> Option<NoPhy> {
//!     None
//! }
//! ```
//!
//! C header: [`include/linux/phy.h`](srctree/include/linux/phy.h)

use super::{
    atomic::Flag,
    pci::{
        self,
        dev_err, //
    }, //
};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    alloc::KBox,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::atomic::Relaxed, //
};

/// A MAC's way to the registers of its PHY. Process context, one call at a time.
pub trait Mdio: Send + Sync {
    /// Says whether there can be a PHY: only [`NoPhy`] says no.
    #[doc(hidden)]
    const EXISTS: bool = true;

    /// Says whether the MAC has half duplex at 1000 Mbit/s; what a PHY can do beyond its MAC is not
    /// offered to the other end.
    const GIGABIT_HALF: bool = true;

    /// Reads a register, `0..=31`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the MAC does not answer; phylib warns loudly about any other error.
    fn read(&self, register: u8) -> Result<u16>;

    /// Writes a register, `0..=31`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the MAC does not answer; phylib warns loudly about any other error.
    fn write(&self, register: u8, value: u16) -> Result;
}

/// The way to the PHY of a device that has none.
#[allow(dead_code, reason = "for drivers of such devices")]
pub enum NoPhy {}

impl Mdio for NoPhy {
    const EXISTS: bool = false;

    fn read(&self, _register: u8) -> Result<u16> {
        match *self {}
    }

    fn write(&self, _register: u8, _value: u16) -> Result {
        match *self {}
    }
}

/// Flow control by pause frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// The MAC obeys those that it receives.
    pub(super) rx: bool,
    /// The MAC sends them.
    pub(super) tx: bool,
}

/// The status register (BMSR), and the only address on the bus.
const STATUS: u32 = 1;
const ADDRESS: c_int = 0;

/// A PHY at address 0 of an MDIO bus of its own; dropping it unregisters the bus.
///
/// It is the framework's, which connects it, while the interface is up, to the device that it was
/// made for.
///
/// # Invariants
///
/// `bus` is registered, its `priv` is `ops` (a leaked `KBox` of the type that `free_ops` frees),
/// and `phydev` is the PHY on it.
pub struct Phy {
    bus: NonNull<bindings::mii_bus>,
    phydev: NonNull<bindings::phy_device>,
    ops: *mut c_void,
    free_ops: unsafe fn(*mut c_void),
    /// [`Mdio::GIGABIT_HALF`].
    gigabit_half: bool,
    /// Between [`Phy::start`] and [`Phy::stop`].
    started: Flag,
    /// The modes that [`Phy::allow_pause`] took away.
    pause: Flag,
    asym_pause: Flag,
}

// SAFETY: phylib locks; the pointers belong to no thread, and `Mdio` is `Send` and `Sync`.
unsafe impl Send for Phy {}

// SAFETY: phylib locks, and `Mdio` is `Sync`: every method may be called from any thread.
unsafe impl Sync for Phy {}

/// Frees the operations of a bus.
///
/// # Safety
///
/// `ops` must come from `KBox::<M>::into_raw` and not be used again.
unsafe fn free_ops<M: Mdio>(ops: *mut c_void) {
    // SAFETY: By the safety requirements.
    drop(unsafe { KBox::<M>::from_raw(ops.cast()) });
}

/// The bus operation `read`.
///
/// # Safety
///
/// Called by phylib, with a bus of [`Phy::new`] whose operations are an `M`.
unsafe extern "C" fn read_callback<M: Mdio>(
    bus: *mut bindings::mii_bus,
    address: c_int,
    register: c_int,
) -> c_int {
    from_result(|| {
        if address != ADDRESS {
            return Err(ENODEV);
        }
        // SAFETY: `Phy::new` set `priv` to a leaked `KBox<M>` that lives as long as the bus.
        let ops = unsafe { &*bindings::mdiobus_priv(bus).cast::<M>() };
        ops.read((register & 0x1f) as u8).map(c_int::from)
    })
}

/// The bus operation `write`.
///
/// # Safety
///
/// Called by phylib, with a bus of [`Phy::new`] whose operations are an `M`.
unsafe extern "C" fn write_callback<M: Mdio>(
    bus: *mut bindings::mii_bus,
    address: c_int,
    register: c_int,
    value: u16,
) -> c_int {
    from_result(|| {
        if address != ADDRESS {
            return Err(ENODEV);
        }
        // SAFETY: `Phy::new` set `priv` to a leaked `KBox<M>` that lives as long as the bus.
        let ops = unsafe { &*bindings::mdiobus_priv(bus).cast::<M>() };
        ops.write((register & 0x1f) as u8, value).map(|()| 0)
    })
}

impl Phy {
    /// Registers an MDIO bus for `pdev` and finds the PHY on it, with a driver of its own if there
    /// is one and with phylib's generic driver if not.
    ///
    /// # Errors
    ///
    /// `ENODEV` if no PHY answers, with a line in the log; `ENOMEM`; those of `mdiobus_register`.
    ///
    /// # Safety
    ///
    /// What is returned must be dropped, and not leaked, before `pdev` is unbound and before
    /// anything goes that `ops` borrows: the bus calls `ops` as long as it is registered.
    pub(super) unsafe fn new<M: Mdio>(pdev: &pci::Device, ops: M) -> Result<Self> {
        let ops = KBox::into_raw(KBox::new(ops, GFP_KERNEL)?).cast::<c_void>();
        // SAFETY: Allocating has no requirements.
        let bus = unsafe { bindings::mdiobus_alloc_size(0) };
        let Some(bus) = NonNull::new(bus) else {
            // SAFETY: It was leaked above.
            unsafe { free_ops::<M>(ops) };
            return Err(ENOMEM);
        };
        // SAFETY: The bus is allocated and not registered, so it has no other user.
        let result = unsafe {
            let raw = bus.as_ptr();
            bindings::mdiobus_setup(
                raw,
                ops,
                pci::device(pdev),
                Some(read_callback::<M>),
                Some(write_callback::<M>),
            );
            to_result(bindings::mdiobus_register(raw))
        };
        if let Err(e) = result {
            if e == ENODEV {
                dev_err!(pdev, "no PHY answers on its MDIO bus\n");
            }
            // SAFETY: The bus is not registered, and neither it nor the operations have another
            // user.
            unsafe {
                bindings::mdiobus_free(bus.as_ptr());
                free_ops::<M>(ops);
            }
            return Err(e);
        }
        // SAFETY: The bus is registered.
        let phydev = NonNull::new(unsafe { bindings::mdiobus_get_phy(bus.as_ptr(), 0) });
        // INVARIANT: The bus is registered, and `ops` is its `priv`. A dangling `phydev` is not
        // used: without a PHY this is dropped below.
        let this = Self {
            bus,
            phydev: phydev.unwrap_or(NonNull::dangling()),
            ops,
            free_ops: free_ops::<M>,
            gigabit_half: M::GIGABIT_HALF,
            started: Flag::new(false),
            pause: Flag::new(false),
            asym_pause: Flag::new(false),
        };
        if phydev.is_none() {
            dev_err!(pdev, "no PHY answers on its MDIO bus\n");
            return Err(ENODEV);
        }
        // SAFETY: The PHY is not connected to anything yet. It is suspended and resumed
        // with its MAC, without which the bus to it is of no use.
        unsafe {
            bindings::phy_support_asym_pause(this.phydev.as_ptr());
            bindings::phy_set_mac_managed_pm(this.phydev.as_ptr());
        }
        Ok(this)
    }

    /// Connects the PHY to a network device, whose carrier follows the link from now on.
    ///
    /// # Errors
    ///
    /// Those of the MDIO bus if the PHY does not answer; those of `phy_connect_direct`.
    ///
    /// # Safety
    ///
    /// RTNL must be held, `dev` be live, and the PHY not be connected. `link_changed` must be safe
    /// to be called with `dev`, in process context, until [`Phy::disconnect`].
    pub(super) unsafe fn connect(
        &self,
        dev: *mut bindings::net_device,
        link_changed: unsafe extern "C" fn(*mut bindings::net_device),
    ) -> Result {
        // A PHY that does not answer must not get to phylib: when that of Linux 6.18 fails to
        // attach a PHY for the second time, it takes back LED triggers that it has not made, and
        // oopses (docs/upstream/phylib-led-triggers.md).
        // SAFETY: By the type invariants the bus is registered; it is not locked by this thread.
        to_result(unsafe { bindings::mdiobus_read(self.bus.as_ptr(), ADDRESS, STATUS) })?;
        // SAFETY: Both are live; the rest by the safety requirements.
        unsafe {
            to_result(bindings::phy_connect_direct(
                dev,
                self.phydev.as_ptr(),
                Some(link_changed),
                bindings::phy_interface_t_PHY_INTERFACE_MODE_GMII,
            ))?;
            // Not before: what the generic PHY driver finds is new each time it is attached. Only
            // where it is there: what the user has chosen to be offered is forgotten when a mode is
            // removed.
            let mode = bindings::NET_LINK_MODE_GIGABIT_HALF;
            if !self.gigabit_half && bindings::phy_supports(self.phydev.as_ptr(), mode) {
                bindings::phy_remove_link_mode(self.phydev.as_ptr(), mode);
            }
            bindings::phy_attached_info(self.phydev.as_ptr());
        }
        Ok(())
    }

    /// Powers the PHY up, and undoes [`Phy::speed_down`].
    pub(super) fn power_up(&self) {
        // SAFETY: The PHY is connected. If its registers do not answer, the link stays down.
        unsafe {
            bindings::phy_init_hw(self.phydev.as_ptr());
            bindings::phy_resume(self.phydev.as_ptr());
            bindings::phy_speed_up(self.phydev.as_ptr());
        }
    }

    /// Has the link renegotiated to the lowest speed that both ends have, for a device that is
    /// suspended with Wake-on-LAN: it costs less power. Without a link nothing happens.
    ///
    /// Does nothing after [`Phy::stop`], which forgets what the other end has.
    pub fn speed_down(&self) {
        // SAFETY: The PHY lives as long as the bus. If it cannot be done the link stays as it is.
        let _ = unsafe { bindings::phy_speed_down(self.phydev.as_ptr(), false) };
    }

    /// Starts negotiation and watching the link.
    pub(super) fn start(&self) {
        // SAFETY: The PHY is connected.
        unsafe { bindings::phy_start(self.phydev.as_ptr()) };
        self.started.store(true, Relaxed);
        // The link may have changed in between.
        self.mac_interrupt();
    }

    /// Ends watching the link; the carrier is lost.
    pub(super) fn stop(&self) {
        self.started.store(false, Relaxed);
        // SAFETY: The PHY is connected and started, and RTNL is held.
        unsafe { bindings::phy_stop(self.phydev.as_ptr()) };
    }

    /// Cancels the last run of phylib's state machine, or waits for it: a [`Phy::mac_interrupt`]
    /// just before [`Phy::stop`] may have asked for it.
    ///
    /// The PHY must be stopped, so that no other run follows. Process context, not within phylib;
    /// RTNL may be held.
    pub(super) fn wait_state_machine(&self) {
        // SAFETY: The PHY lives as long as the bus, and its work item was initialized with it. This
        // waits for the state machine, which takes no RTNL and never calls this.
        unsafe { bindings::phy_cancel_state_machine(self.phydev.as_ptr()) };
    }

    /// Ends [`Phy::connect`].
    pub(super) fn disconnect(&self) {
        // SAFETY: The PHY is connected and stopped, and RTNL is held.
        unsafe { bindings::phy_disconnect(self.phydev.as_ptr()) };
    }

    /// Reports to phylib that the MAC has seen the link change, if phylib watches it. Any context.
    ///
    /// A phylib that was stopped would answer by powering the PHY down, without the lock that
    /// [`Phy::start`] takes, and perhaps in the middle of that.
    pub fn mac_interrupt(&self) {
        if self.started.load(Relaxed) {
            // SAFETY: The PHY lives as long as the bus.
            unsafe { bindings::phy_mac_interrupt(self.phydev.as_ptr()) };
        }
    }

    /// Offers the partner no flow control by pause frames, or what was offered before that;
    /// negotiates anew if the interface is up.
    ///
    /// Runs under RTNL. The calls must alternate, and begin with `false`.
    pub(super) fn allow_pause(&self, allowed: bool, up: bool) {
        // SAFETY: The PHY lives as long as the bus; RTNL keeps others from its settings. While the
        // interface is up the PHY is connected.
        unsafe {
            let phydev = self.phydev.as_ptr();
            for (mode, offered) in [
                (bindings::NET_LINK_MODE_PAUSE, &self.pause),
                (bindings::NET_LINK_MODE_ASYM_PAUSE, &self.asym_pause),
            ] {
                if !allowed {
                    offered.store(bindings::phy_advertises(phydev, mode), Relaxed);
                }
                let on = allowed && offered.load(Relaxed);
                bindings::phy_set_advertised(phydev, mode, on);
            }
            if up {
                bindings::phy_start_aneg(phydev);
            }
        }
    }

    /// Returns the speed of the link in Mbit/s, or `None` without one. Any context.
    pub fn speed(&self) -> Option<u32> {
        // SAFETY: The PHY lives as long as the bus.
        let speed = unsafe { bindings::phy_speed(self.phydev.as_ptr()) };
        u32::try_from(speed).ok().filter(|&speed| speed != 0)
    }

    /// Returns whether the link is negotiated, and not forced.
    pub(super) fn negotiates(&self) -> bool {
        // SAFETY: The PHY lives as long as the bus.
        unsafe { bindings::phy_autoneg(self.phydev.as_ptr()) }
    }

    /// Returns the flow control that was negotiated.
    pub(super) fn pause(&self) -> Pause {
        let mut pause = Pause {
            rx: false,
            tx: false,
        };
        // SAFETY: The PHY lives as long as the bus; both results are valid for writes.
        unsafe { bindings::phy_get_pause(self.phydev.as_ptr(), &mut pause.tx, &mut pause.rx) };
        pause
    }

    /// Sets the flow control to negotiate, and negotiates anew if that is something else.
    ///
    /// Runs under RTNL.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the PHY cannot negotiate that.
    pub(super) fn set_pause(&self, pause: Pause) -> Result {
        let mut param = bindings::ethtool_pauseparam {
            rx_pause: u32::from(pause.rx),
            tx_pause: u32::from(pause.tx),
            ..Default::default()
        };
        // SAFETY: The PHY lives as long as the bus; RTNL keeps others from its settings.
        unsafe {
            if !bindings::phy_validate_pause(self.phydev.as_ptr(), &mut param) {
                return Err(EINVAL);
            }
            bindings::phy_set_asym_pause(self.phydev.as_ptr(), pause.rx, pause.tx);
        }
        Ok(())
    }

    /// Resets the PHY by its control register.
    ///
    /// # Errors
    ///
    /// Those of the MDIO bus; `ETIMEDOUT`.
    pub fn soft_reset(&self) -> Result {
        // SAFETY: The PHY is live.
        to_result(unsafe { bindings::genphy_soft_reset(self.phydev.as_ptr()) })
    }

    /// Lets `f` access the registers, with the bus locked.
    ///
    /// # Errors
    ///
    /// That of `f`.
    pub fn with_registers<R>(&self, f: impl FnOnce(&Registers<'_>) -> Result<R>) -> Result<R> {
        // SAFETY: The PHY is live, the bus is not locked by this thread.
        unsafe { bindings::phy_lock_mdio_bus(self.phydev.as_ptr()) };
        let result = f(&Registers(self));
        // SAFETY: It was locked above.
        unsafe { bindings::phy_unlock_mdio_bus(self.phydev.as_ptr()) };
        result
    }
}

impl Drop for Phy {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the bus is registered; unregistering it ends all use of
        // the PHY and of the operations.
        unsafe {
            bindings::mdiobus_unregister(self.bus.as_ptr());
            bindings::mdiobus_free(self.bus.as_ptr());
            (self.free_ops)(self.ops);
        }
    }
}

/// The registers of a PHY whose bus is locked; see [`Phy::with_registers`].
pub struct Registers<'a>(&'a Phy);

impl Registers<'_> {
    /// Reads a register, `0..=31`.
    ///
    /// # Errors
    ///
    /// Those of the MDIO bus.
    pub fn read(&self, register: u8) -> Result<u16> {
        // SAFETY: The PHY is live and its bus is locked.
        let value =
            unsafe { bindings::__phy_read(self.0.phydev.as_ptr(), u32::from(register & 0x1f)) };
        to_result(value)?;
        Ok(value as u16)
    }

    /// Writes a register, `0..=31`.
    ///
    /// # Errors
    ///
    /// Those of the MDIO bus.
    pub fn write(&self, register: u8, value: u16) -> Result {
        let register = u32::from(register & 0x1f);
        // SAFETY: The PHY is live and its bus is locked.
        to_result(unsafe { bindings::__phy_write(self.0.phydev.as_ptr(), register, value) })
    }

    /// Sets bits of a register, `0..=31`.
    ///
    /// # Errors
    ///
    /// Those of the MDIO bus.
    pub fn set_bits(&self, register: u8, bits: u16) -> Result {
        let value = self.read(register)?;
        self.write(register, value | bits)
    }
}
