// SPDX-License-Identifier: GPL-2.0

//! The registers of the RTL8111B that the driver uses, in the memory BAR.
//!
//! Names and meanings are those of r8169 and of Realtek's r8168; where a data sheet has another
//! name, it is noted. Offsets up to 0xff; all registers are little endian.
//!
//! Glossary: IDR = MAC address, MAR = multicast hash, ISR/IMR = interrupt status/mask, RMS = RX
//! maximum size, MDIO = the management bus of the PHY, 93C46 = the EEPROM that the chip loads from.

use crate::net::mmio::register;

register! {
    /// Bytes 0 to 3 of the MAC address, the first in the lowest bits. Locked by `CFG_9346`.
    pub(super) IDR0(u32) @ 0x00 {
        31:0 bytes;
    }

    /// Bytes 4 and 5 of the MAC address. Locked by `CFG_9346`.
    pub(super) IDR4(u32) @ 0x04 {
        15:0 bytes;
    }

    /// Upper half of the multicast hash, byte-swapped; see `RxFilter`.
    pub(super) MAR0(u32) @ 0x08 {
        31:0 bits;
    }

    /// Lower half of the multicast hash, byte-swapped.
    pub(super) MAR4(u32) @ 0x0c {
        31:0 bits;
    }

    /// CounterAddrLow: where the tally counters go, and the command for it; see `tally`.
    pub(super) COUNTER_LOW(u32) @ 0x10 {
        31:6 address;
        /// Write the counters to memory; clears itself.
        3:3 dump => bool;
    }

    /// CounterAddrHigh; written before the lower half.
    pub(super) COUNTER_HIGH(u32) @ 0x14 {
        31:0 address;
    }

    /// Address of the TX descriptors, lower half; 256-byte aligned.
    pub(super) TX_RING_LOW(u32) @ 0x20 {
        31:0 address;
    }

    /// Address of the TX descriptors, upper half; written before the lower.
    pub(super) TX_RING_HIGH(u32) @ 0x24 {
        31:0 address;
    }

    /// ChipCmd.
    pub(super) CHIP_CMD(u8) @ 0x37 {
        /// Finish what is being sent and stop (B380).
        7:7 stop_request => bool;
        /// Reset; clears itself.
        4:4 reset => bool;
        3:3 rx_enable => bool;
        2:2 tx_enable => bool;
    }

    /// TxPoll, the doorbell.
    pub(super) TX_POLL(u8) @ 0x38 {
        /// There are frames in the normal priority ring.
        6:6 normal => bool;
        /// Raise [`event::SOFTWARE`] (FSWInt).
        0:0 software_interrupt => bool;
    }

    /// IMR: which bits of `INTR_STATUS` drive the interrupt line.
    pub(super) INTR_MASK(u16) @ 0x3c {
        15:0 events;
    }

    /// ISR: what has happened; a bit is cleared by writing 1.
    pub(super) INTR_STATUS(u16) @ 0x3e {
        15:0 events;
    }

    /// TxConfig; the bits that are not ours identify the chip.
    pub(super) TX_CONFIG(u32) @ 0x40 {
        /// Inter-frame gap: 3 is the standard one.
        25:24 inter_frame_gap;
        /// Loopback: frames to be sent are received, and do not leave the MAC (TxMACLoopBack of
        /// Realtek's r8168).
        17:17 loopback => bool;
        /// The largest DMA burst, 16 << n bytes; 7 is unlimited.
        10:8 dma_burst;
    }

    /// RxConfig.
    pub(super) RX_CONFIG(u32) @ 0x44 {
        /// RX FIFO threshold; 7 is the whole frame.
        15:13 fifo_threshold;
        /// The largest DMA burst, 16 << n bytes; 7 is unlimited.
        10:8 dma_burst;
        /// Accept frames in error.
        5:5 accept_error => bool;
        /// Accept runts.
        4:4 accept_runt => bool;
        3:3 accept_broadcast => bool;
        2:2 accept_multicast => bool;
        /// Accept frames to the MAC address.
        1:1 accept_own => bool;
        /// Accept frames to any unicast address.
        0:0 accept_all => bool;
    }

    /// Cfg9346: 0xc0 unlocks IDR and the Config registers, 0 locks them, 0x80 connects the pins of
    /// the EEPROM with the bits below.
    pub(super) CFG_9346(u8) @ 0x50 {
        7:6 mode;
        /// Chip select.
        3:3 select => bool;
        /// Clock.
        2:2 clock => bool;
        /// Data to the EEPROM.
        1:1 data_in => bool;
        /// Data from the EEPROM.
        0:0 data_out => bool;
    }

    /// Config3.
    pub(super) CONFIG3(u8) @ 0x54 {
        /// A magic packet wakes.
        5:5 wake_magic => bool;
        /// The link coming up wakes.
        4:4 wake_link => bool;
        /// Something about beacons that r8169 clears at each start; no document explains it.
        0:0 beacon => bool;
    }

    /// Config4.
    pub(super) CONFIG4(u8) @ 0x55 {
        /// Frames of more than 1518 bytes (B380).
        0:0 jumbo => bool;
    }

    /// Config5.
    pub(super) CONFIG5(u8) @ 0x56 {
        /// A broadcast frame wakes.
        6:6 wake_broadcast => bool;
        /// A frame to a group wakes.
        5:5 wake_multicast => bool;
        /// A frame to the MAC address wakes.
        4:4 wake_unicast => bool;
        /// LanWake: the pin that wakes the board is driven.
        1:1 lan_wake => bool;
    }

    /// PHYAR: access to the registers of the PHY.
    pub(super) PHY_ACCESS(u32) @ 0x60 {
        /// Written 1 to write and 0 to read; it flips when the access is done.
        31:31 flag => bool;
        20:16 register;
        15:0 data;
    }

    /// PHYstatus: the state of the link, as the PHY reports it to the MAC.
    pub(super) PHY_STATUS(u8) @ 0x6c {
        /// There is a link (LinkStatus).
        1:1 link => bool;
    }

    /// RMS: frames above this many bytes are received in error.
    pub(super) RX_MAX_SIZE(u16) @ 0xda {
        13:0 bytes;
    }

    /// CPlusCmd, the commands of the descriptor modes.
    pub(super) CPLUS_CMD(u16) @ 0xe0 {
        15:0 bits;
    }

    /// IntrMitigate: how long and for how many frames interrupts wait; 0 is off. See `coalesce`.
    pub(super) INTR_MITIGATE(u16) @ 0xe2 {
        15:0 bits;
    }

    /// Address of the RX descriptors, lower half; 256-byte aligned.
    pub(super) RX_RING_LOW(u32) @ 0xe4 {
        31:0 address;
    }

    /// Address of the RX descriptors, upper half; written before the lower.
    pub(super) RX_RING_HIGH(u32) @ 0xe8 {
        31:0 address;
    }

    /// MaxTxPacketSize in units of 128 bytes; 0x3f sends any frame.
    pub(super) MAX_TX_PACKET_SIZE(u8) @ 0xec {
        5:0 units;
    }
}

