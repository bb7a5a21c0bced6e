// SPDX-License-Identifier: GPL-2.0
// There is one PHY, which the framework connects and disconnects: its references are counted.
// error: method `disconnect` is private
use rust_net::net::device::NetDevice;

#[cfg(right)]
pub fn end(dev: &NetDevice) {
    if let Some(phy) = dev.phy() {
        phy.mac_interrupt();
    }
}

#[cfg(wrong)]
pub fn end(dev: &NetDevice) {
    if let Some(phy) = dev.phy() {
        phy.disconnect();
    }
}
