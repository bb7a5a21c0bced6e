// SPDX-License-Identifier: GPL-2.0

//! PCI configuration space of the RTL8111B: header, power management (0x40), vital product data
//! (0x48), MSI (0x50) and PCI Express (0x60).
//!
//! Only what a bus does is in here; the chip behind it is another crate's. The capabilities' places
//! are inferred from drivers (Realtek's driver writes the read request size at 0x69, so PCI
//! Express is at 0x60), and places and values are those that `lspci -vv` shows of cards with a
//! 10ec:8168 rev 01; docs/chip-facts.md has the sources. Boards differ: one of 2010 has payloads of
//! 128 bytes, L0s below 128 ns and no L1 link state. What is not to be seen there is the data
//! sheet's, or marked as a guess.
#![forbid(unsafe_code)]

/// Bytes of configuration space.
pub const SIZE: usize = 4096;
/// Size of the I/O window, base address register 0.
pub const IO_SIZE: u64 = 256;
/// Size of the memory window, base address registers 2 and 3.
pub const MEMORY_SIZE: u64 = 4096;

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const PM: usize = 0x40;
const PMCSR: usize = PM + 4;
/// Vital product data, which are the EEPROM's bytes (data sheet, page 48). `lspci` finds "small
/// resource type 05" at the beginning of a real card's, which is the first byte of an EEPROM, 0x29.
/// The data sheet (page 13) has a bit for that, VPDSel of Config3, and has them begin at byte 64
/// without it.
const VPD: usize = 0x48;
const MSI: usize = 0x50;
const EXPRESS: usize = 0x60;
const VENDOR: usize = 0x84;
/// The vendor's capability, of the PCI Express block (data sheet, pages 30 to 32 and 41 to 43):
/// version 1, receive capability and control, errors masked, sizes of ROM and BAR, the credits,
/// which are the EEPROM's to say and zero here [guess], transmit capability, control, first error
/// and buffer, auxiliary capability and control, timers and logs.
const VENDOR_BYTES: [u8; 0x4c] = {
    let mut bytes = [0; 0x4c];
    let known = [
        (0x84, 0x09),
        (0x86, 0x4c),
        (0x87, 0x01),
        (0x88, 0x01),
        (0x89, 0x1c),
        (0x8c, 0xfb),
        (0x8d, 0xff),
        (0x8e, 0xff),
        (0x8f, 0x0e),
        (0x90, 0x08),
        (0x91, 0x20),
        (0x92, 0x80),
        (0xa0, 0x02),
        (0xa1, 0x28),
        (0xa2, 0xff),
        (0xa3, 0x01),
        (0xa9, 0x08),
        (0xac, 0x03),
        (0xae, 0x03),
    ];
    let mut i = 0;
    while i < known.len() {
        bytes[known[i].0 - VENDOR] = known[i].1;
        i += 1;
    }
    bytes
};

/// PMCSR, upper byte.
const PME_STATUS: u8 = 0x80;
const PME_ENABLE: u8 = 0x01;

const COMMAND_MASTER: u16 = 0x0004;
const COMMAND_INTX_OFF: u16 = 0x0400;
const STATUS_INTERRUPT: u8 = 0x08;
/// Received master abort, upper byte of the status register.
const STATUS_MASTER_ABORT: u8 = 0x20;

/// Power state as the power management capability has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Awake
    D0,
    /// Light sleep
    D1,
    /// Deeper sleep
    D2,
    /// Off but for auxiliary power
    D3Hot,
}

/// The fields of the header.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Vendor, 0x10ec for Realtek.
    pub vendor: u16,
    /// Device, 0x8168.
    pub device: u16,
    /// Revision, 0x01 for the RTL8111B.
    pub revision: u8,
}

impl Default for Identity {
    fn default() -> Self {
        Identity {
            vendor: 0x10ec,
            device: 0x8168,
            revision: 0x01,
        }
    }
}

/// Configuration space: what it holds, which bits can be written, which are cleared by writing one.
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    identity: Identity,
    bytes: Box<[u8; SIZE]>,
    writable: Box<[u8; SIZE]>,
    clearable: Box<[u8; SIZE]>,
    vpd: Vec<u8>,
}

