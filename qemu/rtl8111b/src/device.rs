//! The whole card: chip, configuration space, memory, interrupts and the near end of the cable.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use rtl8111b_chip::Bus;
use rtl8111b_chip::Chip;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultInjector;
use rtl8111b_chip::FaultKind;
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
use rtl8111b_transport::Endpoint;
use rtl8111b_transport::Lines;
use rtl8111b_transport::Region;
use rtl8111b_wire::Link;
use rtl8111b_wire::NicPort;
use rtl8111b_wire::Sender;

mod host;

use host::Host;

/// Violations that are logged; after these they are only counted, lest a guest fill the disk.
const LOGGED: u64 = 500;

/// Bytes of the longest ring.
const RING: usize = 1024 * 16;

/// How long frames wait for an acknowledgement, in nanoseconds. One was seen to take 3 ms from a guest without KVM.
const ACK_WAIT: u64 = 50_000_000;

/// The card.
pub(crate) struct Device {
    pub(crate) chip: Chip,
    config: ConfigSpace,
    dma: DmaMap,
    lines: Lines,
    sender: Sender,
    begin: Instant,
    /// A frame waits outside for a receive descriptor, or for an acknowledgement.
    frame_waits: bool,
    /// Frames wait for acknowledgements. On a bus one arrives in less time than a frame takes on the cable; here a burst
    /// of frames comes in meanwhile, whose events it clears too. iPXE, which has four receive descriptors, was seen to
    /// lose the events of all four in that way, and to look at none of them ever again.
    pub(crate) prompt_acks: bool,
    /// When the driver read an event, if that was its last access.
    event_read: Option<u64>,
    /// The frame that waits has not been offered to the chip.
    frame_unseen: bool,
    seen: u64,
    logged: u64,
    /// The faults of the bus, which the chip does not know of.
    bus_faults: FaultInjector,
    alarm: Arc<Condvar>,
    /// The condition that [`Shared::keep_time`] waits for.
    announced: Option<u64>,
    asleep: bool,
    pme_raised: u64,
    /// The transmit ring has been looked at; it was all zeroes.
    ring_seen: bool,
    unshared: bool,
    recorder: Option<Recorder>,
}

