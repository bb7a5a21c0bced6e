// SPDX-License-Identifier: GPL-2.0
// The same by the type that counts.
// error: error[E0451]
use rust_net::net::fragment::Completed;

#[cfg(right)]
pub fn made_up() -> Completed {
    Completed::default()
}

#[cfg(wrong)]
pub fn made_up() -> Completed {
    Completed { ..Completed::default() }
}
