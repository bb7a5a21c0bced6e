// SPDX-License-Identifier: GPL-2.0

//! A guest's memory that records what is written where.

use rtl8111b_chip::Bus;
use rtl8111b_chip::BusError;
use rtl8111b_chip::Chip;

/// Bytes of memory, from address zero.
pub(crate) const SIZE: usize = 0x1_0000;
pub(crate) const TX_RING: u32 = 0x1000;
pub(crate) const TX_HIGH: u32 = 0x2000;
pub(crate) const RX_RING: u32 = 0x3000;
/// The address at which seeds have the tally counters; the receive ring ends there.
pub(crate) const COUNTERS: u32 = 0x7000;
/// Descriptors in each.
pub(crate) const COUNT: u64 = 16;
/// Buffers are from here on.
pub(crate) const BUFFERS: u64 = 0x8000;

/// The limit of accesses of one act. A ring of 1024 descriptors is looked at once per doorbell; a
/// frame with a 1024th of room in each descriptor touches each four times.
const ACCESSES: usize = 64 * 1024;

/// Numbers out of the fuzzer's bytes; zeroes when they are used up.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Bytes(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// Returns as many as there are, and zeroes behind them.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.u8()).collect()
    }

    /// Mostly registers, now and then any offset.
    pub(crate) fn offset(&mut self) -> u16 {
        let byte = self.u8();
        if byte == 0xff {
            self.u16()
        } else {
            byte.into()
        }
    }
}

/// The memory of a guest that has not run yet: a packet at the beginning of each page of buffers,
/// of TCP and UDP in turn. Without them no checksum was ever summed and no large send cut up: that
/// a fuzzer puts a whole header where a descriptor points is too rare.
pub(crate) fn memory() -> Vec<u8> {
    const LENGTHS: [u16; 8] = [40, 28, 1000, 200, 3000, 1480, 60, 576];
    let mut memory = vec![0; SIZE];
    let pages = memory.chunks_mut(4096).skip(BUFFERS as usize / 4096);
    for (index, (page, length)) in pages.zip(LENGTHS).enumerate() {
        let protocol = if index % 2 == 0 { 6 } else { 17 };
        let [high, low] = length.to_be_bytes();
        page[..6].fill(0xff);
        page[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, high, low]);
        page[22..24].copy_from_slice(&[64, protocol]);
        // Data offset of a TCP header without options.
        page[46] = 0x50;
    }
    memory
}

pub(crate) struct Guest {
    memory: Vec<u8>,
    pub(crate) ready: bool,
    pub(crate) now: u64,
    /// Writes are compared with what the descriptors permit.
    pub(crate) watched: bool,
    allowed: Vec<(u64, u64)>,
    accesses: usize,
    sent: usize,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Guest {
            memory: memory(),
            ready: true,
            now: 0,
            watched: false,
            allowed: Vec::new(),
            accesses: 0,
            sent: 0,
        }
    }

    pub(crate) fn poke(&mut self, at: usize, value: u32) {
        if let Some(place) = self.memory.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn word(&self, at: u64) -> u32 {
        let at = at as usize;
        let bytes = self.memory.get(at..at + 4).and_then(|b| b.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or([0; 4]))
    }

    /// Three rings of descriptors: whatever the bytes say, but that buffers are not in the rings,
    /// so that what the chip may write is known beforehand.
    pub(crate) fn fill_rings(&mut self, bytes: &mut Bytes<'_>) {
        for ring in [TX_RING, TX_HIGH, RX_RING] {
            for index in 0..COUNT as u32 {
                let at = (ring + index * 16) as usize;
                let end = if index + 1 == COUNT as u32 {
                    1 << 30
                } else {
                    0
                };
                self.poke(at, bytes.u32() | end);
                self.poke(at + 4, bytes.u32());
                self.poke(at + 8, u32::from(bytes.u16()) | BUFFERS as u32);
                // Some buffers are where no memory is.
                let high = bytes.u8();
                self.poke(at + 12, if high > 0xf0 { high.into() } else { 0 });
            }
        }
    }

    /// Before an act: what the chip may write in it.
    pub(crate) fn begin(&mut self) {
        self.accesses = 0;
        self.sent = 0;
        self.allowed.clear();
        for ring in [TX_RING, TX_HIGH, RX_RING] {
            let ring = u64::from(ring);
            self.allowed.push((ring, ring + COUNT * 16));
        }
        for index in 0..COUNT {
            let at = u64::from(RX_RING) + index * 16;
            let opts1 = self.word(at);
            if opts1 >> 31 != 0 {
                let high = u64::from(self.word(at + 12)) << 32;
                let buffer = (high | u64::from(self.word(at + 8))) & !7;
                self.allowed
                    .push((buffer, buffer + u64::from(opts1 & 0x3fff)));
            }
        }
    }

    /// After an act: what is left to be sent is sent, in a bounded number of steps.
    pub(crate) fn settle(&mut self, chip: &mut Chip) {
        let mut steps = 0;
        while self.ready && chip.sending() {
            self.accesses = 0;
            self.sent = 0;
            chip.resume(self);
            steps += 1;
            assert!(steps < 1000, "sending never ends");
        }
    }

    fn touch(&mut self, address: u64, len: usize) -> Result<std::ops::Range<usize>, BusError> {
        self.accesses += 1;
        assert!(
            self.accesses < ACCESSES,
            "one act accesses memory without end"
        );
        let from = usize::try_from(address).map_err(|_| BusError::Unmapped)?;
        let to = from.checked_add(len).ok_or(BusError::Unmapped)?;
        if to > SIZE {
            return Err(BusError::Unmapped);
        }
        Ok(from..to)
    }
}

impl Bus for Guest {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError> {
        let range = self.touch(address, into.len())?;
        into.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError> {
        let range = self.touch(address, from.len())?;
        let end = address + from.len() as u64;
        if self.watched {
            let permitted = |&(first, last): &(u64, u64)| first <= address && end <= last;
            assert!(
                self.allowed.iter().any(permitted),
                "{} bytes written at {address:#x}, which no descriptor permits",
                from.len()
            );
        }
        self.memory[range].copy_from_slice(from);
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
        assert!(frame.len() <= 0x1_0004, "a frame of {} bytes", frame.len());
        self.sent += 1;
        assert!(self.sent < 1024 * 1025, "one act sends without end");
    }
}
