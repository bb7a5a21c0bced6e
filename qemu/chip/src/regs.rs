// SPDX-License-Identifier: GPL-2.0

//! The register map: names, places and sizes.
//!
//! The names are those of r8169's `enum rtl_registers`; `MAR4`, `Timer`, `RxMissed`, `TimerInt` and
//! `MultiIntr`, which it does not name, are called as the 8139C+/8169 documents do.

/// Bytes of the register file.
pub(crate) const FILE_SIZE: usize = 256;

macro_rules! registers {
    ($($(#[$doc:meta])* $id:ident = $offset:literal, $size:literal, $name:literal;)+) => {
        /// A register.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Reg { $($(#[$doc])* $id),+ }

        const TABLE: &[(Reg, u16, u8, &str)] = &[$((Reg::$id, $offset, $size, $name)),+];
    };
}

registers! {
    /// Station address, bytes 0 to 3 (IDR0).
    Mac0 = 0x00, 4, "MAC0";
    /// Station address, bytes 4 and 5; the word has two more bytes that mean nothing.
    Mac4 = 0x04, 4, "MAC4";
    /// Multicast filter, bytes 0 to 3.
    Mar0 = 0x08, 4, "MAR0";
    /// Multicast filter, bytes 4 to 7.
    Mar4 = 0x0c, 4, "MAR4";
    /// The address that the tally counters go to (bits 31:6), and the command for it (bit 3).
    CounterAddrLow = 0x10, 4, "CounterAddrLow";
    /// The upper half of that address.
    CounterAddrHigh = 0x14, 4, "CounterAddrHigh";
    /// Base of the normal transmit ring.
    TxDescStartAddrLow = 0x20, 4, "TxDescStartAddrLow";
    /// The upper half of it.
    TxDescStartAddrHigh = 0x24, 4, "TxDescStartAddrHigh";
    /// Base of the high priority transmit ring.
    TxHDescStartAddrLow = 0x28, 4, "TxHDescStartAddrLow";
    /// The upper half of it.
    TxHDescStartAddrHigh = 0x2c, 4, "TxHDescStartAddrHigh";
    /// Flash memory access.
    Flash = 0x30, 4, "FLASH";
    /// Early receive status; zero [guess].
    Ersr = 0x36, 1, "ERSR";
    /// Command: StopReq 0x80, reset 0x10, receiver 0x08, transmitter 0x04.
    ChipCmd = 0x37, 1, "ChipCmd";
    /// Doorbell: high priority 0x80, normal 0x40, software interrupt 0x01.
    TxPoll = 0x38, 1, "TxPoll";
    /// The interrupts that reach the line.
    IntrMask = 0x3c, 2, "IntrMask";
    /// Events since they were cleared; a one written clears.
    IntrStatus = 0x3e, 2, "IntrStatus";
    /// Transmitter settings, and the chip's identity (XID).
    TxConfig = 0x40, 4, "TxConfig";
    /// Receiver settings and filter.
    RxConfig = 0x44, 4, "RxConfig";
    /// Free running timer.
    Timer = 0x48, 4, "Timer";
    /// Frames lost for want of room.
    RxMissed = 0x4c, 4, "RxMissed";
    /// EEPROM pins and the lock of the configuration registers.
    Cfg9346 = 0x50, 1, "Cfg9346";
    /// Configuration 0, read only: the size of the boot ROM.
    Config0 = 0x51, 1, "Config0";
    /// Configuration 1.
    Config1 = 0x52, 1, "Config1";
    /// Configuration 2.
    Config2 = 0x53, 1, "Config2";
    /// Configuration 3.
    Config3 = 0x54, 1, "Config3";
    /// Configuration 4.
    Config4 = 0x55, 1, "Config4";
    /// Configuration 5.
    Config5 = 0x56, 1, "Config5";
    /// The time at which the timer interrupts.
    TimerInt = 0x58, 4, "TimerInt";
    /// Multiple interrupt select.
    MultiIntr = 0x5c, 2, "MultiIntr";
    /// Access to the PHY's registers.
    PhyAr = 0x60, 4, "PHYAR";
    /// Data of the configuration space interface that later chips have.
    CsiDr = 0x64, 4, "CSIDR";
    /// Its address and command.
    CsiAr = 0x68, 4, "CSIAR";
    /// Link, speed, duplex.
    PhyStatus = 0x6c, 1, "PHYstatus";
    /// The length above which frames are received as errors.
    RxMaxSize = 0xda, 2, "RxMaxSize";
    /// C+ command: receive checksum 0x20, VLAN stripping 0x40, interrupt unit 0x03.
    CPlusCmd = 0xe0, 2, "CPlusCmd";
    /// Interrupt mitigation.
    IntrMitigate = 0xe2, 2, "IntrMitigate";
    /// Base of the receive ring.
    RxDescAddrLow = 0xe4, 4, "RxDescAddrLow";
    /// The upper half of it.
    RxDescAddrHigh = 0xe8, 4, "RxDescAddrHigh";
    /// Longest frame to be sent, in units of 128 bytes.
    MaxTxPacketSize = 0xec, 1, "MaxTxPacketSize";
}

impl From<Reg> for u16 {
    fn from(reg: Reg) -> Self {
        reg.offset()
    }
}

/// The number of registers that the model knows.
pub const REGISTER_COUNT: usize = TABLE.len();

/// Index + 1 into [`TABLE`] for every byte of the file; 0 where nothing is known.
const BY_BYTE: [u8; FILE_SIZE] = {
    let mut map = [0u8; FILE_SIZE];
    let mut i = 0;
    while i < TABLE.len() {
        let mut byte = 0;
        while byte < TABLE[i].2 as usize {
            map[TABLE[i].1 as usize + byte] = i as u8 + 1;
            byte += 1;
        }
        i += 1;
    }
    map
};

/// Registers of later chips of the family where this one has none, as r8169 names it (`enum
/// rtl8168_8101_registers` and those of the 8168C on): drivers of the whole family may try it on
/// this chip too.
const OF_LATER_CHIPS: &[(u16, u16, &str)] = &[
    (0x6f, 0x6f, "PMCH"),
    (0x70, 0x73, "ERIDR"),
    (0x74, 0x77, "ERIAR"),
    (0x7c, 0x7f, "EPHY_RXER_NUM"),
    (0x80, 0x83, "EPHYAR"),
    (0xb0, 0xb3, "OCPDR"),
    (0xb4, 0xb7, "OCPAR"),
    (0xb8, 0xbb, "GPHY_OCP"),
    (0xd0, 0xd0, "DLLPR"),
    (0xd1, 0xd1, "DBG_REG"),
    (0xd2, 0xd2, "TWSI"),
    (0xd3, 0xd3, "MCU"),
    (0xdc, 0xdf, "EFUSEAR"),
    (0xf0, 0xf1, "MISC"),
    (0xf2, 0xf2, "MISC_1"),
];

/// The name of the register that later chips of the family have at `offset`, if this one has none
/// there.
pub fn name_on_later_chips(offset: u16) -> Option<&'static str> {
    OF_LATER_CHIPS
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&offset))
        .map(|(_, _, name)| *name)
}

