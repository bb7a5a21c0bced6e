// SPDX-License-Identifier: GPL-2.0
// Whether there is room is asked before the frame is given away, so that no frame, least of all
// another one, is given back.
// error: expected `Owned<SkBuff>`, found `()`
use rust_net::net::{owned::Owned, contexts::XmitContext, operations::Operations, skb::SkBuff};

#[cfg(right)]
pub fn send<T: Operations>(driver: &T, cx: &XmitContext<'_>, xmit: &mut T::TxState, skb: Owned<SkBuff>) {
    if driver.has_room(cx, xmit, &skb) {
        driver.start_xmit(cx, xmit, skb);
    }
}

#[cfg(wrong)]
pub fn send<T: Operations>(driver: &T, cx: &XmitContext<'_>, xmit: &mut T::TxState, skb: Owned<SkBuff>) -> Owned<SkBuff> {
    driver.start_xmit(cx, xmit, skb)
}
