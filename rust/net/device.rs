// SPDX-License-Identifier: GPL-2.0

//! Ethernet network devices with one transmit queue, one NAPI instance and a PHY.
//!
//! # Who may touch what
//!
//! The network core already serializes its callbacks: `ndo_start_xmit` runs under the lock of the
//! transmit queue, a NAPI poll runs once at a time, `ndo_open` and `ndo_stop` run under RTNL. So a
//! driver needs no locks of its own on the hot path, if what it touches is split along these lines.
//! [`Operations`] makes the split part of the types: [`Operations::open`] returns two halves,
//!
//! - [`Operations::Xmit`], which [`Operations::start_xmit`] gets as `&mut`, and
//! - [`Operations::Poll`], which [`Operations::poll`] gets as `&mut`;
//!
//! and [`Operations::start`] and [`Operations::stop`] get both, because they run when neither of
//! the others can. Everything else sees `&self`.
//!
//! # A quiet device
//!
//! All slow paths are the same two verbs, quiesce and resume:
//!
//! ```text
//!   up:      wake PHY -> resume -> allow resets -> start PHY
//!   down:    no more resets -> stop PHY -> quiesce
//!   open:    Operations::open -> request IRQ -> connect PHY -> up
//!   stop:    down -> free IRQ -> disconnect PHY -> drop halves
//!   reset:   quiesce -> resume                  (a work item; after a timeout or a fatal error)
//!   revive:  sleep -> reset of the bus -> wake  (a work item; after a timeout, if the device does not answer)
//!   sleep:   detach -> before_sleep -> down -> prepare_sleep    (also when the PCI bus reports an error)
//!   wake:    wake_up -> up -> attach
//! ```
//!
//! A device without a link sleeps in the same way while the system runs; see `runtime_pm`.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    address::{
        MacAddress,
        StationAddress, //
    },
    callbacks::{
        self,
        Private, //
    },
    contexts::{
        PollContext,
        Rtnl,
        XdpContext,
        XmitContext, //
    },
    ethtool::{
        Ethtool,
        TestResult, //
    },
    features::Features,
    page_pool::Pool,
    pci,
    phy::{
        Mdio,
        Phy, //
    },
    runtime_pm,
    skb::{
        SkBuff,
        Skb, //
    },
    stats::{
        Errors,
        Segmentation, //
    },
    xdp::{
        Xdp,
        XdpFrame, //
    }, //
};
use crate::bindings;
use core::{
    ffi::CStr,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::Relaxed,
    types::Opaque, //
};

/// The answer of [`Operations::interrupt`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IrqReturn {
    /// It was not this device's: the line is shared.
    None,
    /// It was this device's.
    Handled,
}

/// The answer of [`Operations::poll`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// There was work, of this amount. At [`RxContext::budget`](super::contexts::RxContext::budget) the poll is called again at once, below it after the time
    /// for which the core defers interrupts (`gro_flush_timeout`), or at once if it does not.
    Busy(u32),
    /// There was none, or no budget. With one the interrupts can be enabled.
    Idle,
}

/// What ends the sleep of a device, besides the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WakeBy {
    /// Nothing does.
    Nothing,
    /// What [`Ethtool::set_wake_events`] has set.
    Events,
    /// The link, when it comes.
    Link,
}

/// What a driver does. See the [module](self) for who runs when.
pub trait Operations: Ethtool + Send + Sync {
    /// The version that `ethtool -i` shows.
    const VERSION: &'static CStr;
    /// The largest MTU, in bytes.
    const MAX_MTU: u32;
    /// The largest MTU with which a received frame fits into one buffer that XDP can work on; see
    /// [`page_pool::XDP_BUFFER_SIZE`](super::page_pool::XDP_BUFFER_SIZE).
    const MAX_XDP_MTU: u32;
    /// The offloads that can be switched on and off.
    const FEATURES: Features;
    /// Those of them that are on from the start.
    const DEFAULT_FEATURES: Features;
    /// Those of them that work on frames with a VLAN tag.
    const VLAN_FEATURES: Features;
    /// The largest frame to be cut into segments, in bytes.
    const TSO_MAX_SIZE: u32;
    /// The most segments to cut a frame into.
    const TSO_MAX_SEGMENTS: u16;

