// SPDX-License-Identifier: GPL-2.0
// Once NAPI returns buffers to a pool nothing but the poll takes any out.
// error: borrow of moved value: `pool`
use rust_net::net::page_pool::PagePool;

pub fn give_away(_: PagePool<'_>) {}

#[cfg(right)]
pub fn fill(mut pool: PagePool<'_>) {
    let _ = pool.alloc();
    give_away(pool);
}

#[cfg(wrong)]
pub fn fill(mut pool: PagePool<'_>) {
    give_away(pool);
    let _ = pool.alloc();
}
