// SPDX-License-Identifier: GPL-2.0
// A context is for the call that it was made for.
// error: lifetime may not live long enough
use rust_net::net::{contexts::XmitContext, device::NetDevice};

#[cfg(right)]
pub fn keep<'a>(cx: &'a XmitContext<'_>) -> &'a NetDevice {
    cx.device()
}

#[cfg(wrong)]
pub fn keep<'a>(cx: &'a XmitContext<'_>) -> &'static XmitContext<'static> {
    cx
}
