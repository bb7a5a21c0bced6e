// SPDX-License-Identifier: GPL-2.0

//! The card: what happens to it, how that is recorded, and how the outside gets to know.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::Condvar;
use std::time::Instant;

use rtl8111b_chip::Bus;
use rtl8111b_chip::Chip;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultInjector;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Lie;
use rtl8111b_chip::Partner;
use rtl8111b_chip::Received;
use rtl8111b_chip::Reg;
use rtl8111b_chip::Width;
use rtl8111b_pci::ConfigSpace;
use rtl8111b_pci::Power;
use rtl8111b_trace::BusProbe;
use rtl8111b_trace::Event;
use rtl8111b_trace::Recorder;
use rtl8111b_transport::DmaMap;
use rtl8111b_transport::Lines;
use rtl8111b_wire::Link;
use rtl8111b_wire::Sender;

use super::host::Host;

/// Violations that are logged; after these they are only counted, so that a guest cannot fill the
/// disk.
const LOGGED: u64 = 500;

/// Bytes of the longest ring.
pub(super) const RING: usize = 1024 * 16;

/// The time that frames wait for an acknowledgement, in nanoseconds. One was seen to take 3 ms from
/// a guest without KVM.
pub(super) const ACK_WAIT: u64 = 50_000_000;

/// The card.
pub(crate) struct Card {
    pub(crate) chip: Chip,
    pub(super) config: ConfigSpace,
    pub(super) dma: DmaMap,
    pub(super) lines: Lines,
    pub(super) sender: Sender,
    begin: Instant,
    /// A frame waits outside for a receive descriptor, or for an acknowledgement.
    pub(super) frame_waits: bool,
    /// Frames wait for acknowledgements. On a bus one arrives in less time than a frame takes on
    /// the cable; here a burst of frames comes in meanwhile, whose events it clears too. iPXE,
    /// which has four receive descriptors, was seen to lose the events of all four in that way, and
    /// to look at none of them ever again.
    pub(super) prompt_acks: bool,
    /// The time at which the driver read an event, if that was its last access.
    event_read: Option<u64>,
    /// The frame that waits has not been offered to the chip.
    pub(super) frame_unseen: bool,
    seen: u64,
    logged: u64,
    /// The faults of the bus, which the chip does not know of.
    bus_faults: FaultInjector,
    pub(super) alarm: Arc<Condvar>,
    /// The time that [`Shared::keep_time`](super::Shared::keep_time) waits for.
    pub(super) announced: Option<u64>,
    asleep: bool,
    pme_raised: u64,
    /// The transmit ring has been looked at; it was all zeroes.
    pub(super) ring_seen: bool,
    pub(super) unshared: bool,
    recorder: Option<Recorder>,
}

/// The card, at which anyone may look; [`Device::change`] is the one way to do something to it.
pub(crate) struct Device(Card);

impl Deref for Device {
    type Target = Card;

    fn deref(&self) -> &Card {
        &self.0
    }
}

impl Device {
    pub(crate) fn new(chip: Chip, config: ConfigSpace, sender: Sender) -> Self {
        Device(Card::new(chip, config, sender))
    }

    /// Does something to the card, and brings the outside up to date with it. Reads do it, too: one
    /// changes no register, but sets the time first, and what is due then may move the interrupt
    /// line.
    pub(super) fn change<T>(&mut self, act: impl FnOnce(&mut Card) -> T) -> T {
        let result = act(&mut self.0);
        self.0.settle();
        result
    }

    /// The guest's memory.
    pub(super) fn memory(&mut self) -> &mut DmaMap {
        &mut self.0.dma
    }

    /// The interrupt lines.
    pub(super) fn interrupt_lines(&mut self) -> &mut Lines {
        &mut self.0.lines
    }

    /// Has frames wait for acknowledgements, or not.
    pub(crate) fn set_prompt_acks(&mut self, on: bool) {
        self.0.prompt_acks = on;
    }

    /// Has a frame wait outside if an acknowledgement is expected; nothing happens to the chip
    /// then.
    pub(super) fn holds_back(&mut self, again: bool) -> bool {
        let card = &mut self.0;
        let hold = card.ack_expected();
        if hold {
            card.frame_waits = true;
            card.frame_unseen |= !again;
        }
        hold
    }

    /// Writes down all that happens to the chip from here on; to be called first of all.
    pub(crate) fn record(&mut self, recorder: Recorder) {
        self.0.recorder = Some(recorder);
    }

