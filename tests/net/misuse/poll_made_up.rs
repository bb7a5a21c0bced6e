// SPDX-License-Identifier: GPL-2.0
// Only the framework makes a poll, one at a time.
// error: associated function `new` is private
use rust_net::net::{contexts::PollContext, device::NetDevice, page_pool::NoPool};

#[cfg(right)]
pub fn poll(dev: &NetDevice) {
    dev.schedule_poll();
}

#[cfg(wrong)]
pub fn poll(dev: &NetDevice) {
    let _ = PollContext::new(dev, 64, &NoPool);
}
