// SPDX-License-Identifier: GPL-2.0
// A frame to be sent may be a socket's, or share its data, and have no Ethernet header.
// error: expected `RxSkb`, found `SkBuff`
use rust_net::net::{contexts::RxContext, skb::{RxSkb, SkBuff}};

#[cfg(right)]
pub fn receive<P>(rx: &RxContext<'_, P>, received: RxSkb, _sent: SkBuff) {
    rx.receive(received);
}

#[cfg(wrong)]
pub fn receive<P>(rx: &RxContext<'_, P>, _received: RxSkb, sent: SkBuff) {
    rx.receive(sent);
}
