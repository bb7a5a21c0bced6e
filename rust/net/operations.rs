// SPDX-License-Identifier: GPL-2.0

//! Ethernet network devices with one transmit queue, one NAPI instance, and perhaps a PHY.
//!
//! # What runs beside what
//!
//! The network core already serializes its callbacks: `ndo_start_xmit` runs under the lock of the
//! transmit queue, a NAPI poll runs once at a time, `ndo_open` and `ndo_stop` run under RTNL. So a
//! driver needs no locks of its own on the hot path, if what it touches is split along these lines.
//! [`Operations`] makes the split part of the types. It is made of [`Transmit`], [`Napi`] and the
//! slow paths, and [`Operations::open`] returns two halves,
//!
//! - [`Transmit::TxState`], which [`Transmit::start_xmit`] gets as `&mut`, and
//! - [`Napi::NapiState`], which [`Napi::poll`] gets as `&mut`;
//!
//! and [`Operations::start`] and [`Operations::stop`] get both, because they run when neither of
//! the others can. Everything else sees `&self`. Receive buffers come from a third part,
//! [`Napi::Pool`], which the framework keeps and lends to the poll.
//!
//! Some things are allowed in some calls only, and take a value that these get: see
//! [`contexts`](super::contexts).
//!
//! # A quiet device
//!
//! All slow paths are made of starting and stopping the hardware:
//!
//! ```text
//!   up:      power PHY up -> start_hw -> allow resets -> start PHY
//!   down:    no more resets -> stop PHY -> stop_hw
//!   open:    Operations::open -> request IRQ -> connect PHY -> up
//!   stop:    down -> free IRQ -> disconnect PHY -> drop halves
//!   reset:   stop_hw -> start_hw                (a work item; after a timeout or a fatal error)
//!   recover: suspend -> bus reset -> resume       (a work item; after a timeout of a dead device)
//!   suspend: detach -> suspend_prepare -> down -> arm_wake   (also after an error of the PCI bus)
//!   resume:  reinit -> up -> attach
//! ```
//!
//! A device without a link is suspended in the same way while the system runs; see `runtime_pm`.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     contexts::{
//!         PollContext,
//!         XmitContext, //
//!     },
//!     device::NetDevice,
//!     ethtool::Ethtool,
//!     operations::{
//!         IrqReturn,
//!         Napi,
//!         Opened,
//!         Operations,
//!         Polled,
//!         RingConfig,
//!         RxFilter,
//!         Transmit,
//!         WakeBy, //
//!     },
//!     owned::Owned,
//!     page_pool::NoPool,
//!     phy::NoPhy,
//!     skb::SkBuff, //
//! };
//! use kernel::prelude::*;
//!
//! /// The least there can be: nothing is received, and what is sent is dropped.
//! struct Null;
//!
//! impl Ethtool for Null {}
//!
//! impl Transmit for Null {
//!     type TxState = ();
//!
//!     fn has_room(&self, _cx: &XmitContext<'_>, _xmit: &mut (), _skb: &SkBuff) -> bool {
//!         true
//!     }
//!
//!     fn start_xmit(&self, cx: &XmitContext<'_>, _xmit: &mut (), skb: Owned<SkBuff>) {
//!         drop(skb);
//!         cx.device().errors().tx_dropped.count();
//!     }
//! }
//!
//! impl Napi for Null {
//!     type NapiState = ();
//!     type Pool = NoPool;
//!
//!     fn enable_interrupts(&self) {}
//!
//!     fn disable_interrupts(&self) {}
//!
//!     fn interrupt(&self, _dev: &NetDevice) -> IrqReturn {
//!         IrqReturn::None
//!     }
//!
//!     fn poll(&self, _cx: &PollContext<'_, NoPool>, _poll: &mut ()) -> Polled {
//!         Polled::Idle
//!     }
//! }
//!
//! impl Operations for Null {
//!     type Mdio = NoPhy;
//!
//!     fn open(&self, _dev: &NetDevice, _config: &RingConfig) -> Result<Opened<Self>> {
//!         Ok(Opened {
//!             xmit: (),
//!             poll: (),
//!             pool: NoPool,
//!         })
//!     }
//!
//!     fn start(&self, _dev: &NetDevice, _xmit: &mut (), _poll: &mut ()) {}
//!
//!     fn stop(&self, _dev: &NetDevice, _xmit: &mut (), _poll: &mut ()) {}
//!
//!     // All others are optional, as these are.
//!     fn set_rx_filter(&self, _filter: RxFilter) {}
//!
//!     fn arm_wake(&self, _wake: WakeBy) {}
//! }
//! ```
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    address::MacAddress,
    contexts::{
        PollContext,
        Rtnl,
        XdpContext,
        XmitContext, //
    },
    device::NetDevice,
    ethtool::{
        Ethtool,
        TestResult, //
    },
    features::Features,
    owned::Owned,
    page_pool::Pool,
    phy::{
        Mdio,
        Phy, //
    },
    skb::SkBuff,
    xdp::XdpFrame, //
};
use crate::bindings;
use core::ffi::CStr;
use kernel::prelude::*;

