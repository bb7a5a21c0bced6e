// SPDX-License-Identifier: GPL-2.0

//! Traces: everything that goes into a [`Chip`](rtl8111b_chip::Chip) and what it does in return,
//! one event after the other.
//!
//! The chip is a pure state machine. So a trace that has its inputs (accesses, frames, the time,
//! commands from outside) and what memory answered makes a new chip do the same again:
//! [`replay`](replay::replay) does that and reports the first event that comes out otherwise. A
//! trace is text, one line per event, which can be read back and decoded into names of registers
//! and fields ([`show`](show::show)).
#![forbid(unsafe_code)]

mod codec;
mod diff;
mod event;
mod record;
mod replay;
mod show;

pub use codec::{Reader, TraceError};
pub use diff::{diff, Difference, Moment};
pub use event::Event;
pub use record::{BusProbe, Recorder};
pub use replay::{replay, Mismatch, Played};
pub use show::show;
