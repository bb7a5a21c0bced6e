// SPDX-License-Identifier: GPL-2.0

//! Actions of the chip by the clock: the timer's interrupt, and interrupts that are held back
//! (IntrMitigate).

use crate::chip::Chip;
use crate::phy::Speed;
use crate::regs::intr;
use crate::regs::Reg;

/// The timer counts at 125 MHz, the PCI Express clock (FreeBSD's RL_TIMER_PCIE_CLK, OpenBSD).
pub(crate) const TIMER_NS: u64 = 8;
/// TimerInt has 13 bits: 65.5 us at most (FreeBSD's RL_TIMERINT_8169_VAL).
pub(crate) const TIMER_INT_BITS: u32 = 0x1fff;

/// Frames of one direction whose interrupt is held back.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    frames: u32,
    /// The time at which their interrupt comes at the latest; zero while there are none.
    due: u64,
}

/// Frames sent and received that wait for their interrupt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mitigation {
    tx: Held,
    rx: Held,
}

impl Mitigation {
    fn held(&mut self, event: u16) -> &mut Held {
        if event == intr::TX_OK {
            &mut self.tx
        } else {
            &mut self.rx
        }
    }

    /// A frame is done whose event is TxOK or RxOK. Returns whether that is raised now; otherwise
    /// it is held back.
    ///
    /// `settings` is IntrMitigate, `unit` is that of its times in nanoseconds. A time of zero means
    /// at once, whatever the count says [guess].
    pub(crate) fn frame(&mut self, event: u16, now: u64, unit: u64, settings: u32) -> bool {
        let settings = if event == intr::TX_OK {
            settings >> 8
        } else {
            settings
        };
        let (units, frames) = (u64::from((settings >> 4) & 15), (settings & 15) * 4);
        if units == 0 {
            return true;
        }
        let held = self.held(event);
        if held.frames == 0 {
            held.due = now.saturating_add(units * unit).max(1);
        }
        held.frames += 1;
        let full = frames != 0 && held.frames >= frames;
        if full {
            *held = Held::default();
        }
        full
    }

    /// Returns whether the event of frames that were held back is due. They are not held back any
    /// more then.
    pub(crate) fn take_due(&mut self, event: u16, now: u64) -> bool {
        let held = self.held(event);
        let due = held.frames != 0 && held.due <= now;
        if due {
            *held = Held::default();
        }
        due
    }

    /// Returns when an event is due at the latest.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let held = |held: Held| (held.frames != 0).then_some(held.due);
        held(self.tx).into_iter().chain(held(self.rx)).min()
    }
}

/// The timer. TimerInt, in which its end is, is a register; here is what follows from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timer {
    start: u64,
    due: Option<u64>,
}

impl Timer {
    /// The timer after power-on: it counts, without an end.
    pub(crate) fn started(now: u64) -> Self {
        Timer {
            start: now,
            due: None,
        }
    }

    /// Counts from zero again, up to `end`; zero is none.
    pub(crate) fn restart(&mut self, now: u64, end: u32) {
        self.start = now;
        self.set_end(now, end);
    }

    /// Gives it another end: the next time that it gets there.
    pub(crate) fn set_end(&mut self, now: u64, end: u32) {
        self.due = (end != 0).then(|| {
            let round = (u64::from(u32::MAX) + 1) * TIMER_NS;
            let mut due = self.start.saturating_add(u64::from(end) * TIMER_NS);
            if due <= now {
                due = due.saturating_add(((now - due) / round + 1) * round);
            }
            due
        });
    }

    /// Returns its count.
    pub(crate) fn count(&self, now: u64) -> u32 {
        (now.saturating_sub(self.start) / TIMER_NS) as u32
    }

    /// Returns whether it has got to its end. It goes on and comes round again after 2^32 counts.
    pub(crate) fn take_due(&mut self, now: u64, end: u32) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.set_end(now, end);
        }
        due
    }

    /// Returns when it gets to its end.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.due
    }
}

impl Chip {
    /// One unit of IntrMitigate's times by CPlusCmd bits 1:0, in nanoseconds: r8169's figures for
    /// the 8168.
    fn unit(&self) -> u64 {
        let least = match self.phy.speed() {
            Some(Speed::Mbit10) => 40_960,
            Some(Speed::Mbit100) => 2_560,
            Some(Speed::Mbit1000) | None => 5_000,
        };
        let scale = [1, 8, 16, 32][(self.get(Reg::CPlusCmd) & 3) as usize];
        least * scale
    }

