// SPDX-License-Identifier: GPL-2.0
// The byte queue limits are those of `ndo_start_xmit`.
// error: no method named `sent` found for reference `&XdpContext
use rust_net::net::contexts::{XdpContext, XmitContext};

#[cfg(right)]
pub fn account(cx: &XmitContext<'_>, _xdp: &XdpContext<'_>) -> bool {
    cx.sent(60)
}

#[cfg(wrong)]
pub fn account(_cx: &XmitContext<'_>, xdp: &XdpContext<'_>) -> bool {
    xdp.sent(60)
}
