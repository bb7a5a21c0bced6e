// SPDX-License-Identifier: GPL-2.0
// Pools are handed over to NAPI by the framework, while it is disabled.
// error: no method named `hand_over` found for
use rust_net::net::{device::NetDevice, page_pool::PagePool};

#[cfg(right)]
pub fn start(pool: &PagePool<'_>, _dev: &NetDevice) -> u32 {
    pool.buffer_size()
}

#[cfg(wrong)]
pub fn start(pool: &PagePool<'_>, dev: &NetDevice) {
    pool.hand_over(dev);
}
