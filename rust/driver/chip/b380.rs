// SPDX-License-Identifier: GPL-2.0

//! RTL8111B revisions B, E and F, XID 0x380. "VER_17" of r8169.

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
    name: "RTL8111B (B380)",
    xid: 0x380,
    // Not the FIFO overflow: this chip reports it forever.
    events: event::RX_OK | event::RX_ERROR | event::TX_OK | event::TX_ERROR | event::LINK_CHANGE,
    halt,
    set_jumbo: |hw, on| hw.set_config4_jumbo(on),
    // Its receiver must run, as B300's: r8169 until Linux 6.0, and BSD's re. Later versions of
    // r8169 leave it off, by all appearances by accident.
    arm_wol: |hw| hw.run_receiver(),
    fix_phy,
};

/// Asks the chip to finish, and gives it the time that r8169 gives it.
fn halt(hw: &Hw<'_>) {
    hw.request_stop();
    fsleep(Delta::from_micros(100));
}

/// Does as r8169: page 1, register 0x10. No document explains it.
fn fix_phy(phy: &Phy) -> Result {
    phy::with_page(phy, 1, |page| page.write(0x10, 0xf41b))
}
