// SPDX-License-Identifier: GPL-2.0
// What a device has found in a frame is recorded in one that was received only.
// error: no method named `set_vlan_tag` found for struct `SkBuff`
use rust_net::net::skb::{RxSkb, SkBuff};

#[cfg(right)]
pub fn record(mut received: RxSkb, _sent: SkBuff) {
    received.set_vlan_tag(1);
}

#[cfg(wrong)]
pub fn record(_received: RxSkb, mut sent: SkBuff) {
    sent.set_vlan_tag(1);
}
