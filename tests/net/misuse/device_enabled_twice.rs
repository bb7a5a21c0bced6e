// SPDX-License-Identifier: GPL-2.0
// The DMA mask is set before anything is mapped, so once.
// error: use of moved value: `pdev`
use kernel::error::Result;
use rust_net::net::pci::{Enabled, Probing};

#[cfg(right)]
pub fn enable(pdev: Probing<'_>) -> Result<Enabled<'_>> {
    Enabled::new::<32>(pdev)
}

#[cfg(wrong)]
pub fn enable(pdev: Probing<'_>) -> Result<Enabled<'_>> {
    let _ = Enabled::new::<64>(pdev)?;
    Enabled::new::<32>(pdev)
}
