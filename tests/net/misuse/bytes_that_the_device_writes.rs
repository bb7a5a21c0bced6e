// SPDX-License-Identifier: GPL-2.0
// The device may write to a receive buffer at any time, so that there is no reference to its bytes.
// error: method `frame` is private
use rust_net::net::page_pool::RxBuffer;

#[cfg(right)]
pub fn look(buffer: &RxBuffer<'_>, to: &mut [u8]) -> bool {
    buffer.copy_to_slice(to)
}

#[cfg(wrong)]
pub fn look(buffer: &RxBuffer<'_>, _to: &mut [u8]) -> bool {
    buffer.frame().as_ptr().is_null()
}
