// SPDX-License-Identifier: GPL-2.0
// A receive buffer is mapped for a device, which it does not outlive.
// error: lifetime may not live long enough
use rust_net::net::page_pool::RxBuffer;

#[cfg(right)]
pub fn keep<'a>(buffer: RxBuffer<'a>) -> RxBuffer<'a> {
    buffer
}

#[cfg(wrong)]
pub fn keep<'a>(buffer: RxBuffer<'a>) -> RxBuffer<'static> {
    buffer
}
