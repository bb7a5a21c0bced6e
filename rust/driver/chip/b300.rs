// SPDX-License-Identifier: GPL-2.0

//! RTL8111B revision A, XID 0x300. "VER_11" of r8169, until it was removed there.

use super::Chip;
use crate::{
    driver::{
        hw::Hw,
        phy,
        regs::event, //
    },
    net::phy::Phy, //
};
use kernel::{
    error::Result,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

pub(super) static CHIP: Chip = Chip {
    name: "RTL8111B (B300)",
    xid: 0x300,
    // r8169 6.1 enables the FIFO overflow on this chip only, which then needs a reset.
    events: event::RX_OK
        | event::RX_ERROR
        | event::TX_OK
        | event::TX_ERROR
        | event::LINK_CHANGE
        | event::RX_FIFO_OVERFLOW,
    halt,
    // It needs nothing to be set.
    set_jumbo: |_, _| (),
    // Its receiver must run, on a ring whose address is set (Realtek's r8168, BSD's re, r8169 until
    // Linux 6.0).
    arm_wol: |hw| hw.run_receiver(),
    fix_phy,
};

/// There is no way to ask this chip to stop; Realtek's driver waits.
fn halt(_hw: &Hw<'_>) {
    fsleep(Delta::from_millis(10));
}

/// Does as r8169 6.1: page 1, register 0x16 bit 0, then register 0x10. Realtek's driver writes
/// other registers; no document explains either.
fn fix_phy(phy: &Phy) -> Result {
    phy::with_page(phy, 1, |page| {
        page.set_bits(0x16, 1)?;
        page.write(0x10, 0xf41b)
    })
}
