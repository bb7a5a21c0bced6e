// SPDX-License-Identifier: GPL-2.0

//! The network interface: frames between the network core and the rings.

use super::{
    eeprom,
    hw::Hw,
    memory::Descriptors,
    phy::{
        self,
        PhyAccess, //
    },
    regs::event,
    ring::{
        desc::{
            self,
            TxChecksum,
            TxCommand, //
        },
        rx::RxRing,
        tx::{
            self,
            TxConsumer,
            TxProducer, //
        }, //
    },
    selftest::InterruptTest,
    tally::Tally, //
};
use crate::net::{
    address::{
        is_valid,
        MacAddress, //
    },
    atomic::Flag,
    contexts::{
        PollContext,
        Rtnl,
        XdpContext,
        XmitContext, //
    },
    device::NetDevice,
    ethtool::{
        TestResult,
        WakeEvents, //
    },
    features::Features,
    fragment::{
        self,
        MappedFragment, //
    },
    operations::{
        IrqReturn,
        Opened,
        Operations,
        Polled,
        RingConfig,
        RxFilter,
        WakeBy, //
    },
    owned::Owned,
    page_pool::{
        self,
        PagePool,
        RxBuffer, //
    },
    pci::{
        self,
        dev_err,
        dev_info,
        dev_warn,
        Enabled, //
    },
    phy::Phy,
    skb::{
        self,
        Protocol,
        SkBuff, //
    },
    xdp::XdpFrame, //
};
use core::ffi::CStr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

/// After how many polls the events are read in any case: those that are not about the rings have no interrupt while it is masked.
const POLLS_UNREAD: u32 = 256;

/// How many polls that find nothing may follow upon each other before interrupts are unmasked, at most, and half as many as polls found
/// something since that was last done: a stream of frames has gaps, and the interrupt after one costs more than these. A question
/// and its answer are one poll, or two, and wait for nothing.
const IDLE_POLLS: u32 = 8;

/// The largest MTU that the chip takes as an ordinary frame, in bytes.
pub(super) const ORDINARY_MTU: u32 = 1500;

/// The most that an ordinary frame has behind its header, in bytes: two VLAN tags may be in it, as in what a bridge forwards.
const ORDINARY_LENGTH: u32 = ORDINARY_MTU + 8;

/// The header of a frame, in bytes.
const HEADER: u32 = 14;

/// What a frame has besides its payload: header, VLAN tag and FCS, in bytes.
const FRAME_OVERHEAD: u32 = HEADER + 4 + desc::FCS_LENGTH;

/// The shortest frame whose checksum the chip computes right, in bytes; r8169 calls it a bug of
/// the hardware.
const CHECKSUM_MIN: u32 = 60;

/// The driver's side of one network interface.
///
/// The fields are dropped in this order: the chip is reached only while the PCI device is switched on.
pub(crate) struct Nic<'a> {
    pub(super) tally: Tally<'a>,
    pub(super) hw: Arc<Hw<'a>>,
    pub(super) interrupt_test: InterruptTest,
    /// Interrupts are unmasked, except while the handler looks.
    unmasked: Flag,
    /// The chip interrupted, and the poll has not acknowledged the events of the rings yet.
    pub(super) interrupted: Flag,
    /// Damaged frames are wanted.
    pub(super) keep_damaged: Flag,
    /// The FCS of frames is wanted.
    pub(super) keep_fcs: Flag,
    /// The EEPROM, if there is one.
    pub(super) eeprom: Option<eeprom::Part>,
    /// The valid MAC address in it.
    pub(super) eeprom_address: Option<MacAddress>,
    pub(super) pdev: &'a pci::Device,
    /// The MAC address that the EEPROM has or else the chip had, for the driver that comes after this one.
    permanent_address: MacAddress,
    enabled: Enabled<'a>,
}

/// What sending needs.
pub(crate) struct Xmit<'a> {
    pub(super) memory: Descriptors<'a>,
    pub(super) ring: TxProducer<MappedFragment<'a>>,
    /// The MTU is above [`ORDINARY_MTU`].
    jumbo: bool,
}

/// What the poll needs.
pub(crate) struct Poll<'a> {
    pub(super) tx_memory: Descriptors<'a>,
    pub(super) tx: TxConsumer<MappedFragment<'a>>,
    pub(super) rx_memory: Descriptors<'a>,
    pub(super) rx: RxRing<RxBuffer<'a>>,
    /// What the chip may write into a receive buffer, in bytes.
    buffer_size: u32,
    /// How many descriptors are free before a stopped queue wakes: enough for a burst, so that it
    /// does not stop at once again.
    pub(super) wake_threshold: u32,
    /// The MTU is above [`ORDINARY_MTU`].
    jumbo: bool,
    /// Something was found in the rings, whose events have not been acknowledged since.
    unacknowledged: bool,
    /// Polls since the events were read.
    unread: u32,
    /// Polls that found something, since interrupts were unmasked.
    busy: u32,
    /// Polls that found nothing, since one that did.
    idle: u32,
}