impl Device {
    pub(crate) fn new(chip: Chip, config: ConfigSpace, sender: Sender) -> Self {
        Device {
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

    /// Writes down all that happens to the chip from here on; to be called first of all.
    pub(crate) fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Brings the trace up to date.
    pub(crate) fn flush_trace(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
        self.report_lost_trace();
    }

    /// Whether all that happened is in the trace, if there is to be one.
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

    /// To be called after each thing that happened to the chip.
    fn note_line(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.line(self.chip.interrupt());
        }
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

    pub(crate) fn reset_counters(&mut self) {
        self.chip.reset_counters();
        self.seen = 0;
    }

    pub(crate) fn set_partner(&mut self, partner: Partner) {
        self.tick();
        self.note(|| Event::Partner(partner));
        self.chip.set_partner(partner);
        self.note_line();
        self.settle();
    }

    pub(crate) fn set_link(&mut self, up: bool) {
        self.tick();
        self.note(|| Event::Link(up));
        self.chip.set_link(up);
        self.note_line();
        self.settle();
    }

    /// The faults to which that one belongs.
    pub(crate) fn faults(&self, kind: FaultKind) -> &FaultInjector {
        match kind {
            FaultKind::PciAbort | FaultKind::DmaFault => &self.bus_faults,
            _ => self.chip.faults(),
        }
    }

    pub(crate) fn fault(&mut self, config: FaultConfig) {
        self.tick();
        match config.kind {
            FaultKind::PciAbort | FaultKind::DmaFault => self.bus_faults.configure(config, 0),
            _ => {
                let was_gone = self.chip.gone();
                self.note(|| Event::Fault(config));
                self.with_bus(|chip, host| chip.fault(host, config));
                self.note_line();
                if was_gone && !self.chip.gone() {
                    self.config.reset();
                    self.asleep = false;
                    self.set_asleep(false);
                }
            }
        }
        self.settle();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether an acknowledgement is on its way.
    fn ack_expected(&self) -> bool {
        self.now() < self.held_until()
    }

    /// Until when what comes in waits for an acknowledgement.
    fn held_until(&self) -> u64 {
        let read = self.event_read.filter(|_| self.prompt_acks);
        read.map_or(0, |at| at.saturating_add(ACK_WAIT))
    }

    /// Sets the chip's time, unless an acknowledgement is expected: a frame that was kept inside and found a descriptor now
    /// would have its event cleared by that, like one from the cable.
    fn tick(&mut self) {
        if self.ack_expected() {
            return;
        }
        let now = self.now();
        self.note(|| Event::Tick(now));
        self.with_bus(|chip, host| chip.tick(host, now));
        self.note_line();
    }

    fn set_asleep(&mut self, asleep: bool) {
        self.note(|| Event::Asleep(asleep));
        self.chip.set_asleep(asleep);
        self.note_line();
    }

    /// Passes the command register's bit to the chip.
    fn follow_bus_master(&mut self) {
        let on = self.config.bus_master();
        if on == self.chip.bus_master() {
            return;
        }
        self.note(|| Event::BusMaster(on));
        self.with_bus(|chip, host| chip.set_bus_master(host, on));
        self.note_line();
        if self.frame_waits {
            self.sender.kick();
        }
    }

    fn resume(&mut self) {
        self.note(|| Event::Resume);
        self.with_bus(|chip, host| chip.resume(host));
        self.note_line();
    }

    fn with_bus<T>(&mut self, act: impl FnOnce(&mut Chip, &mut dyn Bus) -> T) -> T {
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

    /// Brings the outside up to date with the chip: to be called at the end of everything.
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
        // What the peer does not take now, the pump writes when there is room; as does it go on with what the chip
        // still has to send.
        if !self.sender.flush() || self.chip.sending() {
            self.sender.kick();
        }
        let violations = self.chip.counters().violations;
        if violations != self.seen {
            self.log_violations(violations);
        }
        self.report_lost_trace();
    }

    /// Looks at the transmit ring when it is first used. Memory that the guest does not share reads as zeroes; a ring that
    /// a driver has made does not: its last descriptor says that it is the last.
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

    fn awake(&self) -> bool {
        self.config.power() == Power::D0
    }

    fn read_registers(&mut self, offset: u64, into: &mut [u8]) {
        self.event_read = None;
        self.tick();
        for (at, part) in parts(offset, into.len()) {
            let Some(width) = Width::of(part.len()) else {
                continue;
            };
            let value = self.chip.read(at, width);
            if Reg::at(at) == Some(Reg::IntrStatus) && value != 0 {
                self.event_read = Some(self.now());
            }
            self.note(|| Event::Read(at, width, value));
            self.note_line();
            let value = value.to_le_bytes();
            into[part.clone()].copy_from_slice(&value[..part.len()]);
        }
    }

    fn write_registers(&mut self, offset: u64, from: &[u8]) {
        self.tick();
        // It is here, or the driver has something else in mind.
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
            self.note(|| Event::Write(at, width, value));
            self.with_bus(|chip, host| chip.write(host, at, width, value));
            self.note_line();
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

impl Endpoint for Device {
    fn read(&mut self, region: Region, offset: u64, into: &mut [u8]) {
        if self.chip.gone() {
            into.fill(0xff);
            return;
        }
        match region {
            Region::Config => {
                self.config.read(offset, into);
                self.note(|| Event::ConfigRead(offset, into.to_vec()));
            }
            // A device that sleeps answers configuration accesses only.
            Region::Bar(0 | 2) if self.awake() => {
                into.fill(0xff);
                self.read_registers(offset, into);
            }
            Region::Bar(_) => into.fill(0xff),
        }
    }

    fn write(&mut self, region: Region, offset: u64, from: &[u8]) {
        if self.chip.gone() {
            return;
        }
        match region {
            Region::Config => {
                self.note(|| Event::ConfigWrite(offset, from.to_vec()));
                let deep = self.config.power() == Power::D3Hot;
                self.config.write(offset, from);
                if deep && self.awake() {
                    // The capability says NoSoftRst-, as that of real cards does.
                    self.config.leave_d3hot();
                    self.note(|| Event::PciReset);
                    self.chip.pci_reset();
                    self.note_line();
                }
                self.follow_bus_master();
                let asleep = !self.awake();
                if asleep != self.asleep {
                    self.asleep = asleep;
                    self.set_asleep(asleep);
                }
            }
            Region::Bar(0 | 2) if self.awake() => self.write_registers(offset, from),
            Region::Bar(0 | 2) => {
                self.chip
                    .written_asleep(u16::try_from(offset).unwrap_or(u16::MAX));
            }
            Region::Bar(_) => {}
        }
        self.settle();
    }

    fn reset(&mut self) {
        self.config.reset();
        self.asleep = false;
        self.set_asleep(false);
        self.note(|| Event::PciReset);
        self.chip.pci_reset();
        self.note_line();
        self.settle();
    }

    fn dma(&mut self) -> &mut DmaMap {
        &mut self.dma
    }

    fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// The machine is gone: its power is cut.
    fn disconnected(&mut self) {
        self.ring_seen = false;
        self.unshared = false;
        self.reset();
        self.note(|| Event::PowerOn);
        self.chip.power_on();
        self.note_line();
        self.settle();
    }
}

/// The device behind its lock.
pub(crate) struct Shared(pub(crate) Mutex<Device>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Sets the chip's time whenever it waits for it; until the process ends.
    pub(crate) fn keep_time(&self) {
        let alarm = self.lock().alarm.clone();
        loop {
            let mut device = self.lock();
            let due = device.announced.map(|at| at.max(device.held_until()));
            let wait = due.map(|at| at.saturating_sub(device.now()));
            match wait {
                Some(0) => {
                    device.tick();
                    device.settle();
                }
                Some(wait) => drop(alarm.wait_timeout(device, Duration::from_nanos(wait))),
                None => drop(alarm.wait(device)),
            }
        }
    }
}

impl NicPort for Shared {
    fn offer(&self, frame: &[u8], again: bool) -> bool {
        let mut device = self.lock();
        if device.ack_expected() {
            device.frame_waits = true;
            device.frame_unseen |= !again;
            return false;
        }
        let again = again && !std::mem::take(&mut device.frame_unseen);
        device.tick();
        device.note(|| Event::Frame(again, frame.to_vec()));
        let outcome = device.with_bus(|chip, host| chip.frame_in(host, frame, again));
        device.note(|| Event::Received(outcome));
        device.note_line();
        device.frame_waits = outcome == Received::Wait;
        device.settle();
        !device.frame_waits
    }

    fn attach(&self, link: Option<Link>) {
        let mut device = self.lock();
        device.sender.attach(link);
        device.frame_waits = false;
        device.frame_unseen = false;
        device.resume();
        device.settle();
    }

    fn blocked(&self) -> bool {
        let device = self.lock();
        device.sender.waiting() || device.chip.sending()
    }

    fn writable(&self) {
        let mut device = self.lock();
        if device.sender.flush() {
            device.resume();
        }
        device.settle();
    }
}

#[cfg(test)]
mod tests;