impl ConfigSpace {
    /// Makes it as after power-on, on a card with these bytes in its EEPROM.
    pub fn new(identity: Identity, eeprom: Vec<u8>) -> Self {
        let mut space = ConfigSpace {
            identity,
            bytes: Box::new([0; SIZE]),
            writable: Box::new([0; SIZE]),
            clearable: Box::new([0; SIZE]),
            vpd: eeprom,
        };
        space.reset();
        space
    }

    /// Makes it as after power-on again.
    pub fn reset(&mut self) {
        self.bytes.fill(0);
        self.writable.fill(0);
        self.clearable.fill(0);
        let Identity {
            vendor,
            device,
            revision,
        } = self.identity;
        self.put(0x00, &vendor.to_le_bytes(), 0);
        self.put(0x02, &device.to_le_bytes(), 0);
        // I/O, memory, master, parity, SERR, INTx off (data sheet, pages 27 and 34).
        self.put(COMMAND, &[0, 0], 0);
        self.writable[COMMAND] = 0x47;
        self.writable[COMMAND + 1] = 0x05;
        // A capability list; errors are cleared by writing one.
        self.put(STATUS, &[0x10, 0], 0);
        self.clearable[STATUS + 1] = 0xf9;
        self.put(0x08, &[revision, 0, 0, 2], 0);
        self.put(0x0c, &[0], 0xff);
        // BAR 0: 256 bytes of I/O. BARs 2 and 3: 4096 bytes of 64-bit memory.
        self.put(0x10, &[0x01, 0, 0, 0], 0);
        self.put(0x18, &[0x04, 0, 0, 0, 0, 0, 0, 0], 0);
        self.writable[0x11..0x14].fill(0xff);
        self.writable[0x19] = 0xf0;
        self.writable[0x1a..0x20].fill(0xff);
        self.put(0x2c, &0x10ecu16.to_le_bytes(), 0);
        self.put(0x2e, &0x8168u16.to_le_bytes(), 0);
        self.put(0x34, &[PM as u8], 0);
        // Interrupt line is the firmware's notebook; the pin is INTA.
        self.put(0x3c, &[0], 0xff);
        self.put(0x3d, &[1], 0);
        self.reset_capabilities();
    }

    /// Returns from D3hot as a function without No_Soft_Reset does: all is as after a reset but for
    /// PME, which outlives it (PCI Bus Power Management Interface 1.2, 3.2.4).
    pub fn leave_d3hot(&mut self) {
        let pme = self.bytes[PMCSR + 1];
        self.reset();
        self.bytes[PMCSR + 1] = pme;
    }

    fn reset_capabilities(&mut self) {
        // Version 2, D1 and D2, 375 mA, PME from every state but D0.
        self.put(PM, &[0x01, VPD as u8, 0xc2, 0xf7, 0, 0, 0, 0], 0);
        self.writable[PMCSR] = 0x03;
        self.writable[PMCSR + 1] = 0x01;
        self.clearable[PMCSR + 1] = 0x80;
        self.put(VPD, &[0x03, MSI as u8], 0);
        self.put(VPD + 2, &[0; 6], 0xff);
        // Two messages, 64-bit address (FreeBSD, too, expects two).
        self.put(MSI, &[0x05, EXPRESS as u8, 0x82, 0], 0);
        self.writable[MSI + 2] = 0x71;
        self.writable[MSI + 4] = 0xfc;
        self.writable[MSI + 5..MSI + 14].fill(0xff);
        // An endpoint, version 1; payloads of 1024 bytes, latencies without limit, button and
        // indicators.
        self.put(EXPRESS, &[0x10, VENDOR as u8, 0x01, 0x00], 0);
        self.put(EXPRESS + 4, &0x0000_7fc3u32.to_le_bytes(), 0);
        // Device control: relaxed order, no snoop, read requests of 512 bytes; the status is
        // cleared by ones.
        self.put(EXPRESS + 8, &[0x10, 0x28], 0xff);
        self.writable[EXPRESS + 9] = 0x7d;
        // Auxiliary power is there, as it is where PME works from D3cold (data sheet, page 46).
        self.put(EXPRESS + 10, &[0x10, 0], 0);
        self.clearable[EXPRESS + 10] = 0x0f;
        // One lane of 2.5 GT/s, L0s and L1, latencies without limit.
        self.put(EXPRESS + 12, &0x0003_fc11u32.to_le_bytes(), 0);
        self.writable[EXPRESS + 16] = 0xc3;
        self.put(EXPRESS + 18, &0x1011u16.to_le_bytes(), 0);
        self.put(VENDOR, &VENDOR_BYTES, 0);
        // Errors masked; timers and, in part, the times of power management.
        for range in [0x8c..0x8f, 0xb0..0xb4, 0xb8..0xba] {
            self.writable[range].fill(0xff);
        }
        self.writable[0xba] = 0x03;
    }

