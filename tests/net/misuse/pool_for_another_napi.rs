// SPDX-License-Identifier: GPL-2.0
// The framework enables the direct recycling of pools, while NAPI is disabled.
// error: no method named `enable_direct_recycling` found for
use rust_net::net::{device::NetDevice, page_pool::PagePool};

#[cfg(right)]
pub fn start(pool: &PagePool<'_>, _dev: &NetDevice) -> u32 {
    pool.buffer_size()
}

#[cfg(wrong)]
pub fn start(pool: &PagePool<'_>, dev: &NetDevice) {
    pool.enable_direct_recycling(dev);
}
