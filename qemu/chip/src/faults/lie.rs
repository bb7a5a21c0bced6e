// SPDX-License-Identifier: GPL-2.0

//! The lying mode: registers and descriptors of a card that is to bring its driver down.
//!
//! Only what a driver reads as status is false. Data goes where a descriptor points, as far as it
//! has room; a driver that believes a length or a status goes wrong by itself.

use super::FaultInjector;
use super::FaultKind;
use crate::desc;

/// Lengths at which arithmetic goes wrong.
const LENGTHS: [u32; 12] = [0, 1, 2, 3, 4, 5, 14, 63, 1518, 2048, 0x3ffc, 0x3fff];

impl FaultInjector {
    fn word(&mut self) -> u32 {
        let high = self.draw(FaultKind::Lie, 1 << 16);
        (high << 16) | self.draw(FaultKind::Lie, 1 << 16)
    }

    /// Returns the value that a register shows instead of `value`.
    pub(crate) fn lie_register(&mut self, value: u32) -> u32 {
        if !self.fires(FaultKind::Lie) {
            return value;
        }
        match self.draw(FaultKind::Lie, 4) {
            0 => 0,
            1 => u32::MAX,
            2 => value ^ (1 << self.draw(FaultKind::Lie, 32)),
            _ => self.word(),
        }
    }

    /// Returns a receive descriptor's first word instead of `opts1`.
    pub(crate) fn lie_receive(&mut self, opts1: u32) -> u32 {
        if !self.fires(FaultKind::Lie) {
            return opts1;
        }
        let keep = opts1 & !desc::rx::LENGTH;
        match self.draw(FaultKind::Lie, 6) {
            0 => self.word(),
            1 => self.word() & !desc::OWN,
            2 => keep | self.draw(FaultKind::Lie, 0x4000),
            // Status bits, and where a frame begins and ends.
            3 => opts1 ^ (self.word() & 0x3fff_c000),
            _ => keep | LENGTHS[self.draw(FaultKind::Lie, LENGTHS.len() as u32) as usize],
        }
    }

    /// Returns a descriptor's second word instead of `opts2`.
    pub(crate) fn lie_second(&mut self, opts2: u32) -> u32 {
        if self.fires(FaultKind::Lie) {
            self.word()
        } else {
            opts2
        }
    }

    /// Returns the first word of a transmit descriptor that is given back instead of `opts1`.
    pub(crate) fn lie_transmit(&mut self, opts1: u32) -> u32 {
        if !self.fires(FaultKind::Lie) {
            return opts1;
        }
        match self.draw(FaultKind::Lie, 3) {
            0 => opts1 | desc::OWN,
            1 => self.word() & !desc::OWN,
            _ => self.word(),
        }
    }

    /// Interrupts that nothing has caused.
    pub(crate) fn lie_interrupt(&mut self) -> Option<u16> {
        self.fires(FaultKind::Lie)
            .then(|| self.draw(FaultKind::Lie, 1 << 16) as u16)
    }
}
