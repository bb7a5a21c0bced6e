// SPDX-License-Identifier: GPL-2.0

//! Waiting for a device, by the name and arguments of `kernel::io::poll` of Linux 6.18 and later.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     mmio::{
//!         register,
//!         Bar, //
//!     },
//!     poll::read_poll_timeout, //
//! };
//! use kernel::{
//!     prelude::*,
//!     time::Delta, //
//! };
//!
//! register! {
//!     COMMAND(u8) @ 0x37 {
//!         4:4 reset => bool;
//!     }
//! }
//!
//! /// Waits up to 10 ms for the end of a reset.
//! fn wait(bar: &Bar<'_, 0x100>) -> Result {
//!     read_poll_timeout(
//!         || Ok(bar.read(COMMAND)),
//!         |command| !command.reset(),
//!         Delta::from_micros(100),
//!         Delta::from_millis(10),
//!     )
//!     .map(|_| ())
//! }
//! ```

use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Calls `op` until `cond` holds of its answer, and sleeps for `sleep` in between. Process context.
///
/// `timeout` is the sum of the sleeps, unlike in the kernel crate, which reads a clock: on a busy
/// machine, above all a virtual one, time passes in which a device has not had its turn either.
/// (r8169 counts, too.)
///
/// # Errors
///
/// `ETIMEDOUT` if `cond` does not hold when the time is over; that of `op`.
pub fn read_poll_timeout<T>(
    mut op: impl FnMut() -> Result<T>,
    mut cond: impl FnMut(&T) -> bool,
    sleep: Delta,
    timeout: Delta,
) -> Result<T> {
    let step = sleep.as_micros_ceil().max(1);
    let mut left = timeout.as_micros_ceil();
    loop {
        let answer = op()?;
        if cond(&answer) {
            return Ok(answer);
        }
        if left <= 0 {
            return Err(ETIMEDOUT);
        }
        fsleep(sleep);
        left = left.wrapping_sub(step);
    }
}