    fn put(&mut self, at: usize, bytes: &[u8], writable: u8) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.writable[at..at + bytes.len()].fill(writable);
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// Reads; what lies beyond the end reads as all ones, as on a bus.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        for (i, byte) in into.iter_mut().enumerate() {
            let at = usize::try_from(offset).ok().and_then(|o| o.checked_add(i));
            *byte = at
                .and_then(|at| self.bytes.get(at))
                .copied()
                .unwrap_or(0xff);
        }
    }

    /// Writes what can be written.
    pub fn write(&mut self, offset: u64, from: &[u8]) {
        for (i, &byte) in from.iter().enumerate() {
            let at = usize::try_from(offset).ok().and_then(|o| o.checked_add(i));
            let Some(at) = at.filter(|&at| at < SIZE) else {
                return;
            };
            let writable = self.writable[at];
            self.bytes[at] = self.bytes[at] & !writable | byte & writable;
            self.bytes[at] &= !(byte & self.clearable[at]);
            // The upper byte of the address starts it.
            if at == VPD + 3 {
                self.product_data();
            }
        }
    }

    /// Four bytes of vital product data are read (and bit 15 then shows it) or written (and it
    /// clears). The address is that of a double word (data sheet, page 48): its lowest two bits do
    /// not count [guess], nor is there anything behind the data's end, which reads as zeroes
    /// [guess]. The data sheet has what is written reach the EEPROM; here it shows here only.
    fn product_data(&mut self) {
        let register = self.word(VPD + 2);
        let at = usize::from(register & 0x7ffc);
        let write = register & 0x8000 != 0;
        for i in 0..4 {
            let held = self.vpd.get_mut(at + i);
            match (write, held) {
                (true, Some(held)) => *held = self.bytes[VPD + 4 + i],
                (true, None) => {}
                (false, held) => self.bytes[VPD + 4 + i] = held.map_or(0, |held| *held),
            }
        }
        self.bytes[VPD + 3] ^= 0x80;
    }

    /// Returns whether the device may start transfers.
    pub fn bus_master(&self) -> bool {
        self.word(COMMAND) & COMMAND_MASTER != 0
    }

    /// Returns whether the INTx line is cut off (command bit 10).
    pub fn intx_off(&self) -> bool {
        self.word(COMMAND) & COMMAND_INTX_OFF != 0
    }

    /// Returns whether messages take the line's place.
    pub fn msi(&self) -> bool {
        self.bytes[MSI + 2] & 1 != 0
    }

    /// The power state that was last asked for.
    pub fn power(&self) -> Power {
        match self.bytes[PMCSR] & 3 {
            0 => Power::D0,
            1 => Power::D1,
            2 => Power::D2,
            _ => Power::D3Hot,
        }
    }

    /// Shows the interrupt's level (status bit 3), whether or not it gets out.
    pub fn show_interrupt(&mut self, level: bool) {
        self.bytes[STATUS] &= !STATUS_INTERRUPT;
        if level {
            self.bytes[STATUS] |= STATUS_INTERRUPT;
        }
    }

    /// The card asks for PME. True if software has enabled it; it is raised then.
    pub fn call_for_power(&mut self) -> bool {
        self.bytes[PMCSR + 1] |= PME_STATUS;
        self.bytes[PMCSR + 1] & PME_ENABLE != 0
    }

    /// Returns whether PME's status is set, and whether it is let out.
    pub fn pme(&self) -> (bool, bool) {
        let bits = self.bytes[PMCSR + 1];
        (bits & PME_STATUS != 0, bits & PME_ENABLE != 0)
    }

    /// Shows that a transfer was not answered (status bit 13).
    pub fn show_master_abort(&mut self) {
        self.bytes[STATUS + 1] |= STATUS_MASTER_ABORT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(space: &ConfigSpace, at: u64) -> u32 {
        let mut bytes = [0; 4];
        space.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn space() -> ConfigSpace {
        ConfigSpace::new(Identity::default(), (0..128).collect())
    }

    #[test]
    fn identity_and_class() {
        let mut space = space();
        assert_eq!(long(&space, 0), 0x8168_10ec);
        assert_eq!(long(&space, 8), 0x0200_0001);
        space.write(0, &[0; 4]);
        space.write(8, &[0xff; 4]);
        assert_eq!(long(&space, 0), 0x8168_10ec);
        assert_eq!(long(&space, 8), 0x0200_0001);
        assert_eq!((long(&space, 0x3c) >> 8) & 0xff, 1);
    }

    #[test]
    fn base_addresses_tell_their_sizes() {
        let mut space = space();
        for at in [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30] {
            space.write(at, &[0xff; 4]);
        }
        assert_eq!(long(&space, 0x10), 0xffff_ff01);
        assert_eq!(long(&space, 0x14), 0);
        assert_eq!(long(&space, 0x18), 0xffff_f004);
        assert_eq!(long(&space, 0x1c), 0xffff_ffff);
        assert_eq!(long(&space, 0x20), 0);
        assert_eq!(long(&space, 0x30), 0);
    }

    #[test]
    fn capabilities_are_chained() {
        let space = space();
        assert_eq!(long(&space, 0x34) & 0xff, 0x40);
        let mut seen = Vec::new();
        let mut at = 0x40;
        while at != 0 {
            let head = long(&space, at);
            seen.push((at, head & 0xff));
            at = u64::from((head >> 8) & 0xff);
        }
        let expected = [(0x40, 1), (0x48, 3), (0x50, 5), (0x60, 0x10), (0x84, 9)];
        assert_eq!(seen, expected);
        // No extended capabilities.
        assert_eq!(long(&space, 0x100), 0);
    }

    /// `lspci -vv` of an ASUS notebook of 2007 with a 10ec:8168 rev 01.
    #[test]
    fn capabilities_are_those_of_a_real_card() {
        let space = space();
        assert_eq!(
            long(&space, 0x40) >> 16,
            0xf7c2,
            "PME from D1, D2, D3hot, D3cold"
        );
        assert_eq!(long(&space, 0x50) >> 16, 0x0082, "two messages");
        assert_eq!(long(&space, 0x64), 0x0000_7fc3);
        assert_eq!(long(&space, 0x68) & 0xffff, 0x2810);
        assert_eq!(long(&space, 0x6c), 0x0003_fc11);
    }

    /// The data sheet, pages 30 to 32 and 41 to 43.
    #[test]
    fn the_vendors_capability() {
        let mut space = space();
        for (at, value) in [
            (0x84, 0x014c_0009),
            (0x88, 0x0000_1c01),
            (0x8c, 0x0eff_fffb),
            (0x90, 0x0080_2008),
            (0xa0, 0x01ff_2802),
            (0xa8, 0x0000_0800),
            (0xac, 0x0003_0003),
            (0xcc, 0),
            (0xd0, 0),
        ] {
            assert_eq!(long(&space, at), value, "{at:#x}");
        }
        space.write(0x88, &[0xff; 0x48]);
        assert_eq!(long(&space, 0x88), 0x0000_1c01);
        assert_eq!(long(&space, 0x8c), 0x0eff_ffff);
        assert_eq!(
            (long(&space, 0xb0), long(&space, 0xb8)),
            (u32::MAX, 0x0003_ffff)
        );
    }

    #[test]
    fn bits_that_cannot_be_written() {
        let mut space = space();
        space.write(0x68, &[0xff; 4]);
        space.write(0x70, &[0xff; 2]);
        assert_eq!(
            long(&space, 0x68),
            0x0010_7dff,
            "no phantom functions; auxiliary power"
        );
        assert_eq!(long(&space, 0x70) & 0xffff, 0x00c3);
    }

    #[test]
    fn command_register_bits() {
        let mut space = space();
        assert!(!space.bus_master() && !space.intx_off());
        space.write(4, &[0xff, 0xff]);
        assert!(space.bus_master() && space.intx_off());
        assert_eq!(long(&space, 4) & 0xffff, 0x0547);
        space.reset();
        assert!(!space.bus_master());
    }

    #[test]
    fn status_shows_the_interrupt_and_clears_errors_by_ones() {
        let mut space = space();
        space.show_interrupt(true);
        space.show_master_abort();
        assert_eq!(long(&space, 4) >> 16, 0x2018);
        space.write(6, &[0xff, 0xff]);
        assert_eq!(long(&space, 4) >> 16, 0x0018);
        space.show_interrupt(false);
        assert_eq!(long(&space, 4) >> 16, 0x0010);
    }

    #[test]
    fn power_states_are_kept() {
        let mut space = space();
        assert_eq!(space.power(), Power::D0);
        for (value, power) in [
            (1, Power::D1),
            (2, Power::D2),
            (3, Power::D3Hot),
            (0, Power::D0),
        ] {
            space.write(0x44, &[value, 0]);
            assert_eq!(space.power(), power);
        }
    }

    #[test]
    fn calling_for_power() {
        let mut space = space();
        assert!(!space.call_for_power(), "PME is not enabled");
        assert_eq!(space.pme(), (true, false));
        space.write(0x45, &[0x81]);
        assert_eq!(space.pme(), (false, true), "cleared by a one, and enabled");
        assert!(space.call_for_power());
        assert_eq!(long(&space, 0x44) >> 8, 0x81);
    }

    #[test]
    fn d3hot_forgets_all_but_pme() {
        let mut space = space();
        space.write(4, &[0x07, 0x04]);
        space.write(0x45, &[0x01]);
        assert!(space.call_for_power());
        space.leave_d3hot();
        assert_eq!(long(&space, 4) & 0xffff, 0);
        assert_eq!(space.pme(), (true, true));
        assert_eq!(space.power(), Power::D0);
        assert_eq!(long(&space, 0x44) & 8, 0, "No_Soft_Reset");
    }

    fn product(space: &mut ConfigSpace, at: u16) -> [u8; 4] {
        space.write(0x4a, &at.to_le_bytes());
        assert_eq!(long(space, 0x48) >> 31, 1, "done");
        long(space, 0x4c).to_le_bytes()
    }

    #[test]
    fn vital_product_data() {
        let mut space = space();
        for (at, bytes) in [
            (0, [0, 1, 2, 3]),
            (5, [4, 5, 6, 7]),
            (126, [124, 125, 126, 127]),
            (128, [0; 4]),
        ] {
            assert_eq!(product(&mut space, at), bytes);
        }
        assert_eq!(product(&mut space, 0x7ffc), [0; 4]);
        space.write(0x4c, b"Imit");
        space.write(0x4a, &0x8004u16.to_le_bytes());
        assert_eq!(long(&space, 0x48) >> 31, 0, "written");
        assert_eq!(&product(&mut space, 4), b"Imit");
        space.write(0x4a, &0xfffcu16.to_le_bytes());
    }

    #[test]
    fn msi_and_read_request() {
        let mut space = space();
        assert!(!space.msi());
        space.write(0x52, &[0x01, 0]);
        assert!(space.msi());
        assert_eq!(long(&space, 0x50) >> 16, 0x0083);
        space.write(0x54, &[0xff; 12]);
        assert_eq!(long(&space, 0x54), 0xffff_fffc);
        assert_eq!(long(&space, 0x5c), 0xffff);
        space.write(0x69, &[0x58]);
        assert_eq!((long(&space, 0x68) >> 8) & 0xff, 0x58);
    }

    #[test]
    fn accesses_beyond_the_end_do_no_harm() {
        let mut space = space();
        let mut bytes = [0; 8];
        space.read(4092, &mut bytes);
        assert_eq!(bytes, [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        space.read(u64::MAX, &mut bytes);
        assert_eq!(bytes, [0xff; 8]);
        space.write(u64::MAX, &[0; 4]);
        space.write(4095, &[1; 100]);
    }
}
