// SPDX-License-Identifier: GPL-2.0
// The poll has the pool lent, and cannot keep it: it would be dropped while NAPI returns buffers to
// it.
// error: method `pool` is private
use rust_net::net::{contexts::RxContext, page_pool::{PagePool, RxBuffer}};

#[cfg(right)]
pub fn take<'a>(rx: &RxContext<'_, PagePool<'a>>) -> Option<RxBuffer<'a>> {
    rx.alloc()
}

#[cfg(wrong)]
pub fn take<'a>(rx: &RxContext<'_, PagePool<'a>>) -> Option<RxBuffer<'a>> {
    rx.pool().alloc()
}