    /// Brings the trace up to date.
    pub(crate) fn flush_trace(&mut self) {
        if let Some(recorder) = &mut self.0.recorder {
            recorder.flush();
        }
        self.0.report_lost_trace();
    }

    pub(crate) fn reset_counters(&mut self) {
        self.0.chip.reset_counters();
        self.0.seen = 0;
    }

    /// The card itself, to prepare it for a test.
    #[cfg(test)]
    pub(super) fn card(&mut self) -> &mut Card {
        &mut self.0
    }
}

impl Card {
    fn new(chip: Chip, config: ConfigSpace, sender: Sender) -> Self {
        Card {
            chip,
            config,
            dma: DmaMap::new(),
            lines: Lines::new(),
            sender,
            begin: Instant::now(),
            frame_waits: false,
            prompt_acks: false,
            event_read: None,
            frame_unseen: false,
            seen: 0,
            logged: 0,
            bus_faults: FaultInjector::new(),
            alarm: Arc::default(),
            announced: None,
            asleep: false,
            pme_raised: 0,
            ring_seen: false,
            unshared: false,
            recorder: None,
        }
    }

    /// Returns whether all that happened is in the trace, if there is to be one.
    pub(crate) fn trace_is_whole(&self) -> bool {
        self.recorder.as_ref().is_none_or(Recorder::is_whole)
    }

    fn report_lost_trace(&mut self) {
        if let Some(text) = self.recorder.as_mut().and_then(Recorder::take_failure) {
            log::error!("{text}: it ends here");
        }
    }

