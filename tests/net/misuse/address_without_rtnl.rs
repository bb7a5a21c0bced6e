// SPDX-License-Identifier: GPL-2.0
// The MAC address changes under RTNL.
// error: method `address` is private
use rust_net::net::{address::MacAddress, contexts::Rtnl, device::NetDevice};

#[cfg(right)]
pub fn address(_dev: &NetDevice, rtnl: &Rtnl<'_>) -> MacAddress {
    rtnl.address()
}

#[cfg(wrong)]
pub fn address(dev: &NetDevice, _rtnl: &Rtnl<'_>) -> MacAddress {
    dev.address()
}
