// SPDX-License-Identifier: GPL-2.0

//! The RTL8111B / RTL8168B as a pure state machine.
//!
//! Nothing in here does input or output, keeps a clock or knows how it is attached: a driver's
//! accesses come in through [`Chip::read`] and [`Chip::write`], the cable through
//! [`Chip::frame_in`], and what the chip does in return (reading and writing the guest's memory,
//! sending a frame) goes out through [`Bus`]. The interrupt line is a level, [`Chip::interrupt`],
//! to be looked at after every call. So unit tests drive every block with a few bytes of made
//! memory, and the same code serves a virtual machine.
//!
//! # Where the facts come from
//! From traces of real chips, from Realtek's data sheet of this one (docs/chip-facts.md names it; a
//! "page" in a comment is one of it), from Linux' r8169 (7.3.4 and 6.1), Realtek's r8168 driver,
//! iPXE and BSD's if_re; the names of registers and bits are r8169's. Where those do not say, the
//! model does what seems likeliest. The comment marks that, in brackets, as a guess, and
//! docs/chip-facts.md counts the marks.
//!
//! # Strictness
//! The model refuses where silicon would refuse, and does wrong where silicon would. Either is a
//! *violation*: counted, and kept in words in a log of bounded length
//! ([`Counters::violation_log`]).
#![forbid(unsafe_code)]

mod access;
mod bus;
mod chip;
mod config;
mod counters;
mod crc;
mod desc;
mod eeprom;
mod faults;
mod fields;
mod filter;
mod history;
mod offload;
mod partner;
mod phy;
mod regs;
mod rx;
mod stall;
#[cfg(test)]
mod testing;
mod timing;
mod tx;
mod wake;
mod writeback;

pub use bus::{Bus, BusError};
pub use chip::Chip;
pub use config::{Config, Revision, RingState, RxMode, State, Width};
pub use counters::{Access, Counters, Tally, VIOLATION_LOG};
pub use crc::{fcs, multicast_hash};
pub use eeprom::{Eeprom, EEPROM_WORDS};
pub use faults::{FaultConfig, FaultInjector, FaultKind, Lie};
pub use partner::Partner;
pub use phy::{Phy, Speed, PHY_RTL8211, PHY_RTL8211B};
pub use regs::{name_on_later_chips, Reg, REGISTER_COUNT};
pub use rx::Received;
pub use wake::Wake;
