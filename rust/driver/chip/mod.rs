// SPDX-License-Identifier: GPL-2.0

//! The chips that the driver drives, and what differs between them.

mod b300;
mod b380;

use super::hw::Hw;
use crate::net::{
    from_device::FromDevice,
    phy::Phy, //
};
use kernel::error::Result;

/// A chip: its name, and what it needs otherwise than the others.
pub(crate) struct Chip {
    /// The name in the log.
    pub(super) name: &'static str,
    /// The value of the bits of the XID that identify it; see [`Xid`].
    xid: u32,
    /// The interrupts to enable: bits of [`event`](super::regs::event). A transfer that the bus
    /// refused (SYSErr, bit 15) is none of them: r8169 asks for it on conventional PCI only.
    pub(super) events: u16,
    /// Brings sending and receiving to an end, before the reset.
    pub(super) halt: fn(&Hw<'_>),
    /// Allows frames above 1518 bytes or not, while the configuration is unlocked.
    pub(super) set_jumbo: fn(&Hw<'_>, bool),
    /// Does what the chip needs to see the frames that are to wake the system.
    pub(super) arm_wol: fn(&Hw<'_>),
    /// Corrects the PHY's settings before its reset.
    pub(super) fix_phy: fn(&Phy) -> Result,
}

static CHIPS: [&Chip; 2] = [&b300::CHIP, &b380::CHIP];

/// The number that distinguishes the chips of the family: bits 31:20 of TxConfig without bits
/// 25:24, which are the inter-frame gap.
#[derive(Clone, Copy)]
pub(crate) struct Xid(u32);

impl Xid {
    /// The bits of the XID that distinguish our chips from all others.
    const FAMILY: u32 = 0x7c8;

    /// Takes the number out of TxConfig.
    pub(crate) fn of(tx_config: FromDevice<u32>) -> Self {
        Self((tx_config.bits(!0) >> 20) & 0xfcf)
    }

    /// Returns the chip with this number, if it is one of ours.
    pub(crate) fn chip(self) -> Option<&'static Chip> {
        let family = self.0 & Self::FAMILY;
        CHIPS.iter().copied().find(|chip| chip.xid == family)
    }

    /// Returns the number as it is printed.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}
