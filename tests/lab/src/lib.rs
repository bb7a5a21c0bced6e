// SPDX-License-Identifier: GPL-2.0

//! Boots stock kernels on the emulated RTL8111B and drives the network driver under test.
//!
//! A [`bench::Bench`] is a far end of the wire, a device model and a guest; [`drive`] exercises it,
//! and [`dmesg`] finds the kernel's complaints.

pub mod acpi;
pub mod bare;
pub mod bench;
pub mod boots;
pub mod case;
pub mod channel;
pub mod debug;
pub mod disk;
pub mod dmesg;
pub mod drive;
mod error;
pub mod frame;
pub mod guest;
pub mod http;
pub mod initramfs;
pub mod installer;
pub mod instructions;
pub mod ipxe;
pub mod kernel;
pub mod ktap;
pub mod machine;
pub mod model;
pub mod namespace;
pub mod node;
pub mod operations;
pub mod passt;
pub mod pcap;
pub mod peer;
pub mod ports;
pub mod process;
pub mod qmp;
pub mod record;
pub mod reference;
pub mod report;
pub mod selftests;
pub mod setup;
pub mod slirp;
pub mod traffic;
pub mod trunk;
pub mod tsc;
pub mod watch;
pub mod xdp;

pub use error::{Error, Result};
pub use lab_macros::guest_test;
