// SPDX-License-Identifier: GPL-2.0

//! The meaning of a register's value in words, for people who read traces.

use crate::regs::Reg;

/// Bits that are shown by name when they are set.
type Bits = &'static [(u32, &'static str)];

const INTERRUPTS: Bits = &[
    (0x8000, "SYSErr"),
    (0x4000, "PCSTimeout"),
    (0x0200, "FEmp"),
    (0x0100, "SWInt"),
    (0x0080, "TxDescUnavail"),
    (0x0040, "RxFIFOOver"),
    (0x0020, "LinkChg"),
    (0x0010, "RxOverflow"),
    (0x0008, "TxErr"),
    (0x0004, "TxOK"),
    (0x0002, "RxErr"),
    (0x0001, "RxOK"),
];

const COMMAND: Bits = &[
    (0x80, "StopReq"),
    (0x10, "Reset"),
    (0x08, "RxEnb"),
    (0x04, "TxEnb"),
    (0x01, "RxBufEmpty"),
];

const DOORBELL: Bits = &[(0x80, "HPQ"), (0x40, "NPQ"), (0x01, "FSWInt")];

const RX_CONFIG: Bits = &[
    (0x20, "AcceptErr"),
    (0x10, "AcceptRunt"),
    (0x08, "AcceptBroadcast"),
    (0x04, "AcceptMulticast"),
    (0x02, "AcceptMyPhys"),
    (0x01, "AcceptAllPhys"),
];

const CPLUS: Bits = &[
    (0x8000, "EnableBist"),
    (0x2000, "Normal_mode"),
    (0x0040, "RxVlan"),
    (0x0020, "RxChkSum"),
    (0x0010, "PCIDAC"),
    (0x0008, "PCIMulRW"),
];

const CONFIG1: Bits = &[
    (0x80, "LEDS1"),
    (0x40, "LEDS0"),
    (0x20, "DVRLoad"),
    (0x10, "LWACT"),
    (0x08, "MEMMAP"),
    (0x04, "IOMAP"),
    (0x02, "VPD"),
    (0x01, "PMEnable"),
];

const CONFIG3: Bits = &[(0x20, "MagicPacket"), (0x10, "LinkUp"), (0x01, "Beacon_en")];

const CONFIG5: Bits = &[
    (0x40, "BWF"),
    (0x20, "MWF"),
    (0x10, "UWF"),
    (0x02, "LanWake"),
    (0x01, "PMEStatus"),
];

const PHY_STATUS: Bits = &[
    (0x40, "TxFlow"),
    (0x20, "RxFlow"),
    (0x10, "1000bpsF"),
    (0x08, "100bps"),
    (0x04, "10bps"),
    (0x02, "LinkStatus"),
    (0x01, "FullDup"),
];

const TALLY: Bits = &[(0x08, "CounterDump"), (0x01, "CounterReset")];

fn set(bits: Bits, value: u32) -> Vec<String> {
    bits.iter()
        .filter(|bit| value & bit.0 != 0)
        .map(|bit| bit.1.to_owned())
        .collect()
}

fn bursts(value: u32) -> String {
    match (value >> 8) & 7 {
        7 => "burst unlimited".to_owned(),
        shift => format!("burst {}", 16 << shift),
    }
}

impl Reg {
    /// The fields of `value`, those that are set or that are numbers.
    pub fn fields(self, value: u32) -> Vec<String> {
        match self {
            Reg::IntrMask | Reg::IntrStatus => set(INTERRUPTS, value),
            Reg::ChipCmd => set(COMMAND, value),
            Reg::TxPoll => set(DOORBELL, value),
            Reg::TxConfig => {
                let mut fields = vec![
                    format!("XID {:03x}", (value >> 20) & 0xfcf),
                    format!("IFG {}", (value >> 24) & 3),
                    bursts(value),
                ];
                if value & 0x6_0000 != 0 {
                    fields.push(format!("loopback {}", (value >> 17) & 3));
                }
                fields
            }
            Reg::RxConfig => {
                let mut fields = set(RX_CONFIG, value);
                fields.push(match (value >> 13) & 7 {
                    7 => "no FIFO threshold".to_owned(),
                    shift => format!("FIFO threshold {}", 16 << shift),
                });
                fields.push(bursts(value));
                fields
            }
            Reg::Cfg9346 => vec![match value & 0xc0 {
                0x00 => "locked".to_owned(),
                0x40 => "autoload".to_owned(),
                0x80 => format!(
                    "EEPROM: CS {} SK {} DI {} DO {}",
                    (value >> 3) & 1,
                    (value >> 2) & 1,
                    (value >> 1) & 1,
                    value & 1
                ),
                _ => "unlocked".to_owned(),
            }],
            Reg::Config1 => set(CONFIG1, value),
            Reg::Config3 => set(CONFIG3, value),
            Reg::Config5 => set(CONFIG5, value),
            Reg::PhyAr => vec![format!(
                "{} MII {} {:#06x}",
                if value >> 31 != 0 { "1," } else { "0," },
                (value >> 16) & 0x1f,
                value & 0xffff
            )],
            Reg::PhyStatus => set(PHY_STATUS, value),
            Reg::CPlusCmd => {
                let mut fields = set(CPLUS, value);
                fields.push(format!("timer unit {}", value & 3));
                fields
            }
            Reg::IntrMitigate => vec![
                format!("TX {} units {} frames", value >> 12, (value >> 8) & 15),
                format!("RX {} units {} frames", (value >> 4) & 15, value & 15),
            ],
            Reg::CounterAddrLow => set(TALLY, value),
            Reg::MaxTxPacketSize => vec![format!("{} bytes", value * 128)],
            Reg::RxMaxSize => vec![format!("{value} bytes")],
            _ => Vec::new(),
        }
    }

    /// It holds an address of the guest's memory or a time: two runs differ in it for no reason.
    pub fn is_incidental(self) -> bool {
        matches!(
            self,
            Reg::CounterAddrLow
                | Reg::CounterAddrHigh
                | Reg::TxDescStartAddrLow
                | Reg::TxDescStartAddrHigh
                | Reg::TxHDescStartAddrLow
                | Reg::TxHDescStartAddrHigh
                | Reg::RxDescAddrLow
                | Reg::RxDescAddrHigh
                | Reg::Timer
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_in_the_peers_words() {
        assert_eq!(Reg::IntrStatus.fields(0x25), ["LinkChg", "TxOK", "RxOK"]);
        assert_eq!(Reg::ChipCmd.fields(0x0c), ["RxEnb", "TxEnb"]);
        assert_eq!(
            Reg::TxConfig.fields(0x3b00_0700),
            ["XID 380", "IFG 3", "burst unlimited"]
        );
        assert_eq!(Reg::PhyAr.fields(0x8010_f41b), ["1, MII 16 0xf41b"]);
        assert_eq!(Reg::Cfg9346.fields(0xc0), ["unlocked"]);
        assert!(Reg::Timer.is_incidental() && !Reg::RxConfig.is_incidental());
    }
}
