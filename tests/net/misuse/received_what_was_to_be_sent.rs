// SPDX-License-Identifier: GPL-2.0
// A frame to be sent may be a socket's, or share its data, and have no Ethernet header.
// error: expected `RxSkBuff`, found `Owned<SkBuff>`
use rust_net::net::{owned::Owned, contexts::RxContext, skb::{RxSkBuff, SkBuff}};

#[cfg(right)]
pub fn receive<P>(rx: &RxContext<'_, P>, received: RxSkBuff, _sent: Owned<SkBuff>) {
    rx.receive(received);
}

#[cfg(wrong)]
pub fn receive<P>(rx: &RxContext<'_, P>, _received: RxSkBuff, sent: Owned<SkBuff>) {
    rx.receive(sent);
}
