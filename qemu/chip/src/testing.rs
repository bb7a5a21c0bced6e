// SPDX-License-Identifier: GPL-2.0

//! A made guest memory and a made cable for the unit tests.

use std::collections::VecDeque;

use crate::bus::Bus;
use crate::bus::BusError;
use crate::chip::Chip;
use crate::config::Config;
use crate::config::Width;
use crate::faults::FaultConfig;
use crate::regs::Reg;

pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x81, 0x68, 0x01];
/// The address at which the made memory begins.
pub(crate) const MEMORY: u64 = 0x10_0000;

impl Reg {
    /// The offset of one of its bytes.
    pub(crate) fn byte(self, index: u16) -> u16 {
        assert!(index < self.size().into());
        self.offset() + index
    }
}

/// One megabyte of memory, and a cable that keeps what is sent.
pub(crate) struct Guest {
    pub(crate) memory: Vec<u8>,
    pub(crate) sent: VecDeque<Vec<u8>>,
    pub(crate) ready: bool,
    pub(crate) accesses: usize,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Guest {
            memory: vec![0; 1 << 20],
            sent: VecDeque::new(),
            ready: true,
            accesses: 0,
        }
    }

    fn slice(&mut self, address: u64, len: usize) -> Result<&mut [u8], BusError> {
        self.accesses += 1;
        let from = address.checked_sub(MEMORY).ok_or(BusError::Unmapped)?;
        let from = usize::try_from(from).map_err(|_| BusError::Unmapped)?;
        let to = from.checked_add(len).ok_or(BusError::Unmapped)?;
        self.memory.get_mut(from..to).ok_or(BusError::Unmapped)
    }

    pub(crate) fn put(&mut self, address: u64, bytes: &[u8]) {
        let from = (address - MEMORY) as usize;
        self.memory[from..from + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn get(&self, address: u64, len: usize) -> &[u8] {
        let from = (address - MEMORY) as usize;
        &self.memory[from..from + len]
    }

    pub(crate) fn desc(&mut self, ring: u64, index: u64, opts1: u32, opts2: u32, buffer: u64) {
        let at = ring + index * 16;
        self.put(at, &opts1.to_le_bytes());
        self.put(at + 4, &opts2.to_le_bytes());
        self.put(at + 8, &buffer.to_le_bytes());
    }

    pub(crate) fn opts(&self, ring: u64, index: u64) -> (u32, u32) {
        let word = |at| u32::from_le_bytes(self.get(at, 4).try_into().unwrap());
        (word(ring + index * 16), word(ring + index * 16 + 4))
    }
}

impl Bus for Guest {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError> {
        into.copy_from_slice(self.slice(address, into.len())?);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError> {
        self.slice(address, from.len())?.copy_from_slice(from);
        Ok(())
    }

    fn load(&mut self, address: u64) -> Result<u32, BusError> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn store(&mut self, address: u64, value: u32) -> Result<(), BusError> {
        self.write(address, &value.to_le_bytes())
    }

    fn cable_ready(&mut self) -> bool {
        self.ready
    }

    fn transmit(&mut self, frame: &[u8]) {
        self.sent.push_back(frame.to_vec());
    }
}

/// A chip and its guest.
pub(crate) struct Bench {
    pub(crate) chip: Chip,
    pub(crate) guest: Guest,
}

pub(crate) const TX_RING: u64 = MEMORY;
pub(crate) const TXH_RING: u64 = MEMORY + 0x4000;
pub(crate) const RX_RING: u64 = MEMORY + 0x8000;
pub(crate) const BUFFERS: u64 = MEMORY + 0x1_0000;

impl Bench {
    pub(crate) fn new() -> Self {
        Bench::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut bench = Bench {
            chip: Chip::new(config),
            guest: Guest::new(),
        };
        bench.master(true);
        bench
    }

    /// A chip that a driver has opened, with its rings in place.
    pub(crate) fn open(config: Config) -> Self {
        let mut bench = Bench::with(config);
        bench.w32(Reg::TxDescStartAddrHigh, 0);
        bench.w32(Reg::TxDescStartAddrLow, TX_RING as u32);
        bench.w32(Reg::TxHDescStartAddrHigh, 0);
        bench.w32(Reg::TxHDescStartAddrLow, TXH_RING as u32);
        bench.w32(Reg::RxDescAddrHigh, 0);
        bench.w32(Reg::RxDescAddrLow, RX_RING as u32);
        bench.w16(Reg::RxMaxSize, 0x4000);
        bench.w8(Reg::MaxTxPacketSize, 0x3f);
        bench.w8(Reg::ChipCmd, 0x0c);
        bench.w32(Reg::RxConfig, 0xe70a);
        bench
    }

    pub(crate) fn w8(&mut self, at: impl Into<u16>, value: u8) {
        self.chip
            .write(&mut self.guest, at.into(), Width::Byte, value.into());
    }

    pub(crate) fn w16(&mut self, at: impl Into<u16>, value: u16) {
        self.chip
            .write(&mut self.guest, at.into(), Width::Word, value.into());
    }

    pub(crate) fn w32(&mut self, at: impl Into<u16>, value: u32) {
        self.chip
            .write(&mut self.guest, at.into(), Width::Long, value);
    }

    pub(crate) fn r8(&mut self, at: impl Into<u16>) -> u8 {
        self.chip.read(at.into(), Width::Byte) as u8
    }

    pub(crate) fn r16(&mut self, at: impl Into<u16>) -> u16 {
        self.chip.read(at.into(), Width::Word) as u16
    }

    pub(crate) fn r32(&mut self, at: impl Into<u16>) -> u32 {
        self.chip.read(at.into(), Width::Long)
    }

    pub(crate) fn tick(&mut self, now: u64) {
        self.chip.tick(&mut self.guest, now);
    }

    pub(crate) fn master(&mut self, on: bool) {
        self.chip.set_bus_master(&mut self.guest, on);
    }

    pub(crate) fn fault(&mut self, config: FaultConfig) {
        self.chip.fault(&mut self.guest, config);
    }

    pub(crate) fn violations(&self) -> u64 {
        self.chip.counters().violations
    }

    pub(crate) fn last_violation(&self) -> &str {
        self.chip
            .counters()
            .violation_log()
            .next_back()
            .unwrap_or("")
    }
}

/// An Ethernet frame with an IPv4 packet of `size` bytes of data whose checksums are wrong.
pub(crate) fn packet(protocol: u8, size: usize) -> Vec<u8> {
    let header = if protocol == crate::offload::TCP {
        20
    } else {
        8
    };
    let mut frame = Vec::new();
    frame.extend_from_slice(&[0x02, 0, 0, 0, 0, 9]);
    frame.extend_from_slice(&MAC);
    frame.extend_from_slice(&[8, 0]);
    frame.extend_from_slice(&[0x45, 0]);
    frame.extend_from_slice(&((20 + header + size) as u16).to_be_bytes());
    frame.extend_from_slice(&[
        0, 7, 0x40, 0, 64, protocol, 0xde, 0xad, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    frame.extend_from_slice(&[0x30, 0x39, 0, 80]);
    if protocol == crate::offload::TCP {
        frame.extend_from_slice(&[
            0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0xbe, 0xef, 0, 0,
        ]);
    } else {
        frame.extend_from_slice(&((8 + size) as u16).to_be_bytes());
        frame.extend_from_slice(&[0xbe, 0xef]);
    }
    frame.extend((0..size).map(|i| i as u8));
    frame
}
