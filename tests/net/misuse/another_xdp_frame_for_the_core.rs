// SPDX-License-Identifier: GPL-2.0
// The same for frames without an `sk_buff`.
// error: mismatched types
// error: expected `Result<(), XdpFrame>`, found `()`
use rust_net::net::{contexts::XdpContext, operations::Operations, xdp::XdpFrame};

#[cfg(right)]
pub fn send<T: Operations>(driver: &T, cx: &XdpContext<'_>, xmit: &mut T::TxState, frame: XdpFrame) {
    if driver.has_room_xdp(cx, xmit, &frame) {
        driver.send_xdp(cx, xmit, frame);
    }
}

#[cfg(wrong)]
pub fn send<T: Operations>(driver: &T, cx: &XdpContext<'_>, xmit: &mut T::TxState, frame: XdpFrame) -> Result<(), XdpFrame> {
    driver.send_xdp(cx, xmit, frame)
}
