// SPDX-License-Identifier: GPL-2.0

//! The chip's way out: the guest's memory and the cable.

use thiserror::Error;

/// The reason why the host side did not let a transfer through.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BusError {
    /// The PCI command register does not let this device start transfers.
    #[error("bus mastering is off in the PCI command register")]
    BusMasterOff,
    /// No memory of the guest is mapped for the device there.
    #[error("no guest memory is mapped there")]
    Unmapped,
    /// The guest has memory there that cannot be reached from outside: no mistake of its driver's.
    #[error("the guest's memory there came without a file")]
    NoFile,
    /// Memory is there but not for this direction.
    #[error("the mapping does not permit this direction")]
    Forbidden,
    /// An injected fault ([`FaultKind::PciAbort`](crate::FaultKind::PciAbort)).
    #[error("a fault was injected")]
    Injected,
}

/// Memory and cable, which a chip reaches on its own.
///
/// A transfer that faults may have been done in part, as on a real bus.
pub trait Bus {
    /// Reads guest memory.
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError>;

    /// Writes guest memory.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError>;

    /// Reads a little-endian word that says whose a descriptor is: nothing after it may be read
    /// earlier (acquire).
    fn load(&mut self, address: u64) -> Result<u32, BusError>;

    /// Writes a little-endian word that says whose a descriptor is: everything before it is visible
    /// first (release).
    fn store(&mut self, address: u64, value: u32) -> Result<(), BusError>;

    /// Returns whether the cable takes a frame now. While it does not, the chip keeps its
    /// descriptors and waits for [`Chip::resume`](crate::Chip::resume).
    fn cable_ready(&mut self) -> bool;

    /// Puts a frame on the cable, complete but for its check sequence.
    fn transmit(&mut self, frame: &[u8]);
}
