// SPDX-License-Identifier: GPL-2.0
// A driver never has the registration, so that it cannot leak it: the framework drops it when the
// driver is unbound.
// error: module `registration` is private
#[cfg(right)]
use rust_net::net::driver::Interface;
#[cfg(wrong)]
use rust_net::net::registration::Registration as Interface;
use rust_net::net::operations::Operations;

pub fn leak<'a, T: Operations + 'a>(made: Interface<'a, T>) {
    core::mem::forget(made);
}
