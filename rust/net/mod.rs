// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the network core, written as if for `rust/kernel/net`.
//!
//! All `unsafe` code of the module is here. The core's guarantees about its callbacks (which of
//! them may run at the same time, and what owns a buffer) are turned into borrows once, in
//! [`operations`]; a driver above gets `&mut` where it has exclusive access and values where it has
//! ownership.

use core::ffi::CStr;
use kernel::ffi::c_char;

pub mod adapter;
pub mod address;
pub mod atomic;
pub mod contexts;
pub mod device;
pub mod dma;
pub mod driver;
pub mod ethtool;
pub mod features;
pub mod fragment;
pub mod from_device;
pub mod mmio;
pub mod operations;
pub mod owned;
pub mod page_pool;
pub mod pci;
pub mod phy;
pub mod poll;
pub mod skb;
pub mod spsc;
pub mod stats;
pub mod xdp;

mod barrier;
mod callbacks;
mod error;
mod filter;
mod lifecycle;
mod private;
mod queues;
mod registration;
mod runtime_pm;
mod settings;

/// Returns a string as C takes it. (Its `as_char_ptr` belongs to `kernel::prelude` since Linux 6.19
/// only.)
#[allow(clippy::disallowed_methods)]
const fn chars(text: &CStr) -> *const c_char {
    text.as_ptr().cast()
}
