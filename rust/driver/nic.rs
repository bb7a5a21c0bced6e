// SPDX-License-Identifier: GPL-2.0

//! The network interface: its state, and all of its operations but those of the frames, which are
//! in [`napi`](super::napi) and [`xmit`](super::xmit).

use super::{
    eeprom,
    hw::{
        Hw,
        HEADER,
        ORDINARY_MTU, //
    },
    irq_test::InterruptTest,
    memory::Descriptors,
    napi::{
        IrqState,
        NapiState, //
    },
    phy::{
        self,
        PhyAccess, //
    },
    ring::{
        desc,
        rx::RxRing,
        tx, //
    },
    tally::Tally,
    xmit::TxState, //
};
use crate::net::{
    address::{
        is_valid,
        MacAddress, //
    },
    atomic::Flag,
    contexts::Rtnl,
    device::NetDevice,
    ethtool::{
        TestResult,
        WakeEvents, //
    },
    features::Features,
    operations::{
        Opened,
        Operations,
        RingConfig,
        RxFilter,
        WakeBy, //
    },
    page_pool::{
        self,
        PagePool, //
    },
    pci::{
        self,
        dev_err,
        dev_info,
        dev_warn,
        Enabled, //
    },
    phy::Phy,
    skb, //
};
use core::ffi::CStr;
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

/// The parts of a frame besides its payload: header, VLAN tag and FCS, in bytes.
const FRAME_OVERHEAD: u32 = HEADER + 4 + desc::FCS_LENGTH;

/// The driver's side of one network interface.
///
/// The fields are dropped in this order: the chip is reached only while the PCI device is switched
/// on.
pub(crate) struct Nic<'a> {
    pub(super) tally: Tally<'a>,
    pub(super) hw: Arc<Hw<'a>>,
    pub(super) interrupt_test: InterruptTest,
    pub(super) irq: IrqState,
    /// Frames received in error are handed up, too ([`Features::RXALL`]).
    pub(super) keep_damaged: Flag,
    /// The FCS stays at the end of received frames ([`Features::RXFCS`]).
    pub(super) keep_fcs: Flag,
    /// The EEPROM, if there is one.
    pub(super) eeprom: Option<eeprom::Part>,
    /// The valid MAC address in it.
    pub(super) eeprom_address: Option<MacAddress>,
    pub(super) pdev: &'a pci::Device,
    /// The MAC address that the EEPROM has or else the chip had, for the driver that comes after
    /// this one.
    permanent_address: MacAddress,
    enabled: Enabled<'a>,
}

impl<'a> Nic<'a> {
    /// Makes the interface of a chip that [`Hw::init`] has made quiet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(enabled: Enabled<'a>, hw: Arc<Hw<'a>>) -> Result<Self> {
        let pdev = enabled.device();
        // Only the address is read: each bit of the EEPROM costs two accesses that wait for the
        // chip.
        let (eeprom, eeprom_address) = hw.with_eeprom(|pins| {
            let part = eeprom::Part::find(pins);
            (part, part.map(|part| part.address(pins)))
        });
        let eeprom_address = eeprom_address.filter(is_valid);
        Ok(Self {
            tally: Tally::new(pdev)?,
            interrupt_test: InterruptTest::new(),
            irq: IrqState::new(),
            keep_damaged: Flag::new(false),
            keep_fcs: Flag::new(false),
            // The EEPROM's comes first: a kernel that crashed may have left another in the
            // registers.
            permanent_address: eeprom_address.unwrap_or_else(|| hw.mac_address()),
            eeprom,
            eeprom_address,
            hw,
            pdev,
            enabled,
        })
    }
}

impl<'a> Operations for Nic<'a> {
    const VERSION: &'static CStr = crate::VERSION;
    // With its header, VLAN tag and FCS such a frame has 4096 bytes.
    const MAX_MTU: u32 = 4074;
    const MAX_XDP_MTU: u32 = page_pool::XDP_BUFFER_SIZE - FRAME_OVERHEAD;
    // SG and TSO are off by default, as in every driver of this chip: there are boards that send
    // corrupted segments.
    const FEATURES: Features = Self::DEFAULT_FEATURES
        .with(Features::SG)
        .with(Features::TSO)
        .with(Features::RXALL)
        .with(Features::RXFCS);
    const DEFAULT_FEATURES: Features = Features::IP_CSUM
        .with(Features::RXCSUM)
        .with(Features::VLAN_TX)
        .with(Features::VLAN_RX);
    const VLAN_FEATURES: Features = Features::SG.with(Features::IP_CSUM).with(Features::TSO);
    const TSO_MAX_SIZE: u32 = 32000;
    const TSO_MAX_SEGMENTS: u16 = 24;

    type Mdio = PhyAccess<'a>;

    fn registered(&self) {
        dev_info!(
            self.pdev,
            "{}, XID {:03x}, IRQ {}\n",
            self.hw.chip().name,
            self.hw.xid().number(),
            self.pdev.irq()
        );
    }

    fn open(&self, dev: &NetDevice, config: &RingConfig) -> Result<Opened<Self>> {
        let tx_memory = Descriptors::new(self.pdev, config.tx)?;
        let rx_memory = Descriptors::new(self.pdev, config.rx)?;
        let (producer, consumer) = tx::channel(&tx_memory)?;
        let jumbo = config.mtu > ORDINARY_MTU;
        let frame = config.mtu.saturating_add(FRAME_OVERHEAD);
        let mut pool = PagePool::new(self.pdev, dev, config.rx, frame, config.xdp)?;
        let buffer_size = pool.buffer_size();
        let rx = RxRing::new(&rx_memory, buffer_size, |_| pool.alloc().ok_or(ENOMEM))?;
        let wake_threshold = (config.tx / 4).max(skb::MAX_FRAGMENTS);
        Ok(Opened {
            xmit: TxState::new(tx_memory.clone(), producer, jumbo),
            poll: NapiState::new(tx_memory, consumer, wake_threshold, rx_memory, rx),
            pool,
        })
    }

