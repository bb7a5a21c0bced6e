// SPDX-License-Identifier: GPL-2.0

//! Counters: for the observer, and for the driver (tally counters).

use std::collections::BTreeMap;
use std::collections::VecDeque;

use crate::regs::Reg;
use crate::regs::REGISTER_COUNT;

/// The number of violations that are kept in words.
pub const VIOLATION_LOG: usize = 64;

/// Accesses to one register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Reads that touched it.
    pub reads: u64,
    /// Writes that touched it.
    pub writes: u64,
}

/// The counters for the user of the model.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Reads of the register file, one per access whatever its width.
    pub mmio_reads: u64,
    /// Writes of the register file.
    pub mmio_writes: u64,
    registers: Vec<Access>,
    /// Accesses to offsets that the model knows nothing about; they read as zero.
    pub unmodelled: BTreeMap<u16, u64>,
    /// Writes of TxPoll that ask for a ring to be looked at.
    pub doorbells: u64,
    /// Those that found no frame.
    pub doorbells_empty: u64,
    /// Times the interrupt line went up.
    pub interrupts_raised: u64,
    /// Reads of IntrStatus that found it zero.
    pub interrupts_spurious: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Their bytes, without check sequences.
    pub tx_bytes: u64,
    /// Frames the transmitter gave up.
    pub tx_dropped: u64,
    /// Frames given to the driver.
    pub rx_frames: u64,
    /// Their bytes, without check sequences.
    pub rx_bytes: u64,
    /// Frames that were for us and did not reach the driver.
    pub rx_dropped: u64,
    /// Frames the filter kept out.
    pub rx_filtered: u64,
    /// Frames that came while the receiver was off or the link down.
    pub rx_ignored: u64,
    /// Frames that had to wait for a descriptor.
    pub rx_waits: u64,
    /// Times the sleeping card has asked for PME.
    pub wakes: u64,
    /// Frames that came back without leaving (loopback).
    pub looped: u64,
    /// Transfers that the host side refused.
    pub dma_faults: u64,
    /// Things a driver must not do.
    pub violations: u64,
    log: VecDeque<String>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Counters {
            registers: vec![Access::default(); REGISTER_COUNT],
            ..Counters::default()
        }
    }

    /// The accesses to `reg`.
    pub fn register(&self, reg: Reg) -> Access {
        self.registers
            .get(reg as usize)
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn register_mut(&mut self, reg: Reg) -> Option<&mut Access> {
        self.registers.get_mut(reg as usize)
    }

    /// The last violations, oldest first, [`VIOLATION_LOG`] at most.
    pub fn violation_log(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.log.iter().map(String::as_str)
    }

    pub(crate) fn violation(&mut self, text: String) {
        if self.log.len() == VIOLATION_LOG {
            self.log.pop_front();
        }
        self.violations += 1;
        self.log.push_back(text);
    }

    pub(crate) fn unmodelled(&mut self, offset: u16) {
        *self.unmodelled.entry(offset).or_default() += 1;
    }
}

/// The chip's own counters, which a driver has it write to memory. They wrap at their width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames sent.
    pub tx_ok: u64,
    /// Frames received well.
    pub rx_ok: u64,
    /// Frames not sent.
    pub tx_err: u64,
    /// Frames received badly.
    pub rx_err: u32,
    /// Frames lost for want of room.
    pub rx_missed: u16,
    /// Frames with a fraction of a byte; a model's cable has none.
    pub align_err: u16,
    /// Frames sent after one collision; a full duplex cable has none.
    pub tx_one_collision: u32,
    /// Frames sent after more.
    pub tx_multi_collision: u32,
    /// Frames received to our own address.
    pub rx_unicast: u64,
    /// Broadcast frames received.
    pub rx_broadcast: u64,
    /// Frames received to a group.
    pub rx_multicast: u32,
    /// Frames aborted while sent.
    pub tx_aborted: u16,
    /// Frames whose data came too late.
    pub tx_underrun: u16,
}

impl Tally {
    /// The 64 bytes as they stand in memory (r8169's `struct rtl8169_counters`, up to tx_underrun).
    pub fn bytes(&self) -> [u8; 64] {
        let mut out = [0; 64];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.tx_ok.to_le_bytes());
        put(&self.rx_ok.to_le_bytes());
        put(&self.tx_err.to_le_bytes());
        put(&self.rx_err.to_le_bytes());
        put(&self.rx_missed.to_le_bytes());
        put(&self.align_err.to_le_bytes());
        put(&self.tx_one_collision.to_le_bytes());
        put(&self.tx_multi_collision.to_le_bytes());
        put(&self.rx_unicast.to_le_bytes());
        put(&self.rx_broadcast.to_le_bytes());
        put(&self.rx_multicast.to_le_bytes());
        put(&self.tx_aborted.to_le_bytes());
        put(&self.tx_underrun.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_violation_log_keeps_the_last_ones_only() {
        let mut counters = Counters::new();
        for i in 0..1000 {
            counters.violation(format!("number {i}"));
        }
        assert_eq!(counters.violations, 1000);
        assert_eq!(counters.violation_log().len(), VIOLATION_LOG);
        assert_eq!(counters.violation_log().next_back(), Some("number 999"));
        assert_eq!(counters.violation_log().next(), Some("number 936"));
    }

    #[test]
    fn tally_counters_stand_where_drivers_read_them() {
        let tally = Tally {
            tx_ok: 0x11,
            rx_missed: 0x2222,
            rx_unicast: 0x33,
            rx_multicast: 0x44,
            tx_underrun: 0x5555,
            ..Tally::default()
        };
        let bytes = tally.bytes();
        assert_eq!(bytes[0], 0x11);
        assert_eq!(bytes[28..30], [0x22, 0x22]);
        assert_eq!(bytes[40], 0x33);
        assert_eq!(bytes[56], 0x44);
        assert_eq!(bytes[62..64], [0x55, 0x55]);
    }
}
