// SPDX-License-Identifier: GPL-2.0
// A driver never has the registration, so that it cannot leak it: the framework drops it when the driver is unbound.
// error: struct `Registration` is private
#[cfg(right)]
use rust_net::net::device::Interface;
#[cfg(wrong)]
use rust_net::net::device::Registration as Interface;
use rust_net::net::device::Operations;

pub fn leak<'a, T: Operations + 'a>(made: Interface<'a, T>) {
    core::mem::forget(made);
}
