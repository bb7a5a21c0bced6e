// SPDX-License-Identifier: GPL-2.0
// Nor has it the bus of its PHY, which calls what borrows from the driver.
// error: associated function `new` is private
use rust_net::net::{pci::Device, phy::{Mdio, Phy}};

#[cfg(right)]
pub fn speed(phy: &Phy, _pdev: &Device, _mdio: impl Mdio) -> Option<u32> {
    phy.speed()
}

#[cfg(wrong)]
pub fn speed(_phy: &Phy, pdev: &Device, mdio: impl Mdio) -> Option<u32> {
    Phy::new(pdev, mdio).ok().and_then(|phy| phy.speed())
}