    /// The event is made only if it is recorded.
    fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(recorder) = &mut self.recorder {
            recorder.event(&event());
        }
    }

    /// Does something to the chip, and records it: the event, what the chip does with the bus, and
    /// what the interrupt line does.
    fn act<T>(
        &mut self,
        event: impl FnOnce() -> Event,
        act: impl FnOnce(&mut Chip, &mut dyn Bus) -> T,
    ) -> T {
        self.observe(event, act, |_| None)
    }

    /// The same, with another event that says how it ended.
    fn observe<T>(
        &mut self,
        event: impl FnOnce() -> Event,
        act: impl FnOnce(&mut Chip, &mut dyn Bus) -> T,
        ended: impl FnOnce(&T) -> Option<Event>,
    ) -> T {
        self.note(event);
        let result = self.with_bus(act);
        if let Some(recorder) = &mut self.recorder {
            if let Some(event) = ended(&result) {
                recorder.event(&event);
            }
            recorder.line(self.chip.interrupt());
        }
        result
    }

    pub(crate) fn wire_dropped(&self) -> u64 {
        self.sender.dropped()
    }

    pub(crate) fn events_sent(&self) -> u64 {
        self.lines.sent()
    }

    /// PME's status, whether it is let out, and how often it was raised.
    pub(crate) fn pme(&self) -> (bool, bool, u64) {
        let (status, enabled) = self.config.pme();
        (status, enabled, self.pme_raised)
    }

    pub(crate) fn power(&self) -> Power {
        self.config.power()
    }

    pub(crate) fn memory_ranges(&self) -> usize {
        self.dma.len()
    }

    pub(super) fn set_partner(&mut self, partner: Partner) {
        self.tick();
        self.act(
            || Event::Partner(partner),
            |chip, _| chip.set_partner(partner),
        );
    }

    pub(super) fn set_link(&mut self, up: bool) {
        self.tick();
        self.act(|| Event::Link(up), |chip, _| chip.set_link(up));
    }

    /// The faults to which that one belongs.
    pub(crate) fn faults(&self, kind: FaultKind) -> &FaultInjector {
        match kind {
            FaultKind::PciAbort | FaultKind::DmaFault => &self.bus_faults,
            _ => self.chip.faults(),
        }
    }

    pub(super) fn fault(&mut self, config: FaultConfig) {
        self.tick();
        if matches!(config.kind, FaultKind::PciAbort | FaultKind::DmaFault) {
            self.bus_faults.configure(config, 0);
            return;
        }
        let was_gone = self.chip.gone();
        self.act(|| Event::Fault(config), |chip, bus| chip.fault(bus, config));
        if was_gone && !self.chip.gone() {
            self.config.reset();
            self.set_asleep(false);
        }
    }

    pub(super) fn script(&mut self, lies: Vec<u8>) {
        self.tick();
        let script = Lie::all_from_bytes(&lies);
        self.act(|| Event::Script(lies), |chip, _| chip.script(script));
    }

    /// The bus is reset.
    pub(super) fn reset(&mut self) {
        self.config.reset();
        self.set_asleep(false);
        self.act(|| Event::PciReset, |chip, _| chip.pci_reset());
    }

    /// The machine is gone: its power is cut.
    pub(super) fn cut_power(&mut self) {
        self.ring_seen = false;
        self.unshared = false;
        self.reset();
        self.act(|| Event::PowerOn, |chip, _| chip.power_on());
    }

    pub(super) fn attach(&mut self, link: Option<Link>) {
        self.sender.attach(link);
        self.frame_waits = false;
        self.frame_unseen = false;
        self.resume();
    }

    /// A frame comes in. Returns whether it need not be offered again.
    pub(super) fn offer(&mut self, frame: &[u8], again: bool) -> bool {
        let again = again && !std::mem::take(&mut self.frame_unseen);
        self.tick();
        let outcome = self.observe(
            || Event::Frame(again, frame.to_vec()),
            |chip, bus| chip.frame_in(bus, frame, again),
            |outcome| Some(Event::Received(*outcome)),
        );
        self.frame_waits = outcome == Received::Wait;
        !self.frame_waits
    }

    pub(super) fn read_config(&mut self, offset: u64, into: &mut [u8]) {
        self.config.read(offset, into);
        self.note(|| Event::ConfigRead(offset, into.to_vec()));
    }

    pub(super) fn write_config(&mut self, offset: u64, from: &[u8]) {
        self.note(|| Event::ConfigWrite(offset, from.to_vec()));
        let deep = self.config.power() == Power::D3Hot;
        self.config.write(offset, from);
        if deep && self.awake() {
            // The capability says NoSoftRst-, as that of real cards does.
            self.config.leave_d3hot();
            self.act(|| Event::PciReset, |chip, _| chip.pci_reset());
        }
        self.follow_bus_master();
        let asleep = !self.awake();
        if asleep != self.asleep {
            self.set_asleep(asleep);
        }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns whether an acknowledgement is on its way.
    pub(super) fn ack_expected(&self) -> bool {
        self.now() < self.held_until()
    }

    /// Until when what comes in waits for an acknowledgement.
    pub(super) fn held_until(&self) -> u64 {
        let read = self.event_read.filter(|_| self.prompt_acks);
        read.map_or(0, |at| at.saturating_add(ACK_WAIT))
    }

    /// Sets the chip's time, unless an acknowledgement is expected: a frame that was kept inside
    /// and found a descriptor now would have its event cleared by that, like one from the cable.
    pub(super) fn tick(&mut self) {
        if self.ack_expected() {
            return;
        }
        let now = self.now();
        self.act(|| Event::Tick(now), |chip, bus| chip.tick(bus, now));
    }

    fn set_asleep(&mut self, asleep: bool) {
        self.asleep = asleep;
        self.act(|| Event::Asleep(asleep), |chip, _| chip.set_asleep(asleep));
    }

    /// Passes the command register's bit to the chip.
    pub(super) fn follow_bus_master(&mut self) {
        let on = self.config.bus_master();
        if on == self.chip.bus_master() {
            return;
        }
        self.act(
            || Event::BusMaster(on),
            |chip, bus| chip.set_bus_master(bus, on),
        );
        if self.frame_waits {
            self.sender.kick();
        }
    }

    pub(super) fn resume(&mut self) {
        self.act(|| Event::Resume, |chip, bus| chip.resume(bus));
    }

    pub(super) fn with_bus<T>(&mut self, act: impl FnOnce(&mut Chip, &mut dyn Bus) -> T) -> T {
        let mut host = Host {
            config: &mut self.config,
            dma: &self.dma,
            sender: &mut self.sender,
            faults: &mut self.bus_faults,
        };
        match &mut self.recorder {
            Some(recorder) => act(&mut self.chip, &mut BusProbe::new(&mut host, recorder)),
            None => act(&mut self.chip, &mut host),
        }
    }

    /// Brings the outside up to date with the chip.
    fn settle(&mut self) {
        if self.chip.take_reset() {
            self.bus_faults.reset();
        }
        // vfio-user cannot signal PME; `ctl state` shows it.
        if let Some(wake) = self.chip.take_wake() {
            let raised = self.config.call_for_power();
            self.pme_raised += u64::from(raised);
            log::info!(
                "woken by {wake:?}, PME {}",
                if raised { "raised" } else { "not enabled" }
            );
        }
        let level = self.chip.interrupt();
        self.config.show_interrupt(level);
        // A message is a memory write; a line is not.
        let cut = if self.lines.msi() {
            !self.config.bus_master()
        } else {
            self.config.intx_off()
        };
        if self.chip.take_pulse() && !level && !cut {
            self.lines.set(true);
        }
        self.lines.set(level && !cut);
        let deadline = self.chip.deadline();
        if deadline != self.announced {
            self.announced = deadline;
            self.alarm.notify_all();
        }
        // What the peer does not take now, the event loop writes when there is room; it also goes
        // on with what the chip still has to send.
        if !self.sender.flush() || self.chip.sending() {
            self.sender.kick();
        }
        let violations = self.chip.counters().violations;
        if violations != self.seen {
            self.log_violations(violations);
        }
        self.report_lost_trace();
    }

    /// Looks at the transmit ring when it is first used. Memory that the guest does not share reads
    /// as zeroes; a ring that a driver has made does not: its last descriptor says that it is the
    /// last.
    fn look_at_ring(&mut self) {
        let Some(base) = self.chip.state().tx.base else {
            return;
        };
        self.ring_seen = true;
        let mut ring = vec![0; RING];
        let reads = self.dma.read(base, &mut ring).is_ok();
        self.unshared = reads && ring.iter().all(|&byte| byte == 0);
        if self.unshared {
            log::warn!(
                "the transmit ring reads as zeroes: the guest's memory must be shared with the card (memory-backend-memfd,...,share=on)"
            );
        }
    }

    fn log_violations(&mut self, total: u64) {
        let new = usize::try_from(total.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        self.seen = total;
        for text in self
            .chip
            .counters()
            .violation_log()
            .rev()
            .take(new)
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            match self.logged.cmp(&LOGGED) {
                Ordering::Less => log::warn!("violation: {text}"),
                Ordering::Equal => log::warn!("further violations are only counted"),
                Ordering::Greater => {}
            }
            self.logged += 1;
        }
    }

    pub(super) fn awake(&self) -> bool {
        self.config.power() == Power::D0
    }

    pub(super) fn read_registers(&mut self, offset: u64, into: &mut [u8]) {
        self.event_read = None;
        self.tick();
        for (at, part) in parts(offset, into.len()) {
            let Some(width) = Width::of(part.len()) else {
                continue;
            };
            // It does not move the interrupt line.
            let value = self.chip.read(at, width);
            if Reg::at(at) == Some(Reg::IntrStatus) && value != 0 {
                self.event_read = Some(self.now());
            }
            self.note(|| Event::Read(at, width, value));
            let value = value.to_le_bytes();
            into[part.clone()].copy_from_slice(&value[..part.len()]);
        }
    }

    pub(super) fn write_registers(&mut self, offset: u64, from: &[u8]) {
        self.tick();
        // It is here, or the driver does not send one.
        let held = self.ack_expected();
        self.event_read = None;
        for (at, part) in parts(offset, from.len()) {
            let Some(width) = Width::of(part.len()) else {
                continue;
            };
            let mut value = [0; 4];
            value[..part.len()].copy_from_slice(&from[part]);
            let value = u32::from_le_bytes(value);
            if !self.ring_seen && Reg::at(at) == Some(Reg::TxPoll) {
                self.look_at_ring();
            }
            self.act(
                || Event::Write(at, width, value),
                |chip, bus| chip.write(bus, at, width, value),
            );
        }
        if held {
            self.tick();
            self.alarm.notify_all();
        }
        // The driver is at work: it may have made room meanwhile.
        if self.frame_waits {
            self.sender.kick();
        }
    }
}

/// The accesses of 4, 2 or 1 bytes that an access is made of. More than 8 bytes no bus sends.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u16, std::ops::Range<usize>)> {
    let len = len.min(8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let size = match len - from {
            0 => return None,
            4.. => 4,
            2..4 => 2,
            _ => 1,
        };
        let at = u16::try_from(offset).ok()?.checked_add(from as u16)?;
        let part = from..from + size;
        from += size;
        Some((at, part))
    })
}
