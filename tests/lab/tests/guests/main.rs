// SPDX-License-Identifier: GPL-2.0

//! Tests that boot guests. Two run at a time, but for those that need the machine to themselves.
//!
//! Their inputs come from the environment (see [`lab::case::Inputs`]); a missing piece fails the
//! test.

mod address;
mod drivers;
mod ethtool;
mod example;
mod faults;
mod frames;
mod iommu;
mod itself;
mod kernels;
mod links;
mod memory;
mod model;
mod netconsole;
mod node;
mod offloads;
mod polling;
mod power;
mod shared;
mod slot;
mod storms;
mod wake;
mod xdp;
