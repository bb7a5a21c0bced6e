// SPDX-License-Identifier: GPL-2.0

//! The part of the self-test that waits for an interrupt, and what the handler does for it.

use super::{
    hw::Hw,
    regs::event, //
};
use crate::net::{
    operations::IrqReturn,
    poll::read_poll_timeout, //
};
use kernel::{
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    time::Delta, //
};

/// The limit for a frame or an interrupt.
const TIMEOUT: Delta = Delta::from_millis(100);

/// Waits for the interrupt that [`Hw::raise_interrupt`] asks for.
pub(super) struct InterruptTest(Atomic<u32>);

/// States of an [`InterruptTest`].
const IDLE: u32 = 0;
const ARMED: u32 = 1;
const SEEN: u32 = 2;

impl InterruptTest {
    pub(super) const fn new() -> Self {
        Self(Atomic::new(IDLE))
    }

    /// Handles an interrupt in place of the driver while one is waited for. Hard interrupt context.
    pub(super) fn handle(&self, hw: &Hw<'_>) -> Option<IrqReturn> {
        if self.0.load(Relaxed) != ARMED {
            return None;
        }
        let events = hw.events();
        if events.is_all_ones() || events.bits(event::SOFTWARE) == 0 {
            return Some(IrqReturn::None);
        }
        hw.mask();
        hw.acknowledge(event::SOFTWARE);
        self.0.store(SEEN, Release);
        Some(IrqReturn::Handled)
    }

    /// Asks the chip for an interrupt and returns whether it came.
    pub(super) fn run(&self, hw: &Hw<'_>) -> bool {
        self.0.store(ARMED, Release);
        hw.raise_interrupt();
        let seen = within_timeout(&mut || {
            let seen = self.0.load(Acquire) == SEEN;
            if !seen {
                // The handler may have run for a neighbour on the line, not seen yet that the test
                // is armed, and masked the interrupt.
                hw.unmask_test_interrupt();
            }
            seen
        });
        // Also if it never came.
        hw.mask();
        hw.acknowledge(event::GONE);
        self.0.store(IDLE, Release);
        seen
    }
}

/// Calls `done` once a millisecond until it returns `true`, or too much time has passed.
pub(super) fn within_timeout(done: &mut dyn FnMut() -> bool) -> bool {
    read_poll_timeout(|| Ok(done()), |done| *done, Delta::from_millis(1), TIMEOUT).is_ok()
}