impl<'a> Nic<'a> {
    /// Makes an interface of a chip that is quiet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(enabled: Enabled<'a>, hw: Arc<Hw<'a>>) -> Result<Self> {
        let pdev = enabled.device();
        // Of what is in the EEPROM only the address is needed: a bit of it costs two accesses that wait for the chip.
        let (eeprom, eeprom_address) = hw.with_eeprom(|pins| {
            let part = eeprom::Part::find(pins);
            (part, part.map(|part| part.address(pins)))
        });
        let eeprom_address = eeprom_address.filter(is_valid);
        Ok(Self {
            tally: Tally::new(pdev)?,
            interrupt_test: InterruptTest::new(),
            unmasked: Flag::new(false),
            interrupted: Flag::new(false),
            keep_damaged: Flag::new(false),
            keep_fcs: Flag::new(false),
            // Not what the last kernel had set when it crashed.
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

    type Xmit = Xmit<'a>;
    type Poll = Poll<'a>;
    type Pool = PagePool<'a>;
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
        Ok(Opened {
            xmit: Xmit {
                memory: tx_memory.clone(),
                ring: producer,
                jumbo,
            },
            poll: Poll {
                tx_memory,
                tx: consumer,
                rx_memory,
                rx,
                buffer_size,
                wake_threshold: (config.tx / 4).max(skb::MAX_FRAGMENTS),
                jumbo,
                unacknowledged: false,
                unread: 0,
                busy: 0,
                idle: 0,
            },
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

    fn start(&self, dev: &NetDevice, xmit: &mut Xmit<'a>, poll: &mut Poll<'a>) {
        if self.hw.is_in_reset() {
            // It may have the rings of before, whose memory is somebody else's by now. Bus mastering stays off; the
            // transmit watchdog will have it reset once more.
            dev_err!(self.pdev, "the chip does not come out of its reset\n");
        } else {
            self.enabled.set_master(true);
            // What the chip had to say of the link while it was stopped was acknowledged with all else, or lost in the
            // reset. (Its PHY cannot be read while it is in one: without a carrier there would be no watchdog.)
            dev.phy().map(Phy::mac_interrupt);
        }
        self.hw.start(
            xmit.memory.dma_address(),
            poll.rx_memory.dma_address(),
            poll.buffer_size as u16,
            poll.jumbo,
        );
        // Larger reads stall the chip with large frames (r8169, Realtek's r8168).
        let read_request = if poll.jumbo { 512 } else { 4096 };
        self.enabled.set_max_read_request(read_request);
        self.tally.begin(&self.hw);
    }

    fn stop(&self, dev: &NetDevice, xmit: &mut Xmit<'a>, poll: &mut Poll<'a>) {
        self.tally.undisturbed(|| {
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
        xmit: &mut Xmit<'a>,
        poll: &mut Poll<'a>,
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

    fn enable_interrupts(&self) {
        self.unmasked.store(true, Relaxed);
        self.hw.unmask();
    }

    fn disable_interrupts(&self) {
        self.unmasked.store(false, Relaxed);
        self.hw.mask();
    }

    fn link_changed(&self, phy: &Phy) {
        if let Some(speed) = phy.speed() {
            self.hw.set_speed(speed);
        }
    }

    fn interrupt(&self, dev: &NetDevice) -> IrqReturn {
        if let Some(answer) = self.interrupt_test.take(&self.hw) {
            return answer;
        }
        // Masked first, so that the read waits until the chip has released the line: an interrupt handler that
        // returns before is called once more for nothing, and pays for a second read.
        self.hw.mask();
        let Some(events) = self.events() else {
            // Another device of the line interrupted. If the poll unmasks meanwhile, it has set the flag before
            // and does it after the mask has arrived, so that in the end one of the two did.
            if self.unmasked.load(Relaxed) {
                self.hw.unmask();
            }
            return IrqReturn::None;
        };
        self.unmasked.store(false, Relaxed);
        self.take(dev, events);
        dev.schedule_poll();
        IrqReturn::Handled
    }

    #[inline]
    fn has_room(&self, cx: &XmitContext<'_>, xmit: &mut Xmit<'a>, skb: &SkBuff) -> bool {
        let room = xmit.ring.has_room(skb.fragments());
        if !room {
            // The queue should have been stopped: it is now, and the poll will wake it.
            xmit.ring.stop_if_full(cx.queue(), skb::MAX_FRAGMENTS);
        }
        room
    }

    #[inline]
    fn start_xmit(&self, cx: &XmitContext<'_>, xmit: &mut Xmit<'a>, mut skb: Owned<SkBuff>) {
        let dev = cx.device();
        // `check_features` sees to that, but for the last piece of a large frame that the core has cut:
        // nobody asks about the pieces. (r8169 has the chip do it.)
        if Self::is_too_short(&skb) && skb.checksum_in_software().is_err() {
            return self.drop_frame(dev, xmit);
        }
        // From a connection that has not noticed yet that the MTU is a smaller one.
        if !xmit.jumbo && Self::is_too_long(&skb) {
            return self.drop_frame(dev, xmit);
        }
        let Some(command) = Self::command(&skb) else {
            return self.drop_frame(dev, xmit);
        };

        let length = skb.length();
        let segments = if command.segments() {
            skb.segments()
        } else {
            0
        };
        skb.tx_timestamp();
        let mut frame = xmit.ring.frame();
        if fragment::map(self.pdev, skb, &mut frame).is_err() {
            drop(frame);
            return self.drop_frame(dev, xmit);
        }
        if segments > 0 {
            cx.segmented(segments);
        }
        let last_of_batch = cx.sent(length);
        frame.commit(&xmit.memory, command);

        let stopped = xmit.ring.stop_if_full(cx.queue(), skb::MAX_FRAGMENTS);
        if last_of_batch || stopped {
            self.send_queued(dev, xmit);
        }
    }

    fn has_room_xdp(&self, _cx: &XdpContext<'_>, xmit: &mut Xmit<'a>, frame: &XdpFrame) -> bool {
        xmit.ring.has_room(1) && desc::TX_FRAGMENT_SIZES.contains(&frame.length())
    }

    fn send_xdp(&self, cx: &XdpContext<'_>, xmit: &mut Xmit<'a>, frame: XdpFrame) {
        let posted = MappedFragment::xdp(self.pdev, frame).is_ok_and(|fragment| {
            let ring = &mut xmit.ring;
            ring.post(&xmit.memory, fragment, TxCommand::plain())
                .is_ok()
        });
        if !posted {
            cx.device().errors().tx_dropped.count();
        }
    }

    fn flush_xdp(&self, cx: &XdpContext<'_>, xmit: &mut Xmit<'a>) {
        xmit.ring.stop_if_full(cx.queue(), skb::MAX_FRAGMENTS);
        self.send_queued(cx.device(), xmit);
    }

    fn poll(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut Poll<'a>) -> Polled {
        let mut work = self.work(cx, poll);
        if cx.receiver().is_none() {
            // Nothing is received: what is acknowledged then may never be looked at.
            return Polled::Idle;
        }
        poll.unread = poll.unread.saturating_add(1);
        if work == 0 {
            if poll.idle < (poll.busy / 2).min(IDLE_POLLS) {
                poll.idle += 1;
                return Polled::Again;
            }
            work = self.acknowledge(cx, poll);
        }
        if poll.unread >= POLLS_UNREAD {
            // Where the core polls by a timer, whether there are frames or not, interrupts are never unmasked.
            self.read_events(cx, poll);
        }
        if work == 0 {
            poll.busy = 0;
            return Polled::Idle;
        }
        poll.unacknowledged = true;
        poll.busy = poll.busy.saturating_add(1);
        poll.idle = 0;
        Polled::Busy(work)
    }

    fn set_rx_filter(&self, filter: RxFilter) {
        self.hw
            .set_rx_filter(filter, self.keep_damaged.load(Relaxed));
    }

    fn set_mac_address(&self, address: &MacAddress) {
        self.hw.set_mac_address(address);
    }

    fn before_sleep(&self, phy: Option<&Phy>, wake: WakeBy) {
        // Where the link itself is to wake, its coming again at another speed would.
        if wake == WakeBy::Events && !self.hw.wake_events().contains(WakeEvents::PHY) {
            phy.map(Phy::speed_down);
        }
    }

    fn prepare_sleep(&self, wake: WakeBy) {
        match wake {
            WakeBy::Nothing => return,
            WakeBy::Events => (),
            WakeBy::Link => self.hw.watch_link(),
        }
        self.hw.watch_for_wake();
    }

    fn senses_link(&self) -> bool {
        self.hw.has_link()
    }

    fn wake_up(&self, address: &MacAddress) {
        if self.hw.init().is_err() {
            dev_err!(self.pdev, "the chip does not come out of its reset\n");
        }
        self.hw.set_mac_address(address);
        self.hw.set_wake_events(self.hw.wake_events());
    }

    fn retire(&self, phy: Option<&Phy>) {
        self.hw.set_mac_address(&self.permanent_address);
        // The boot ROM after a reboot may not know that the PHY keeps this; that it is powered down by its control
        // register everybody knows.
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

    fn check_features(&self, skb: &SkBuff, features: Features) -> Features {
        if Self::is_too_short(skb) || Self::is_too_long(skb) {
            features.without_checksums()
        } else {
            features
        }
    }
}

impl<'a> Nic<'a> {
    /// Acknowledges the events of the rings, if there can be any, before interrupts are unmasked; returns what is in the rings after that.
    ///
    /// While interrupts are masked events are good for nothing, so they are acknowledged once, when the rings are empty, and not by each
    /// poll that finds something. Were they not acknowledged at all, unmasking would interrupt about frames that were seen long ago.
    ///
    /// No frame is overlooked, by order. The chip writes a descriptor before it sets its event. An acknowledgement is a posted write
    /// and takes its time, so it may also clear the event of a frame that came after the poll has looked. The read that follows
    /// does not overtake it, and its answer does not overtake what the chip wrote to memory before: so of each event that
    /// was cleared the descriptor is seen by the look after the read. An event that comes after the acknowledgement stays, and interrupts as
    /// soon as that is possible. The handler may run meanwhile, if an interrupt that was masked too late is still on its way: it sets its
    /// flag before it schedules a poll, which comes here again. The exchange is a full barrier, so the events of a flag that
    /// it clears are older than the acknowledgement.
    fn acknowledge(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut Poll<'a>) -> u32 {
        if !self.interrupted.xchg(false, Full) && !poll.unacknowledged {
            // Since the last time nothing has been found: an event is of something that came after that, and interrupts.
            return 0;
        }
        self.hw.acknowledge(event::RINGS);
        poll.unacknowledged = false;
        self.read_events(cx, poll);
        self.work(cx, poll)
    }

    /// Reads the events and acts on those that are not about the rings.
    fn read_events(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut Poll<'a>) {
        poll.unread = 0;
        if let Some(events) = self.events() {
            self.take(cx.device(), events);
        }
    }

    /// Undoes what Linux' realtek driver does to the PHY when an interface goes down; see
    /// [`PhyAccess::allow_link`].
    fn allow_link(phy: &Phy) -> Result {
        phy::with_page(phy, 0, |page| page.write(14, 0))
    }

    /// Returns whether a frame wants a checksum that the chip gets wrong.
    fn is_too_short(skb: &SkBuff) -> bool {
        skb.length() < CHECKSUM_MIN && skb.wants_checksum()
    }

    /// Returns whether a frame is a jumbo frame, or to be cut into such. Of these the chip computes no checksums, and while the
    /// MTU changes they come when it is not set up for them. (r8169 has the chip send them.)
    fn is_too_long(skb: &SkBuff) -> bool {
        skb.length() > ORDINARY_LENGTH + HEADER && skb.exceeds(ORDINARY_LENGTH)
    }

    /// Returns what the chip shall do with a frame, or `None` if it cannot: the core should not
    /// have asked.
    #[inline]
    fn command(skb: &SkBuff) -> Option<TxCommand> {
        let size = skb.segment_size();
        let command = if size > desc::TX_MSS_MAX {
            return None;
        } else if size != 0 {
            TxCommand::plain().segment(size)
        } else {
            match skb.checksum() {
                None => TxCommand::plain(),
                Some(Protocol::Tcp) => TxCommand::plain().checksum(TxChecksum::Tcp),
                Some(Protocol::Udp) => TxCommand::plain().checksum(TxChecksum::Udp),
                Some(Protocol::Other) => return None,
            }
        };
        Some(match skb.vlan_tag() {
            Some(tag) => command.vlan(tag),
            None => command,
        })
    }

    /// Has the chip send what is in the ring. What it has finished meanwhile, being busy with the frames before, is
    /// looked after.
    #[inline(never)]
    fn send_queued(&self, dev: &NetDevice, xmit: &Xmit<'a>) {
        self.hw.ring_doorbell();
        if xmit.ring.finished_early(&xmit.memory) {
            dev.schedule_poll();
        }
    }

    /// Counts a frame that could not be sent.
    fn drop_frame(&self, dev: &NetDevice, xmit: &Xmit<'a>) {
        dev.errors().tx_dropped.count();
        // It may have been the last of a batch, whose other frames wait for that.
        self.send_queued(dev, xmit);
    }
}
