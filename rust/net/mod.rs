// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the network core, written as if for `rust/kernel/net`.
//!
//! All `unsafe` code of the module is here. What the core guarantees about its callbacks (who may
//! run at the same time as whom, who owns a buffer) is turned into borrows once, in [`device`];
//! a driver above gets `&mut` where it has exclusive access and values where it has ownership.

pub mod address;
pub mod contexts;
pub mod device;
pub mod dma;
pub mod ethtool;
pub mod features;
pub mod from_device;
pub mod page_pool;
pub mod pci;
pub mod phy;
pub mod power;
pub mod skb;
pub mod spsc;
pub mod stats;
pub mod xdp;

mod callbacks;
mod queues;
mod runtime_pm;
mod settings;
mod slow_paths;
