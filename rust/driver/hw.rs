// SPDX-License-Identifier: GPL-2.0

//! The chip as the driver sees it: its registers, and the sequences in which they are written.
//!
//! The sequences are those of r8169 7.3 for B380 and of r8169 6.1 for B300, unless a comment says
//! why not. Nothing read here is trusted: a chip that is dead or gone answers all ones, and every
//! wait has an end.

use super::{
    chip::{
        Chip,
        Xid, //
    },
    coalesce::Mitigation,
    eeprom,
    regs::{
        self,
        cplus,
        event, //
    }, //
};
use crate::net::{
    address::MacAddress,
    ethtool::{
        Coalesce,
        ExtackError,
        WakeEvents, //
    },
    from_device::FromDevice,
    mmio::Bar,
    operations::RxFilter,
    poll::read_poll_timeout, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// The largest MTU that the chip takes as an ordinary frame, in bytes.
pub(super) const ORDINARY_MTU: u32 = 1500;

/// The header of a frame, in bytes.
pub(super) const HEADER: u32 = 14;

/// The interval at which the chip is asked whether it has finished, and the limit: 10 ms.
const POLL: Delta = Delta::from_micros(100);
const TIMEOUT: Delta = Delta::from_millis(10);

/// The registers of one chip.
pub(super) struct Hw<'a> {
    bar: Bar<'a, { regs::END }>,
    chip: &'static Chip,
    settings: Pin<KBox<Mutex<Settings>>>,
}

/// Cached settings, of which the driver and not the chip is the master. The lock also covers resets
/// of the chip, accesses to the PHY, [`Hw::unlocked`] and CPlusCmd: RTNL keeps phylib neither from
/// reading the PHY nor from reporting a change of the link while the user sets something or the
/// chip is reset.
struct Settings {
    /// CPlusCmd: what the firmware left there and is kept, the offloads of reception, and the unit
    /// of `mitigation`.
    cplus: u16,
    /// The coalescing that was asked for.
    coalesce: Coalesce,
    /// The same in the units of a link of `speed`.
    mitigation: Mitigation,
    /// The speed of the link in Mbit/s; `None` before there was one, for which the units are those
    /// of 1000 Mbit/s.
    speed: Option<u32>,
    /// The events that are to wake the machine up.
    wake: WakeEvents,
}

/// The reason why the driver does not take a chip.
pub(super) enum Unknown {
    /// All ones: it does not answer at all.
    Dead,
    /// It is another one of the family.
    Xid(Xid),
    /// There was no memory.
    Memory,
}

impl<'a> Hw<'a> {
    /// Identifies the chip behind `bar`; reads only.
    pub(super) fn identify(bar: Bar<'a, { regs::END }>) -> Result<Self, Unknown> {
        let tx_config = bar.read(regs::TX_CONFIG).into_raw();
        if tx_config == !0 {
            return Err(Unknown::Dead);
        }
        let xid = Xid::of(FromDevice::new(tx_config));
        let chip = xid.chip().ok_or(Unknown::Xid(xid))?;
        let cplus = bar.read(regs::CPLUS_CMD).into_raw() & cplus::KEEP;
        let settings = new_mutex!(Settings {
            cplus,
            coalesce: Coalesce::default(),
            mitigation: Mitigation::OFF,
            speed: None,
            wake: WakeEvents::NONE,
        });
        Ok(Self {
            bar,
            chip,
            settings: KBox::pin_init(settings, GFP_KERNEL).map_err(|_| Unknown::Memory)?,
        })
    }

