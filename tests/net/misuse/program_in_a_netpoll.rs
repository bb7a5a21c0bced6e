// SPDX-License-Identifier: GPL-2.0
// A netpoll has no budget and may come in any context, in which no XDP program can be run.
// error: no method named `run_xdp` found for reference `&PollContext
use rust_net::net::{contexts::PollContext, page_pool::{PagePool, RxBuffer}};

#[cfg(right)]
pub fn run<'a>(cx: &PollContext<'_, PagePool<'a>>, buffer: RxBuffer<'a>) {
    if let Some(rx) = cx.receiver() {
        let _ = rx.run_xdp(buffer, 60);
    }
}

#[cfg(wrong)]
pub fn run<'a>(cx: &PollContext<'_, PagePool<'a>>, buffer: RxBuffer<'a>) {
    let _ = cx.run_xdp(buffer, 60);
}