    fn init_phy(&self, phy: &Phy) {
        let result = Self::allow_link(phy)
            .and_then(|()| (self.hw.chip().fix_phy)(phy))
            .and_then(|()| phy.soft_reset());
        if result.is_err() {
            dev_warn!(self.pdev, "the PHY does not answer: there may be no link\n");
        }
    }

    fn start(&self, dev: &NetDevice, xmit: &mut TxState<'a>, poll: &mut NapiState<'a>) {
        if self.hw.is_in_reset() {
            // It may still have the addresses of the last rings, whose memory may have been given
            // to others since. So bus mastering stays off, and the transmit watchdog has the chip
            // reset once more.
            dev_err!(self.pdev, "the chip does not come out of its reset\n");
        } else {
            self.enabled.set_master(true);
            // A change of the link while the chip was stopped is reported by nothing else: its
            // event was acknowledged with all others, or lost in the reset. (Not of a chip in
            // reset: its PHY cannot be read, so phylib would take the carrier away, and with it the
            // transmit watchdog.)
            dev.phy().map(Phy::mac_interrupt);
        }
        self.hw.start(
            xmit.memory.dma_address(),
            poll.rx_memory.dma_address(),
            poll.rx.buffer_size() as u16,
            xmit.is_jumbo(),
        );
        // Larger reads stall the chip with large frames (r8169, Realtek's r8168).
        let read_request = if xmit.is_jumbo() { 512 } else { 4096 };
        self.enabled.set_max_read_request(read_request);
        self.tally.init_baseline(&self.hw);
    }

    fn stop(&self, dev: &NetDevice, xmit: &mut TxState<'a>, poll: &mut NapiState<'a>) {
        self.tally.with_dump_excluded(|| {
            self.hw.halt();
            // So that a chip that ignores the rest can do no harm to buffers that are freed.
            self.enabled.set_master(false);
            self.hw.reset_quietly();
        });
        tx::restart(&mut xmit.ring, &mut poll.tx, &xmit.memory, |fragment| {
            if fragment.is_last() {
                dev.errors().tx_dropped.count();
            }
        });
        poll.rx.restart(&poll.rx_memory);
    }

    fn self_test(
        &self,
        rtnl: &Rtnl<'_>,
        xmit: &mut TxState<'a>,
        poll: &mut NapiState<'a>,
        results: &mut [TestResult],
    ) {
        self.test_chip(rtnl, xmit, poll, results);
    }

    fn self_test_online(&self, dev: &NetDevice, results: &mut [TestResult]) {
        Self::test_link(dev, results);
    }

    fn is_dead(&self) -> bool {
        self.hw.is_dead()
    }

    fn link_changed(&self, phy: &Phy) {
        if let Some(speed) = phy.speed() {
            self.hw.set_speed(speed);
        }
    }

    fn set_rx_filter(&self, filter: RxFilter) {
        self.hw
            .set_rx_filter(filter, self.keep_damaged.load(Relaxed));
    }

    fn set_mac_address(&self, address: &MacAddress) {
        self.hw.set_mac_address(address);
    }

    fn suspend_prepare(&self, phy: Option<&Phy>, wake: WakeBy) {
        // If a link that comes up is to wake the machine, the link at the lower speed would do so
        // at once.
        if wake == WakeBy::Events && !self.hw.wake_events().contains(WakeEvents::PHY) {
            phy.map(Phy::speed_down);
        }
    }

    fn arm_wake(&self, wake: WakeBy) {
        match wake {
            WakeBy::Nothing => return,
            WakeBy::Events => (),
            WakeBy::Link => self.hw.arm_link_wake(),
        }
        self.hw.arm_wol();
    }

    fn senses_link(&self) -> bool {
        self.hw.has_link()
    }

    fn reinit(&self, address: &MacAddress) {
        if self.hw.init().is_err() {
            dev_err!(self.pdev, "the chip does not come out of its reset\n");
        }
        self.hw.set_mac_address(address);
        self.hw.set_wake_events(self.hw.wake_events());
    }

    fn hand_over(&self, phy: Option<&Phy>) {
        self.hw.set_mac_address(&self.permanent_address);
        // The PHY keeps its register 14 over a reboot, and the boot ROM may not know that a link
        // can be taken away there. The power-down bit of the control register needs no such care:
        // every driver knows it.
        let _ = phy.map(Self::allow_link);
    }

    fn fix_features(&self, mtu: u32, wanted: Features) -> Features {
        if mtu > ORDINARY_MTU {
            wanted.without_checksums()
        } else {
            wanted
        }
    }

    fn set_features(&self, features: Features) {
        self.keep_damaged
            .store(features.contains(Features::RXALL), Relaxed);
        self.keep_fcs
            .store(features.contains(Features::RXFCS), Relaxed);
        self.hw.set_rx_offloads(
            features.contains(Features::RXCSUM),
            features.contains(Features::VLAN_RX),
        );
    }
}

impl<'a> Nic<'a> {
    /// Undoes what Linux' realtek driver does to the PHY when an interface goes down; see
    /// [`PhyAccess::allow_link`].
    fn allow_link(phy: &Phy) -> Result {
        phy::with_page(phy, 0, |page| page.write(14, 0))
    }
}
