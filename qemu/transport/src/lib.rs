// SPDX-License-Identifier: GPL-2.0

//! The attachment of the model: a vfio-user server, the guest's memory, and interrupts.
//!
//! Only this crate knows vfio-user, and it knows nothing of the device but its windows
//! ([`Endpoint`]).
//!
//! # What vfio_user 0.1.7 asks of its user
//! - `run()` serves one connection and cannot be asked to stop: to end it, the process ends.
//! - An error from a handler becomes a reply even to a message that wants none, and a reply that
//!   says "no error": the handlers here never fail.
//! - It panics on a malformed version message: [`Server::serve_one`] catches that and reports it.
#![deny(unsafe_code)]

mod dma;
mod irq;
mod server;

pub use dma::{DmaError, DmaMap, MapError, Rights};
pub use irq::Lines;
pub use server::{Ended, Endpoint, Region, ServeError, Server};