    /// A frame is done: TxOK or RxOK, now or later. IntrStatus does not show it before [guess].
    pub(crate) fn raise_frame(&mut self, event: u16) {
        let (unit, settings) = (self.unit(), self.get(Reg::IntrMitigate));
        if self.mitigation.frame(event, self.now, unit, settings) {
            self.raise(event);
        }
    }

    /// Returns when something is due.
    pub(crate) fn timing_deadline(&self) -> Option<u64> {
        let deadlines = [self.timer.deadline(), self.mitigation.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn timing(&mut self) {
        for event in [intr::TX_OK, intr::RX_OK] {
            if self.mitigation.take_due(event, self.now) {
                self.raise(event);
            }
        }
        if self.timer.take_due(self.now, self.get(Reg::TimerInt)) {
            self.raise(intr::PCS_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::testing::Bench;
    use crate::testing::BUFFERS;
    use crate::testing::RX_RING;
    use crate::testing::TX_RING;

    const US: u64 = 1000;

    fn receive(bench: &mut Bench) {
        bench.guest.desc(RX_RING, 0, 0xc000_0800, 0, BUFFERS);
        bench.chip.frame_in(&mut bench.guest, &[0xff; 60], false);
    }

    fn status(bench: &mut Bench) -> u16 {
        let status = bench.r16(Reg::IntrStatus);
        bench.w16(Reg::IntrStatus, status);
        status & (intr::RX_OK | intr::TX_OK | intr::PCS_TIMEOUT)
    }

    #[test]
    fn a_received_frame_waits_for_its_time() {
        let mut bench = Bench::open(Config::default());
        // Two units of 40 us; no count.
        bench.w16(Reg::CPlusCmd, 1);
        bench.w16(Reg::IntrMitigate, 0x0020);
        receive(&mut bench);
        receive(&mut bench);
        assert_eq!(status(&mut bench), 0);
        assert_eq!(bench.chip.deadline(), Some(80 * US));
        bench.tick(79 * US);
        assert_eq!(status(&mut bench), 0);
        bench.tick(80 * US);
        assert_eq!(status(&mut bench), intr::RX_OK);
        assert_eq!(bench.chip.deadline(), None);
    }

    #[test]
    fn or_for_its_count() {
        let mut bench = Bench::open(Config::default());
        bench.w16(Reg::IntrMitigate, 0x00f1);
        for _ in 0..3 {
            receive(&mut bench);
        }
        assert_eq!(status(&mut bench), 0);
        receive(&mut bench);
        assert_eq!(status(&mut bench), intr::RX_OK);
        assert_eq!(bench.chip.deadline(), None);
    }

    #[test]
    fn directions_are_separate_and_slower_links_have_other_units() {
        let mut bench = Bench::open(Config::default());
        bench.w32(Reg::PhyAr, 0x8000_2100);
        bench.w16(Reg::IntrStatus, 0xffff);
        bench.w16(Reg::IntrMitigate, 0x1000);
        receive(&mut bench);
        assert_eq!(status(&mut bench), intr::RX_OK);
        bench.guest.desc(TX_RING, 0, 0xf000_003c, 0, BUFFERS);
        bench.w8(Reg::TxPoll, 0x40);
        assert_eq!(status(&mut bench), 0);
        assert_eq!(bench.chip.deadline(), Some(2560));
    }

    #[test]
    fn a_reset_forgets_what_is_held() {
        let mut bench = Bench::open(Config::default());
        bench.w16(Reg::IntrMitigate, 0x0010);
        receive(&mut bench);
        bench.w8(Reg::ChipCmd, 0x10);
        bench.tick(1000 * US);
        assert_eq!(status(&mut bench), 0);
    }

    #[test]
    fn the_timer_interrupts_when_it_gets_there() {
        let mut bench = Bench::open(Config::default());
        bench.tick(1000);
        bench.w32(Reg::Timer, 0);
        bench.w32(Reg::TimerInt, 100);
        bench.tick(1000 + 799);
        assert_eq!(status(&mut bench), 0);
        bench.tick(1000 + 800);
        assert_eq!(status(&mut bench), intr::PCS_TIMEOUT);
        // 2^32 counts of 8 ns later.
        assert_eq!(bench.chip.deadline(), Some(1800 + (1 << 35)));
        bench.tick(2000);
        assert_eq!(status(&mut bench), 0, "once a round");
        bench.w32(Reg::Timer, 0);
        bench.tick(2800);
        assert_eq!(status(&mut bench), intr::PCS_TIMEOUT, "started again");
        bench.w32(Reg::TimerInt, 0xffff_2000);
        assert_eq!((bench.r32(Reg::TimerInt), bench.chip.deadline()), (0, None));
    }
}
