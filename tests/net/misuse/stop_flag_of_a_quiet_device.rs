// SPDX-License-Identifier: GPL-2.0
// The stop flag of the queue keeps `ndo_start_xmit` off a device that is quiet; only a call to send
// or to poll has it.
// error: the trait bound `NetDevice: TxQueue` is not satisfied
use rust_net::net::{contexts::PollContext, device::NetDevice, page_pool::NoPool, spsc::Consumer};

#[cfg(right)]
pub fn wake(_dev: &NetDevice, cx: &PollContext<'_, NoPool>, ring: &mut Consumer<u32>) {
    ring.wake_if_stopped(cx.queue(), 1);
}

#[cfg(wrong)]
pub fn wake(dev: &NetDevice, _cx: &PollContext<'_, NoPool>, ring: &mut Consumer<u32>) {
    ring.wake_if_stopped(dev, 1);
}
