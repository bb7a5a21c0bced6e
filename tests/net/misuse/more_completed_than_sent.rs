// SPDX-License-Identifier: GPL-2.0
// What was completed is counted by completing it. (That it is no more than was accounted, which is
// a BUG() of the core, the helper sees to.)
// error: this method takes 1 argument but 2 arguments were supplied
use rust_net::net::{contexts::PollContext, fragment::{Completed, MappedFragment}};

#[cfg(right)]
pub fn complete<P>(cx: &PollContext<'_, P>, piece: MappedFragment<'_>) {
    let mut all = Completed::default();
    cx.complete(piece, &mut all);
    cx.completed(all);
}

#[cfg(wrong)]
pub fn complete<P>(cx: &PollContext<'_, P>, _piece: MappedFragment<'_>) {
    cx.completed(1, u32::MAX);
}
