// SPDX-License-Identifier: GPL-2.0

//! The driver of the RTL8111B. There is no `unsafe` here, see `rust/net`.

mod address;
pub(crate) mod chip;
pub(crate) mod coalesce;
pub mod eeprom;
mod ethtool;
mod hw;
mod memory;
mod nic;
mod poll;
mod regs;
pub mod ring;
mod selftest;
mod tally;

use crate::net::{
    device::Registration,
    pci::Enabled, //
};
use hw::{
    Hw,
    Unknown, //
};
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::Arc, //
};
pub(crate) use nic::Nic;

/// The PCI driver.
pub(crate) struct Driver;

/// The addresses that the chip can reach: 32 bits, as r8169 assumes. It has dual address cycles by
/// its documents, but nobody enables them on a machine that matters.
const DMA_BITS: u32 = 32;

impl Driver {
    /// Finds out whether the chip is ours and registers a network device for it.
    pub(crate) fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
    ) -> Result<Registration<'bound, Nic<'bound>>> {
        let enabled = Enabled::new(pdev, DMA_BITS)?;
        enabled.try_set_mwi();

        let bar = pdev
            .iomap_region_sized::<{ regs::END }>(regs::BAR, c"r8168_rust")
            .inspect_err(|_| {
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

        enabled.save_state();
        let irq = enabled.irq();
        let nic = Nic::new(pdev, enabled, hw.clone())?;
        let address = nic.station_address();
        let registration = Registration::new(pdev, irq, address, nic)?;
        dev_info!(
            pdev,
            "{}, XID {:03x}, IRQ {}\n",
            hw.chip().name,
            hw.xid().number(),
            irq
        );
        Ok(registration)
    }
}
