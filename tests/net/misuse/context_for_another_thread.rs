// SPDX-License-Identifier: GPL-2.0
// A context is for the call that it was made for.
// error: `*mut ()` cannot be shared between threads safely
use rust_net::net::{contexts::XmitContext, device::NetDevice};

pub fn hand_on(_: impl Send) {}

#[cfg(right)]
pub fn leave(_cx: &XmitContext<'_>, dev: &NetDevice) {
    hand_on(dev);
}

#[cfg(wrong)]
pub fn leave(cx: &XmitContext<'_>, _dev: &NetDevice) {
    hand_on(cx);
}