impl Reg {
    /// The register that the byte at `offset` belongs to.
    pub fn at(offset: u16) -> Option<Reg> {
        let index = *BY_BYTE.get(usize::from(offset))?;
        TABLE
            .get(usize::from(index).checked_sub(1)?)
            .map(|entry| entry.0)
    }

    /// All registers, by offset.
    pub fn all() -> impl Iterator<Item = Reg> {
        TABLE.iter().map(|entry| entry.0)
    }

    /// Its first byte.
    pub fn offset(self) -> u16 {
        TABLE[self as usize].1
    }

    /// Its size in bytes.
    pub fn size(self) -> u8 {
        TABLE[self as usize].2
    }

    /// Its name, as r8169 spells it.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].3
    }
}

/// Bits of IntrMask and IntrStatus.
pub(crate) mod intr {
    pub(crate) const SYS_ERR: u16 = 0x8000;
    pub(crate) const PCS_TIMEOUT: u16 = 0x4000;
    /// The receiver's FIFO has become empty after it was full (FEmp of the data sheet; drivers do
    /// not name it).
    pub(crate) const RX_FIFO_EMPTY: u16 = 0x0200;
    pub(crate) const SW_INT: u16 = 0x0100;
    pub(crate) const TX_DESC_UNAVAIL: u16 = 0x0080;
    pub(crate) const RX_FIFO_OVER: u16 = 0x0040;
    pub(crate) const LINK_CHG: u16 = 0x0020;
    pub(crate) const RX_OVERFLOW: u16 = 0x0010;
    pub(crate) const TX_ERR: u16 = 0x0008;
    pub(crate) const TX_OK: u16 = 0x0004;
    pub(crate) const RX_ERR: u16 = 0x0002;
    pub(crate) const RX_OK: u16 = 0x0001;
    pub(crate) const ALL: u16 = SYS_ERR
        | PCS_TIMEOUT
        | RX_FIFO_EMPTY
        | SW_INT
        | TX_DESC_UNAVAIL
        | RX_FIFO_OVER
        | LINK_CHG
        | RX_OVERFLOW
        | TX_ERR
        | TX_OK
        | RX_ERR
        | RX_OK;
}

/// Bits of ChipCmd.
pub(crate) mod cmd {
    pub(crate) const STOP_REQ: u32 = 0x80;
    pub(crate) const RESET: u32 = 0x10;
    pub(crate) const RX_ENABLE: u32 = 0x08;
    pub(crate) const TX_ENABLE: u32 = 0x04;
    /// RxBufEmpty, read only: no frame is kept inside [guess].
    pub(crate) const RX_EMPTY: u32 = 0x01;
}