    /// What sending needs: the producer's half of the transmit ring.
    type Xmit: Send;
    /// What the poll needs: the receive ring and the consumer's half of the transmit ring.
    type Poll: Send;
    /// Where receive buffers come from: [`PagePool`](super::page_pool::PagePool) or [`NoPool`](super::page_pool::NoPool).
    type Pool: Pool;
    /// How the PHY is reached: [`NoPhy`](super::phy::NoPhy) if there is none.
    type Mdio: Mdio;

    /// Is told that the interface is registered.
    fn registered(&self) {}

    /// Allocates what a running interface needs; does not touch the device.
    ///
    /// Runs under RTNL. What it returns is dropped with NAPI disabled, the pool last. It may be called while the
    /// interface is up, to replace what it returned before by something of another size.
    fn open(&self, dev: &NetDevice, config: &RingConfig) -> Result<Opened<Self>>
    where
        Self: Sized;

    /// Makes the PHY ready for negotiation, each time the interface comes up.
    fn init_phy(&self, phy: &Phy);

    /// Starts the device on empty rings, with its interrupts masked. Process context.
    fn start(&self, dev: &NetDevice, xmit: &mut Self::Xmit, poll: &mut Self::Poll);

    /// Stops the device, for good until [`Operations::start`], and empties the rings.
    ///
    /// Works on a device that is dead or gone too. Process context.
    fn stop(&self, dev: &NetDevice, xmit: &mut Self::Xmit, poll: &mut Self::Poll);

    /// Runs the tests of [`Ethtool::SELF_TESTS`] that a quiet device is needed for.
    ///
    /// Runs after [`Operations::stop`] and before [`Operations::start`]; the interrupt handler may be
    /// called. The device may be used in any way, but must be left as `stop` leaves it.
    fn self_test(
        &self,
        rtnl: &Rtnl<'_>,
        xmit: &mut Self::Xmit,
        poll: &mut Self::Poll,
        results: &mut [TestResult],
    );

    /// Runs the tests of [`Ethtool::SELF_TESTS`] that disturb nobody. Under RTNL, up or down.
    fn self_test_online(&self, dev: &NetDevice, results: &mut [TestResult]);

    /// Returns whether the device does not answer at all. Any context.
    fn is_dead(&self) -> bool;

    /// Unmasks the interrupts. Any context.
    fn enable_interrupts(&self);

    /// Masks the interrupts, before [`Operations::stop`]. A handler that runs meanwhile may unmask them once
    /// more, one that begins later may not. Process context.
    fn disable_interrupts(&self);

    /// Hears that the link has come, gone, or changed its speed. Process context, while the interface
    /// is up; phylib's lock of the PHY is held.
    fn link_changed(&self, phy: &Phy);

    /// Looks at an interrupt. Hard interrupt context; may come at any time while open, but not after
    /// [`Operations::prepare_sleep`] until [`Operations::wake_up`].
    fn interrupt(&self, dev: &NetDevice) -> IrqReturn;