/// The answer of [`Napi::interrupt`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IrqReturn {
    /// It was not this device's: the line is shared.
    None,
    /// It was this device's.
    Handled,
}

/// The answer of [`Napi::poll`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// There was work, of this amount. At [`RxContext::budget`](super::contexts::RxContext::budget)
    /// the poll is called again at once, below it after the time for which the core defers
    /// interrupts (`gro_flush_timeout`), or at once if it does not.
    Busy(u32),
    /// There was none, but there soon will be: as [`Polled::Busy`] below the budget.
    Again,
    /// There was none, or no budget. With one the interrupts can be enabled.
    Idle,
}

/// The events that end the suspension of a device, besides those of the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WakeBy {
    /// None.
    Nothing,
    /// Those that [`Ethtool::set_wake_events`] has set.
    Events,
    /// The link, when it comes.
    Link,
}

/// The sending of frames. The [module](self) says in which context each is called.
pub trait Transmit {
    /// The state that sending needs: the producer's half of the transmit ring.
    type TxState: Send;

    /// Returns what of `features` is possible for this frame. Any context.
    fn check_features(&self, _skb: &SkBuff, features: Features) -> Features {
        features
    }

    /// Returns whether there is room for a frame. If there is none, although the queue was not
    /// stopped, the core keeps the frame: the driver stops the queue, and the poll wakes it.
    ///
    /// Runs before [`Transmit::start_xmit`], under the same lock.
    fn has_room(&self, cx: &XmitContext<'_>, xmit: &mut Self::TxState, skb: &SkBuff) -> bool;

    /// Sends a frame that there is room for, or drops it. Runs under the lock of the transmit
    /// queue, with soft interrupts off.
    fn start_xmit(&self, cx: &XmitContext<'_>, xmit: &mut Self::TxState, skb: Owned<SkBuff>);

    /// Returns whether a frame without an `sk_buff` can be queued. Runs before
    /// [`Transmit::send_xdp`], under the same lock.
    fn has_room_xdp(
        &self,
        _cx: &XdpContext<'_>,
        _xmit: &mut Self::TxState,
        _frame: &XdpFrame,
    ) -> bool {
        false
    }

    /// Queues a frame without an `sk_buff`, or drops it; [`Transmit::flush_xdp`] follows. Runs as
    /// [`Transmit::start_xmit`]. The byte queue limits do not count such frames.
    fn send_xdp(&self, _cx: &XdpContext<'_>, _xmit: &mut Self::TxState, _frame: XdpFrame) {}

    /// Has the device send what was queued. Runs as [`Transmit::start_xmit`].
    fn flush_xdp(&self, _cx: &XdpContext<'_>, _xmit: &mut Self::TxState) {}
}

/// The handling of interrupts and the polling of the rings. The [module](self) says in which
/// context each is called.
pub trait Napi {
    /// The state that the poll needs: the receive ring and the consumer's half of the transmit
    /// ring.
    type NapiState: Send;
    /// The source of receive buffers: [`PagePool`](super::page_pool::PagePool) or
    /// [`NoPool`](super::page_pool::NoPool).
    type Pool: Pool;

    /// Unmasks the interrupts. Any context.
    fn enable_interrupts(&self);

    /// Masks the interrupts, before [`Operations::stop`]. A handler that runs meanwhile may unmask
    /// them once more, one that begins later may not. Process context.
    fn disable_interrupts(&self);

    /// Looks at an interrupt. Hard interrupt context; may come at any time while open, but not
    /// after [`Operations::arm_wake`] until [`Operations::reinit`].
    fn interrupt(&self, dev: &NetDevice) -> IrqReturn;

    /// Completes what was sent and hands up what was received:
    /// [`RxContext::budget`](super::contexts::RxContext::budget) frames at most. Soft interrupt
    /// context.
    fn poll(&self, cx: &PollContext<'_, Self::Pool>, poll: &mut Self::NapiState) -> Polled;
}

/// The operations of a driver: these, and those of the traits that they are made of. The
/// [module](self) says in which context each is called.
///
/// Whatever has a default is optional. `rust/example.rs` is a driver that needs little more than
/// the rest.
pub trait Operations: Ethtool + Transmit + Napi + Send + Sync {
    /// The version that `ethtool -i` shows.
    const VERSION: &'static CStr = c"";
    /// The largest MTU, in bytes.
    const MAX_MTU: u32 = bindings::ETH_DATA_LEN;
    /// The largest MTU with which a received frame fits into one buffer that XDP can work on; see
    /// [`page_pool::XDP_BUFFER_SIZE`](super::page_pool::XDP_BUFFER_SIZE).
    ///
    /// 0 if the driver runs no programs itself. The core can run them on any device's frames
    /// (generic XDP).
    const MAX_XDP_MTU: u32 = 0;
    /// The offloads that can be switched on and off.
    const FEATURES: Features = Self::DEFAULT_FEATURES;
    /// Those of them that are on from the start.
    const DEFAULT_FEATURES: Features = Features::NONE;
    /// Those of them that work on frames with a VLAN tag.
    const VLAN_FEATURES: Features = Features::NONE;
    /// The largest frame to segment, in bytes; without [`Features::TSO`] there is none.
    const TSO_MAX_SIZE: u32 = bindings::GSO_LEGACY_MAX_SIZE;
    /// The most segments of a frame.
    const TSO_MAX_SEGMENTS: u16 = u16::MAX;

    /// The way to the PHY: [`NoPhy`](super::phy::NoPhy) if there is none.
    type Mdio: Mdio;

    /// Called when the interface is registered.
    fn registered(&self) {}

    /// Allocates what a running interface needs; does not touch the device.
    ///
    /// Runs under RTNL. What it returns is dropped with NAPI disabled, the pool last. It may be
    /// called while the interface is up, to replace what it returned before by something of another
    /// size.
    fn open(&self, dev: &NetDevice, config: &RingConfig) -> Result<Opened<Self>>
    where
        Self: Sized;

    /// Makes the PHY ready for negotiation, each time the interface comes up.
    fn init_phy(&self, _phy: &Phy) {}

    /// Starts the device on empty rings, with its interrupts masked. Process context.
    fn start(&self, dev: &NetDevice, xmit: &mut Self::TxState, poll: &mut Self::NapiState);

    /// Stops the device, for good until [`Operations::start`], and empties the rings.
    ///
    /// Works on a device that is dead or gone too. Process context.
    fn stop(&self, dev: &NetDevice, xmit: &mut Self::TxState, poll: &mut Self::NapiState);

    /// Runs the tests of [`Ethtool::SELF_TESTS`] that a quiet device is needed for.
    ///
    /// Runs after [`Operations::stop`] and before [`Operations::start`]; the interrupt handler may
    /// be called. The device may be used in any way, but must be left as `stop` leaves it.
    fn self_test(
        &self,
        _rtnl: &Rtnl<'_>,
        _xmit: &mut Self::TxState,
        _poll: &mut Self::NapiState,
        _results: &mut [TestResult],
    ) {
    }

    /// Runs the tests of [`Ethtool::SELF_TESTS`] that need no quiet device. Under RTNL, up or down.
    fn self_test_online(&self, _dev: &NetDevice, _results: &mut [TestResult]) {}

    /// Returns whether the device does not answer at all, so that only a reset of its bus may help.
    /// Any context.
    fn is_dead(&self) -> bool {
        false
    }

    /// Called when the link has come, gone, or changed its speed. Process context, while the
    /// interface is up; phylib's lock of the PHY is held.
    fn link_changed(&self, _phy: &Phy) {}

    /// Sets the receive filter to `filter`. Runs under the lock of the address lists.
    fn set_rx_filter(&self, _filter: RxFilter) {}

    /// Sets the MAC address. Runs under RTNL, up or down, and once before the interface is
    /// registered.
    fn set_mac_address(&self, _address: &MacAddress) {}

    /// Called before a running device is suspended, while the link partner's abilities are still
    /// known. Runs under RTNL.
    fn suspend_prepare(&self, _phy: Option<&Phy>, _wake: WakeBy) {}

    /// Arms a device that was up and is quiet for what is to end its suspension, which follows.
    ///
    /// Works on a device that is dead or gone too. Runs under RTNL.
    fn arm_wake(&self, _wake: WakeBy) {}

    /// Returns whether the MAC itself sees a link. The device runs, or is armed for its link.
    fn senses_link(&self) -> bool {
        false
    }

    /// Makes the device what [`Operations::start`] expects after a suspension, in which it may have
    /// lost all its registers, and has it no longer armed. It has this address afterwards. The
    /// interface is detached, or its queue stopped.
    fn reinit(&self, _address: &MacAddress) {}

    /// Leaves the device as the firmware or the next driver wants to find it, after it was
    /// suspended or its interface unregistered.
    fn hand_over(&self, _phy: Option<&Phy>) {}

    /// Returns what of `wanted` is possible with an MTU of `mtu` bytes.
    fn fix_features(&self, _mtu: u32, wanted: Features) -> Features {
        wanted
    }

    /// Switches on the offloads of reception in `features`, and the others off. Runs under RTNL, up
    /// or down; [`Operations::set_rx_filter`] follows if frames are received.
    fn set_features(&self, _features: Features) {}
}

/// The allocations of [`Operations::open`].
pub struct Opened<T: Operations> {
    /// The half that sending needs.
    pub xmit: T::TxState,
    /// The half that the poll needs.
    pub poll: T::NapiState,
    /// The source of the buffers for receiving.
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
    /// Says whether programs are to be run on what is received; see [`xdp`](super::xdp).
    pub xdp: bool,
}

/// The frames that a device is to receive, besides frames to its own address and broadcasts.
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
