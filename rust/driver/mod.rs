// SPDX-License-Identifier: GPL-2.0

//! The driver of the RTL8111B. There is no `unsafe` here, see `rust/net`.

mod address;
pub(crate) mod chip;
pub(crate) mod coalesce;
pub mod eeprom;
mod ethtool;
mod hw;
mod irq_test;
mod memory;
mod napi;
mod nic;
pub(crate) mod phy;
mod regs;
pub mod ring;
mod selftest;
mod tally;
mod xmit;

use crate::net::{
    driver::{
        self,
        Interface, //
    },
    mmio::Bar,
    pci::{
        dev_err,
        dev_info,
        Enabled,
        Probing, //
    }, //
};
use core::ffi::CStr;
use hw::{
    Hw,
    Unknown, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use nic::Nic;
use phy::PhyAccess;

/// The PCI driver.
pub(crate) struct Driver;

/// The addresses that the chip can reach: 32 bits, as r8169 assumes. According to its documents it
/// has dual address cycles, but no driver enables them.
const DMA_BITS: u32 = 32;

impl driver::Driver for Driver {
    const NAME: &'static CStr = c"r8168_rust";
    type Operations<'a> = Nic<'a>;

    /// Finds out whether the chip is ours and makes it ready.
    fn probe(pdev: Probing<'_>) -> Result<Interface<'_, Nic<'_>>> {
        let enabled = Enabled::new::<DMA_BITS>(pdev)?;
        let pdev = enabled.device();

        let bar = Bar::<{ regs::END }>::new(pdev, regs::BAR, Self::NAME).inspect_err(|_| {
            dev_err!(pdev, "no memory BAR {} of {} bytes\n", regs::BAR, regs::END);
        })?;
        let hw = match Hw::identify(bar) {
            Ok(hw) => Arc::new(hw, GFP_KERNEL)?,
            Err(Unknown::Dead) => {
                dev_err!(pdev, "the chip does not answer (TxConfig reads all ones)\n");
                return Err(EIO);
            }
            Err(Unknown::Memory) => return Err(ENOMEM),
            Err(Unknown::Xid(xid)) => {
                dev_info!(
                    pdev,
                    "XID {:03x} is no RTL8111B (300 or 380): left to another driver\n",
                    xid.number()
                );
                return Err(ENODEV);
            }
        };
        enabled.disable_l1();
        hw.init().inspect_err(|_| {
            dev_err!(pdev, "the chip does not come out of its reset\n");
        })?;

        let mdio = PhyAccess::new(hw.clone());
        mdio.allow_link();
        let nic = Nic::new(enabled, hw)?;
        let address = nic.station_address();
        Ok(Interface::new(pdev, address, Some(mdio), nic))
    }
}