    pub(super) fn chip(&self) -> &'static Chip {
        self.chip
    }

    /// Returns whether the chip answers nothing but ones: no chip has that as TxConfig.
    pub(super) fn is_dead(&self) -> bool {
        self.bar().read(regs::TX_CONFIG).into_raw() == !0
    }

    /// Returns the number that identifies the chip.
    pub(super) fn xid(&self) -> Xid {
        Xid::of(FromDevice::new(self.bar().read(regs::TX_CONFIG).into_raw()))
    }

    pub(super) fn bar(&self) -> &Bar<'a, { regs::END }> {
        &self.bar
    }

    /// Waits until everything written has reached the chip: a read does not overtake writes.
    fn flush(&self) {
        let _ = self.bar().read(regs::CHIP_CMD);
    }

    /// Brings the chip into the state after power-on, quiet, without touching the MAC address.
    pub(super) fn init(&self) -> Result {
        self.stop_receiving();
        self.mask_interrupts();
        self.reset()
    }

    /// Resets the chip.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT` after 10 ms: it is dead.
    fn reset(&self) -> Result {
        let _settings = self.settings.lock();
        self.bar()
            .write_reg(regs::CHIP_CMD::zeroed().with_reset(true));
        read_poll_timeout(
            || Ok(self.bar().read(regs::CHIP_CMD)),
            |command| !command.reset(),
            POLL,
            TIMEOUT,
        )
        .map(|_| ())
    }

    fn rx_config(&self) -> regs::RX_CONFIG {
        regs::RX_CONFIG::zeroed()
            .with_const_fifo_threshold::<7>()
            .with_const_dma_burst::<7>()
    }

    fn stop_receiving(&self) {
        self.bar().write_reg(self.rx_config());
    }

    /// Masks all interrupts and forgets those that are pending.
    fn mask_interrupts(&self) {
        self.mask();
        self.acknowledge(event::GONE);
        // The handler must not see an interrupt after `synchronize_irq`.
        self.flush();
    }

    /// Masks all interrupts.
    pub(super) fn mask(&self) {
        self.bar().write_reg(regs::INTR_MASK::zeroed());
    }

    /// Unmasks the interrupts that the chip needs.
    pub(super) fn unmask(&self) {
        self.bar()
            .write_reg(regs::INTR_MASK::from(self.chip.events));
    }

    /// Returns IntrStatus; all ones if the chip is gone.
    pub(super) fn events(&self) -> FromDevice<u16> {
        FromDevice::new(self.bar().read(regs::INTR_STATUS).into_raw())
    }

    /// Clears events.
    pub(super) fn acknowledge(&self, events: u16) {
        self.bar().write_reg(regs::INTR_STATUS::from(events));
    }

    /// Rings the doorbell: there are frames to send.
    pub(super) fn ring_doorbell(&self) {
        self.bar()
            .write_reg(regs::TX_POLL::zeroed().with_normal(true));
    }

    /// Switches the offloads of reception on or off.
    pub(super) fn set_rx_offloads(&self, checksum: bool, vlan: bool) {
        let bit = |on, bit| if on { bit } else { 0 };
        let offloads = bit(checksum, cplus::RX_CHECKSUM) | bit(vlan, cplus::RX_VLAN);
        let mut settings = self.settings.lock();
        settings.cplus = settings.cplus & cplus::KEEP | offloads;
        self.bar().write_reg(regs::CPLUS_CMD::from(settings.cplus));
    }

    /// Writes the mitigation, and its unit in CPlusCmd.
    fn write_mitigation(&self, settings: &mut Settings) {
        settings.cplus = settings.cplus & !cplus::MITIGATION_UNIT | settings.mitigation.unit();
        self.bar().write_reg(regs::CPLUS_CMD::from(settings.cplus));
        self.bar()
            .write_reg(regs::INTR_MITIGATE::from(settings.mitigation.bits()));
    }

    /// Returns the interrupt coalescing, rounded to what the chip can do.
    pub(super) fn coalesce(&self) -> Coalesce {
        let settings = self.settings.lock();
        settings.mitigation.decode(settings.speed)
    }

    /// Sets the interrupt coalescing for a link of `speed` Mbit/s.
    pub(super) fn set_coalesce(
        &self,
        speed: Option<u32>,
        wanted: &Coalesce,
    ) -> Result<(), ExtackError> {
        let mitigation = Mitigation::encode(speed, wanted)?;
        let mut settings = self.settings.lock();
        settings.coalesce = *wanted;
        settings.mitigation = mitigation;
        settings.speed = speed;
        self.write_mitigation(&mut settings);
        Ok(())
    }

    /// Encodes the interrupt coalescing anew for a link of `speed` Mbit/s.
    pub(super) fn set_speed(&self, speed: u32) {
        let mut settings = self.settings.lock();
        if settings.speed != Some(speed) {
            settings.mitigation = Mitigation::nearest(Some(speed), &settings.coalesce);
            settings.speed = Some(speed);
            self.write_mitigation(&mut settings);
        }
    }

    /// Returns the events that are to wake the machine up, as [`Hw::set_wake_events`] has set it.
    pub(super) fn wake_events(&self) -> WakeEvents {
        self.settings.lock().wake
    }

    /// Sets the events that are to wake the machine up (Config3 and Config5, as r8169 and Realtek's
    /// r8168).
    ///
    /// The bits stay over a reset of the chip. They have no effect while it is in D0.
    pub(super) fn set_wake_events(&self, events: WakeEvents) {
        self.unlocked(|settings| {
            settings.wake = events;
            self.write_wake_events(events);
        });
    }

    /// Has a change of the link, and nothing else, wake the chip, until [`Hw::set_wake_events`].
    pub(super) fn arm_link_wake(&self) {
        self.unlocked(|_| self.write_wake_events(WakeEvents::PHY));
    }

    /// Writes the events that wake. The configuration must be unlocked.
    fn write_wake_events(&self, events: WakeEvents) {
        let on = |event| events.contains(event);
        self.bar().update(regs::CONFIG3, |config3| {
            config3
                .with_wake_magic(on(WakeEvents::MAGIC))
                .with_wake_link(on(WakeEvents::PHY))
        });
        self.bar().update(regs::CONFIG5, |config5| {
            config5
                .with_wake_broadcast(on(WakeEvents::BROADCAST))
                .with_wake_multicast(on(WakeEvents::MULTICAST))
                .with_wake_unicast(on(WakeEvents::UNICAST))
                .with_lan_wake(!events.is_none())
        });
    }

    /// Returns whether PHYstatus shows a link. A chip that is gone has none.
    pub(super) fn has_link(&self) -> bool {
        let status = self.bar().read(regs::PHY_STATUS);
        status.into_raw() != !0 && status.link()
    }

    /// Has the chip write its tally counters to `address`, which is aligned to 64 bytes.
    ///
    /// Returns whether it did, within 10 ms. While the receiver is off some chips cannot (r8169),
    /// so it is not tried; a chip that is gone answers all ones.
    pub(super) fn dump_counters(&self, address: u64) -> bool {
        let command = self.bar().read(regs::CHIP_CMD);
        if command.into_raw() == !0 || !command.rx_enable() {
            return false;
        }
        let low = regs::COUNTER_LOW::from(address as u32);
        self.bar()
            .write_reg(regs::COUNTER_HIGH::from((address >> 32) as u32));
        self.flush();
        self.bar().write_reg(low);
        self.bar().write_reg(low.with_dump(true));
        read_poll_timeout(
            || Ok(self.bar().read(regs::COUNTER_LOW)),
            |answer| answer.into_raw() == !0 || !answer.dump(),
            POLL,
            TIMEOUT,
        )
        .is_ok_and(|answer| answer.into_raw() != !0)
    }

    /// Reads the whole register file, as 32-bit words. No register of this chip changes by being
    /// read.
    pub(super) fn read_all(&self, dump: &mut [u8]) {
        for (word, to) in dump.chunks_exact_mut(size_of::<u32>()).enumerate() {
            // Beyond the end there is nothing.
            let value = self.bar().try_read32(word * size_of::<u32>()).unwrap_or(!0);
            to.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Connects the pins of the EEPROM for `f`. While they are, the chip neither sends nor
    /// receives: only for a chip that is stopped.
    pub(super) fn with_eeprom<R>(&self, f: impl FnOnce(&EepromPins<'_, 'a>) -> R) -> R {
        let settings = self.settings.lock();
        let result = f(&EepromPins(self));
        self.bar().write_reg(regs::CFG_9346::zeroed());
        self.flush();
        drop(settings);
        result
    }

    /// Writes patterns to registers that hold whatever is written, and returns whether they do.
    /// Only for a chip that is stopped; [`Hw::start`] and [`Hw::set_rx_filter`] set them again.
    pub(super) fn test_registers(&self) -> bool {
        [0, !0, 0x5a5a_a5a5, 0xa5a5_5a5au32]
            .into_iter()
            .all(|pattern| {
                let bar = self.bar();
                bar.write_reg(regs::MAR0::from(pattern));
                bar.write_reg(regs::MAR4::from(!pattern));
                bar.write_reg(regs::INTR_MITIGATE::from(pattern as u16));
                bar.read(regs::MAR0).into_raw() == pattern
                    && bar.read(regs::MAR4).into_raw() == !pattern
                    && bar.read(regs::INTR_MITIGATE).into_raw() == pattern as u16
            })
    }

    /// Asks for an interrupt, [`event::SOFTWARE`], and unmasks only that. Only for a chip that is
    /// stopped.
    pub(super) fn raise_interrupt(&self) {
        self.unmask_test_interrupt();
        self.bar()
            .write_reg(regs::TX_POLL::zeroed().with_software_interrupt(true));
    }

    /// Unmasks [`event::SOFTWARE`], and nothing else.
    pub(super) fn unmask_test_interrupt(&self) {
        self.bar().write_reg(regs::INTR_MASK::from(event::SOFTWARE));
    }

    /// Has the chip receive what it sends, until [`Hw::start`].
    pub(super) fn set_loopback(&self) {
        self.bar().write_reg(self.tx_config().with_loopback(true));
    }

    fn tx_config(&self) -> regs::TX_CONFIG {
        regs::TX_CONFIG::zeroed()
            .with_const_inter_frame_gap::<3>()
            .with_const_dma_burst::<7>()
    }

    /// Asks the chip to finish and stop; B380 only.
    pub(super) fn request_stop(&self) {
        self.bar()
            .update(regs::CHIP_CMD, |cmd| cmd.with_stop_request(true));
    }

    /// Sets the bit of Config4 that allows frames above 1518 bytes; B380 only, while the
    /// configuration is unlocked.
    pub(super) fn set_config4_jumbo(&self, on: bool) {
        let config4 = self.bar().read(regs::CONFIG4);
        if config4.jumbo() != on {
            self.bar().write_reg(config4.with_jumbo(on));
        }
    }

    /// Runs `f` while IDR and the Config registers can be written, alone.
    fn unlocked(&self, f: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.lock();
        self.bar()
            .write_reg(regs::CFG_9346::zeroed().with_const_mode::<3>());
        f(&mut settings);
        self.bar().write_reg(regs::CFG_9346::zeroed());
    }

    /// Returns the MAC address that the chip has, from its EEPROM or from the driver before this
    /// one.
    pub(super) fn mac_address(&self) -> MacAddress {
        let [a, b, c, d] = self.bar().read(regs::IDR0).into_raw().to_le_bytes();
        let [e, f, _, _] = self.bar().read(regs::IDR4).into_raw().to_le_bytes();
        [a, b, c, d, e, f]
    }

    /// Sets the MAC address.
    pub(super) fn set_mac_address(&self, address: &MacAddress) {
        let [a, b, c, d, e, f] = *address;
        self.unlocked(|_| {
            // The upper half first, and flushed: the chip takes the address over with the lower.
            self.bar()
                .write_reg(regs::IDR4::from(u32::from_le_bytes([e, f, 0, 0])));
            self.flush();
            self.bar()
                .write_reg(regs::IDR0::from(u32::from_le_bytes([a, b, c, d])));
            self.flush();
        });
    }

    /// Brings the chip to a halt as far as it cooperates: no interrupts, no more frames.
    pub(super) fn halt(&self) {
        self.mask_interrupts();
        self.stop_receiving();
        (self.chip.halt)(self);
    }

    /// Lets `f` access the chip while it is not being reset; not for what takes the lock of the
    /// settings itself.
    pub(super) fn outside_reset<R>(&self, f: impl FnOnce(&Bar<'a, { regs::END }>) -> R) -> R {
        let _settings = self.settings.lock();
        f(self.bar())
    }

    /// Resets the chip. One that is dead does not come out of it, and is as quiet; see
    /// [`Hw::is_in_reset`].
    pub(super) fn reset_quietly(&self) {
        let _ = self.reset();
    }

    /// Returns whether the last reset has not ended. That of a chip that is gone never does.
    pub(super) fn is_in_reset(&self) -> bool {
        self.bar().read(regs::CHIP_CMD).reset()
    }

    /// Arms Wake-on-LAN: the chip looks at frames without receiving them.
    pub(super) fn arm_wol(&self) {
        (self.chip.arm_wol)(self);
    }

    /// Enables the receiver, for multicasts, broadcasts and frames to the MAC address.
    ///
    /// Bus mastering must be off, so that it writes nothing to memory.
    pub(super) fn run_receiver(&self) {
        self.bar()
            .write_reg(regs::CHIP_CMD::zeroed().with_rx_enable(true));
        self.bar().write_reg(
            self.rx_config()
                .with_accept_broadcast(true)
                .with_accept_multicast(true)
                .with_accept_own(true),
        );
    }

    /// Starts the chip on two rings, with its interrupts masked and no receive filter set.
    ///
    /// `rx_max` is the longest frame to receive, in bytes with FCS; `jumbo` allows frames above
    /// 1518 bytes.
    pub(super) fn start(&self, tx_ring: u64, rx_ring: u64, rx_max: u16, jumbo: bool) {
        let bar = self.bar();
        let high = |address: u64| (address >> 32) as u32;
        let low = |address: u64| address as u32;

        self.unlocked(|settings| {
            self.write_mitigation(settings);
            bar.write_reg(regs::MAX_TX_PACKET_SIZE::zeroed().with_const_units::<0x3f>());
            bar.update(regs::CONFIG3, |config3| config3.with_beacon(false));
            bar.write_reg(regs::RX_MAX_SIZE::from(rx_max));
            bar.write_reg(regs::TX_RING_HIGH::from(high(tx_ring)));
            bar.write_reg(regs::TX_RING_LOW::from(low(tx_ring)));
            bar.write_reg(regs::RX_RING_HIGH::from(high(rx_ring)));
            bar.write_reg(regs::RX_RING_LOW::from(low(rx_ring)));
            (self.chip.set_jumbo)(self, jumbo);
        });
        self.flush();

        bar.write_reg(
            regs::CHIP_CMD::zeroed()
                .with_rx_enable(true)
                .with_tx_enable(true),
        );
        self.stop_receiving();
        bar.write_reg(self.tx_config());
    }

    /// Sets which frames are received, besides those to the MAC address and broadcasts; with
    /// `damaged` also if their check sequence is wrong or they are too short.
    pub(super) fn set_rx_filter(&self, filter: RxFilter, damaged: bool) {
        let hash = match filter {
            RxFilter::Own => 0,
            RxFilter::Multicast(hash) => hash,
            RxFilter::AllMulticast | RxFilter::Promiscuous => !0,
        };
        // The chip has the bytes of the hash in the reverse order of the network core's.
        self.bar()
            .write_reg(regs::MAR4::from((hash as u32).swap_bytes()));
        self.bar()
            .write_reg(regs::MAR0::from(((hash >> 32) as u32).swap_bytes()));
        self.bar().write_reg(
            self.rx_config()
                .with_accept_broadcast(true)
                .with_accept_own(true)
                .with_accept_multicast(filter != RxFilter::Own)
                .with_accept_all(filter == RxFilter::Promiscuous)
                .with_accept_error(damaged)
                .with_accept_runt(damaged),
        );
    }
}

/// The pins of the EEPROM, through Cfg9346; see [`Hw::with_eeprom`].
pub(super) struct EepromPins<'h, 'a>(&'h Hw<'a>);

impl eeprom::Pins for EepromPins<'_, '_> {
    fn set(&self, select: bool, clock: bool, data: bool) -> bool {
        self.0.bar().write_reg(
            regs::CFG_9346::zeroed()
                .with_const_mode::<2>()
                .with_select(select)
                .with_clock(clock)
                .with_data_in(data),
        );
        // The read also waits until the write has arrived.
        let output = self.0.bar().read(regs::CFG_9346).data_out();
        // A 93C46 wants a clock of 1 MHz at most (its data sheets), some only 0.5 MHz.
        fsleep(Delta::from_micros(1));
        output
    }
}