/// The size of the register file in bytes; the BAR may be larger.
pub(super) const END: usize = 0x100;

/// The index of the memory BAR. The other one, 0, is the same registers as I/O ports.
pub(super) const BAR: u32 = 2;

/// Bits of `INTR_STATUS` and `INTR_MASK`.
pub(super) mod event {
    /// A frame was received.
    pub(crate) const RX_OK: u16 = 1 << 0;
    /// A frame was received in error.
    pub(crate) const RX_ERROR: u16 = 1 << 1;
    /// A frame was sent.
    pub(crate) const TX_OK: u16 = 1 << 2;
    /// A frame could not be sent.
    pub(crate) const TX_ERROR: u16 = 1 << 3;
    /// The link of the PHY changed.
    pub(crate) const LINK_CHANGE: u16 = 1 << 5;
    /// The RX FIFO overflowed.
    pub(crate) const RX_FIFO_OVERFLOW: u16 = 1 << 6;
    /// Software asked for an interrupt.
    pub(crate) const SOFTWARE: u16 = 1 << 8;
    /// The events of descriptors and frames, which the poll acknowledges: all but the last three.
    pub(crate) const RINGS: u16 = !(LINK_CHANGE | RX_FIFO_OVERFLOW | SOFTWARE);
    /// The answer of a device that is gone.
    pub(crate) const GONE: u16 = 0xffff;
}

/// Bits of `CPLUS_CMD`.
pub(super) mod cplus {
    /// The bits of the firmware's setting that are kept: bit 13, which no driver names, and the
    /// unit of interrupt mitigation. r8169 keeps two more, the offloads below.
    pub(crate) const KEEP: u16 = 0x2003;
    /// The unit of interrupt mitigation; see `coalesce`.
    pub(crate) const MITIGATION_UNIT: u16 = 3;
    /// Check the checksums of received frames.
    pub(crate) const RX_CHECKSUM: u16 = 1 << 5;
    /// Strip VLAN tags from received frames.
    pub(crate) const RX_VLAN: u16 = 1 << 6;
}