/// Bits of TxPoll.
pub(crate) mod poll {
    pub(crate) const HIGH: u32 = 0x80;
    pub(crate) const NORMAL: u32 = 0x40;
    pub(crate) const SW_INT: u32 = 0x01;
}

/// Bits of Cfg9346.
pub(crate) mod cfg {
    pub(crate) const MODE: u32 = 0xc0;
    pub(crate) const MODE_AUTOLOAD: u32 = 0x40;
    pub(crate) const MODE_EEPROM: u32 = 0x80;
    pub(crate) const MODE_UNLOCKED: u32 = 0xc0;
    pub(crate) const PINS: u32 = 0x0e;
    pub(crate) const CHIP_SELECT: u32 = 0x08;
    pub(crate) const CLOCK: u32 = 0x04;
    pub(crate) const DATA_IN: u32 = 0x02;
    pub(crate) const DATA_OUT: u32 = 0x01;
}

/// Bits of RxConfig.
pub(crate) mod rxcfg {
    /// A 93C56, whose addresses have eight bits, is fitted instead of a 93C46; read only.
    pub(crate) const EEPROM_93C56: u32 = 0x40;
    pub(crate) const ACCEPT_ERROR: u32 = 0x20;
    pub(crate) const ACCEPT_RUNT: u32 = 0x10;
    pub(crate) const ACCEPT_BROADCAST: u32 = 0x08;
    pub(crate) const ACCEPT_MULTICAST: u32 = 0x04;
    pub(crate) const ACCEPT_MY_PHYS: u32 = 0x02;
    pub(crate) const ACCEPT_ALL_PHYS: u32 = 0x01;
}

/// Bits of Config1.
pub(crate) mod config1 {
    /// Memory and I/O space, vital product data and power management: always set.
    pub(crate) const FIXED: u32 = 0x0f;
    /// The LEDs' mode, and two bits that the data sheet names in one of its tables only: DVRLOAD,
    /// LWACT.
    pub(crate) const WRITABLE: u32 = 0xf0;
}

/// Bits of Config2.
pub(crate) mod config2 {
    /// There is auxiliary power; read only.
    pub(crate) const AUX: u32 = 0x10;
}

/// Bits of Config3.
pub(crate) mod config3 {
    pub(crate) const MAGIC: u32 = 0x20;
    pub(crate) const LINK_UP: u32 = 0x10;
}

/// Bits of Config4.
pub(crate) mod config4 {
    /// Frames above 1518 bytes; B380 only.
    pub(crate) const JUMBO: u32 = 0x01;
}

/// Bits of Config5.
pub(crate) mod config5 {
    pub(crate) const BROADCAST: u32 = 0x40;
    pub(crate) const MULTICAST: u32 = 0x20;
    pub(crate) const UNICAST: u32 = 0x10;
}

/// Bits of CPlusCmd.
pub(crate) mod cplus {
    pub(crate) const RX_VLAN: u32 = 0x40;
    pub(crate) const RX_CHECKSUM: u32 = 0x20;
}

/// Bits of CounterAddrLow.
pub(crate) mod tally {
    pub(crate) const RESET: u32 = 0x01;
    pub(crate) const DUMP: u32 = 0x08;
    pub(crate) const ADDRESS: u32 = !0x3f;
}

/// Bits of TxConfig that a driver may change; the others are the chip's identity or reserved.
pub(crate) const TXCONFIG_WRITABLE: u32 = 0x030f_0700;
/// The loopback's mode: 0 is none, [`TXCONFIG_MAC_LOOPBACK`] one, and the other two are reserved
/// (data sheet, page 8). The 8139C+ has both bits for it.
pub(crate) const TXCONFIG_LOOPBACK: u32 = 0x0006_0000;
/// Frames that are sent come back from the MAC.
pub(crate) const TXCONFIG_MAC_LOOPBACK: u32 = 0x0002_0000;
/// Frames are sent without a check sequence.
pub(crate) const TXCONFIG_NO_CRC: u32 = 0x0001_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_do_not_overlap_and_are_found_by_every_byte() {
        let bytes: usize = Reg::all().map(|r| usize::from(r.size())).sum();
        assert_eq!(bytes, BY_BYTE.iter().filter(|&&i| i != 0).count());
        for reg in Reg::all() {
            for byte in 0..u16::from(reg.size()) {
                assert_eq!(Reg::at(reg.offset() + byte), Some(reg));
            }
            assert_eq!(reg.offset() % u16::from(reg.size()), 0, "{}", reg.name());
        }
        assert_eq!(Reg::at(0x18), None);
        assert_eq!(Reg::at(0x100), None);
        assert_eq!(Reg::at(0xffff), None);
    }
}
