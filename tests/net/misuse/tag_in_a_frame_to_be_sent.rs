// SPDX-License-Identifier: GPL-2.0
// What a device has found in a frame is recorded in one that was received only.
// error: no method named `set_vlan_tag` found for struct `Owned<SkBuff>`
use rust_net::net::{owned::Owned, skb::{RxSkBuff, SkBuff}};

#[cfg(right)]
pub fn record(mut received: RxSkBuff, _sent: Owned<SkBuff>) {
    received.set_vlan_tag(1);
}

#[cfg(wrong)]
pub fn record(_received: RxSkBuff, mut sent: Owned<SkBuff>) {
    sent.set_vlan_tag(1);
}