    /// Returns whether there is room for a frame. If there is none, although the queue was not stopped, the core keeps the
    /// frame: the driver stops the queue, and the poll wakes it.
    ///
    /// Runs before [`Operations::start_xmit`], under the same lock.
    fn has_room(&self, cx: &XmitContext<'_>, xmit: &mut Self::Xmit, skb: &Skb) -> bool;

    /// Sends a frame that there is room for, or drops it. Runs under the lock of the transmit queue, with soft interrupts off.
    fn start_xmit(&self, cx: &XmitContext<'_>, xmit: &mut Self::Xmit, skb: SkBuff);

    /// Returns whether a frame without an `sk_buff` can be queued. Runs before [`Operations::send_xdp`], under the same lock.
    fn has_room_xdp(&self, cx: &XdpContext<'_>, xmit: &mut Self::Xmit, frame: &XdpFrame) -> bool;

    /// Queues a frame without an `sk_buff`, or drops it; [`Operations::flush_xdp`] follows. Runs as
    /// [`Operations::start_xmit`]. The byte queue limits do not count such frames.
    fn send_xdp(&self, cx: &XdpContext<'_>, xmit: &mut Self::Xmit, frame: XdpFrame);

    /// Has the device send what was queued. Runs as [`Operations::start_xmit`].
    fn flush_xdp(&self, cx: &XdpContext<'_>, xmit: &mut Self::Xmit);

    /// Completes what was sent and hands up what was received: [`RxContext::budget`](super::contexts::RxContext::budget) frames
    /// at most. Soft interrupt context.
    fn poll(&self, cx: &PollContext<'_, Self::Pool>, poll: &mut Self::Poll) -> Polled;

    /// Sets the receive filter to `filter`. Runs under the lock of the address lists.
    fn set_rx_filter(&self, filter: RxFilter);

    /// Sets the MAC address. Runs under RTNL, up or down, and once before the interface is registered.
    fn set_mac_address(&self, address: &MacAddress);

    /// Is told that a device that is up will be put to sleep, while its PHY still knows what the other end of the
    /// link offers. Runs under RTNL.
    fn before_sleep(&self, phy: Option<&Phy>, wake: WakeBy);

    /// Puts a device that was up and is quiet to sleep, and has it watch for what shall wake it.
    ///
    /// Works on a device that is dead or gone too. Runs under RTNL.
    fn prepare_sleep(&self, wake: WakeBy);

    /// Returns whether there is a link now, by the device's own word. The device watches for one, or runs.
    fn senses_link(&self) -> bool;

    /// Undoes [`Operations::prepare_sleep`]. The device may have lost all its registers; it has
    /// this address again afterwards. The interface is detached.
    fn wake_up(&self, address: &MacAddress);

    /// Leaves the device to the firmware or to the next driver, after it was put to sleep or its interface
    /// unregistered.
    fn retire(&self, phy: Option<&Phy>);

    /// Returns what of `wanted` is possible with an MTU of `mtu` bytes.
    fn fix_features(&self, mtu: u32, wanted: Features) -> Features;

    /// Switches on the offloads of reception in `features`, and the others off. Runs under RTNL, up
    /// or down; [`Operations::set_rx_filter`] follows if frames are received.
    fn set_features(&self, features: Features);

    /// Returns what of `features` is possible for this frame. Any context.
    fn check_features(&self, skb: &Skb, features: Features) -> Features;
}

/// What [`Operations::open`] allocates.
pub struct Opened<T: Operations> {
    /// For sending.
    pub xmit: T::Xmit,
    /// For the poll.
    pub poll: T::Poll,
    /// Where the buffers for receiving come from.
    pub pool: T::Pool,
}

/// The size of what [`Operations::open`] allocates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RingConfig {
    /// The MTU in bytes.
    pub mtu: u32,
    /// Descriptors in the receive ring, within [`Ethtool::RINGS`].
    pub rx: u32,
    /// Descriptors in the transmit ring, within [`Ethtool::RINGS`].
    pub tx: u32,
    /// Whether programs are to be run on what is received; see [`xdp`](super::xdp).
    pub xdp: bool,
}

/// What a device is to receive, besides frames to its own address and broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxFilter {
    /// Nothing.
    Own,
    /// Multicasts whose hash has its bit set here. The hash of an address is the upper 6 bits of
    /// its Ethernet CRC, most significant bit first.
    Multicast(u64),
    /// All multicasts.
    AllMulticast,
    /// Everything.
    Promiscuous,
}

/// A network device: what its driver may do with it from any context.
///
/// # Invariants
///
/// The `net_device` was allocated by [`Registration::new`], so its private area begins with a
/// [`callbacks::Core`].
#[repr(transparent)]
pub struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: The methods may be called from any thread.
unsafe impl Sync for NetDevice {}

impl NetDevice {
    /// # Safety
    ///
    /// `dev` must be allocated by [`Registration::new`] and live for `'a`.
    pub(super) unsafe fn from_raw<'a>(dev: *mut bindings::net_device) -> &'a Self {
        // SAFETY: `NetDevice` is a transparent wrapper; the rest is the caller's promise.
        unsafe { &*dev.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    fn core(&self) -> &callbacks::Core {
        // SAFETY: By the type invariant.
        unsafe { &*callbacks::private_area(self.as_raw()).cast() }
    }

    pub(super) fn napi(&self) -> *mut bindings::napi_struct {
        self.core().napi.get()
    }

    /// Has [`Operations::poll`] called soon, if it is not scheduled already.
    pub fn schedule_poll(&self) {
        // SAFETY: The NAPI instance lives as long as the device. While it is disabled this does
        // nothing.
        unsafe { bindings::net_helper_napi_schedule(self.napi()) };
    }

    /// Has the device stopped and started again soon, in process context.
    pub fn schedule_reset(&self) {
        // If it is disabled, it is scheduled when it is enabled.
        self.core().reset_due.store(true, Relaxed);
        // SAFETY: The work item lives as long as the device; while it is disabled this does nothing.
        unsafe { bindings::net_helper_schedule_work(self.core().reset.get()) };
    }

    /// Returns the error counters.
    pub fn errors(&self) -> &Errors {
        &self.core().errors
    }

    pub(super) fn segmentation(&self) -> &Segmentation {
        &self.core().segmentation
    }

    pub(super) fn xdp(&self) -> &Xdp {
        &self.core().xdp
    }

    /// Returns the MTU in bytes.
    pub fn mtu(&self) -> u32 {
        // SAFETY: The device is live.
        unsafe { bindings::net_helper_netdev_mtu(self.as_raw()) }
    }

    /// Returns the PHY, if the device has one.
    pub fn phy(&self) -> Option<&Phy> {
        self.core().phy.as_ref()
    }

    /// Returns the MAC address.
    ///
    /// # Safety
    ///
    /// The address must not change meanwhile: RTNL must be held, or the device be kept awake or asleep by the one who changes that.
    pub(super) unsafe fn address(&self) -> MacAddress {
        // SAFETY: The device is live, and has an address of 6 bytes, which nobody writes by the safety requirement.
        unsafe {
            bindings::net_helper_dev_addr(self.as_raw())
                .cast::<MacAddress>()
                .read()
        }
    }

    /// Returns whether there is a link.
    pub fn has_link(&self) -> bool {
        // SAFETY: The device is live.
        unsafe { bindings::net_helper_carrier_ok(self.as_raw()) }
    }

    /// Which messages are wanted: bits of `NETIF_MSG_*`.
    pub(super) fn message_level(&self) -> u32 {
        self.core().message_level.load(Relaxed)
    }

    pub(super) fn set_message_level(&self, level: u32) {
        self.core().message_level.store(level, Relaxed);
    }
}

/// A network device that is to be registered.
///
/// [`Driver::probe`](super::pci::driver::Driver::probe) returns it; the device is registered afterwards, and unregistered
/// when the driver is unbound: the driver cannot keep it longer.
pub struct Interface<'a, T: Operations> {
    pub(super) pdev: &'a pci::Device,
    pub(super) address: StationAddress,
    pub(super) mdio: Option<T::Mdio>,
    pub(super) driver: T,
}

impl<'a, T: Operations + 'a> Interface<'a, T> {
    /// Describes the interface of `pdev`, with the interrupt of its INTx pin.
    ///
    /// It begins with `address`, which must be valid, and which `driver` is given first. `mdio` reaches its PHY, if it has one.
    pub fn new(
        pdev: &'a pci::Device,
        address: StationAddress,
        mdio: Option<T::Mdio>,
        driver: T,
    ) -> Self {
        Self {
            pdev,
            address,
            mdio,
            driver,
        }
    }
}

/// A registered network device; dropping it unregisters the device first.
///
/// # Invariants
///
/// `dev` was allocated for a `Private<T>` that is initialized. It is registered, and its parent may sleep if `may_sleep` says
/// so.
pub(super) struct Registration<'a, T: Operations + 'a> {
    dev: NonNull<bindings::net_device>,
    may_sleep: bool,
    _owns: PhantomData<(&'a (), T)>,
}

impl<'a, T: Operations + 'a> Registration<'a, T> {
    /// Makes and registers a network device. All of its driver is called from now on.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is no PHY where one is to be; `ENOMEM`; those of `register_netdev`.
    ///
    /// # Safety
    ///
    /// What is returned must be dropped, and not leaked, before the device is unbound.
    pub(super) unsafe fn new(interface: Interface<'a, T>) -> Result<Self> {
        const {
            assert!(
                align_of::<Private<T>>() <= 32,
                "NETDEV_ALIGN is all that the private area is aligned to"
            )
        };
        let Interface {
            pdev,
            address,
            mdio,
            driver,
        } = interface;
        let size = c_int::try_from(size_of::<Private<T>>())?;
        let phy = match mdio {
            // SAFETY: By the safety requirement what is made is dropped while the device is bound, and before the driver.
            Some(mdio) => Some(unsafe { Phy::new(pdev, mdio) }?),
            None => None,
        };
        // SAFETY: No requirement.
        let dev = unsafe { bindings::alloc_etherdev_mqs(size, 1, 1) };
        let dev = NonNull::new(dev).ok_or(ENOMEM)?;
        // SAFETY: The private area is that large and aligned, and not used yet. A `pci::Device` is had of one that is enabled, and
        // lives longer.
        unsafe { callbacks::init(dev, pdev, phy, driver) };
        // SAFETY: The device and its parent are those of above.
        if let Err(e) = to_result(unsafe { bindings::net_helper_keep_config(dev.as_ptr()) }) {
            // SAFETY: It was initialized above and is not registered.
            unsafe { callbacks::free::<T>(dev) };
            return Err(e);
        }

        // SAFETY: The device is not registered, so nobody else looks at it, and it was initialized for `T` above.
        let private = unsafe {
            bindings::net_helper_eth_hw_addr_set(
                dev.as_ptr(),
                address.bytes().as_ptr(),
                matches!(address, StationAddress::Random(_)),
            );
            Private::<T>::of(dev.as_ptr()).1
        };
        private.driver().set_mac_address(address.bytes());

        // SAFETY: The device is complete.
        if let Err(e) = to_result(unsafe { bindings::register_netdev(dev.as_ptr()) }) {
            // SAFETY: It was initialized above and is not registered.
            unsafe { callbacks::free::<T>(dev) };
            return Err(e);
        }
        private.driver().registered();
        // SAFETY: It is registered.
        let may_sleep = runtime_pm::allow(unsafe { NetDevice::from_raw(dev.as_ptr()) });
        // INVARIANT: `register_netdev` succeeded; `may_sleep` is what `allow` returned.
        Ok(Self {
            dev,
            may_sleep,
            _owns: PhantomData,
        })
    }

    pub(super) fn as_raw(&self) -> NonNull<bindings::net_device> {
        self.dev
    }
}

impl<'a, T: Operations + 'a> Drop for Registration<'a, T> {
    /// Runs while the parent is being bound or unbound, when the bus keeps it awake.
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is registered, for `T`. Once it is not, the interface is down, its interrupt is
        // freed and no callback runs, nor will one, so that it may be freed.
        unsafe {
            let (dev, private) = Private::<T>::of(self.dev.as_ptr());
            if self.may_sleep {
                runtime_pm::forbid(dev);
            }
            bindings::unregister_netdev(self.dev.as_ptr());
            private.driver().retire(dev.phy());
            callbacks::free::<T>(self.dev);
        }
    }
}
