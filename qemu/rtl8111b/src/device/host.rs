// SPDX-License-Identifier: GPL-2.0

//! The bus as the chip sees it: the machine's memory, and the cable.

use rtl8111b_chip::Bus;
use rtl8111b_chip::BusError;
use rtl8111b_chip::FaultInjector;
use rtl8111b_chip::FaultKind;
use rtl8111b_pci::ConfigSpace;
use rtl8111b_transport::DmaError;
use rtl8111b_transport::DmaMap;
use rtl8111b_wire::Sender;

/// The memory and the cable, as the chip may use them right now.
pub(super) struct Host<'a> {
    pub(super) config: &'a mut ConfigSpace,
    pub(super) dma: &'a DmaMap,
    pub(super) sender: &'a mut Sender,
    pub(super) faults: &'a mut FaultInjector,
}

impl Host<'_> {
    /// Returns whether a transfer is done; if not, it fails silently ([`FaultKind::DmaFault`]).
    fn permit(&mut self) -> Result<bool, BusError> {
        if !self.config.bus_master() {
            return Err(BusError::BusMasterOff);
        }
        if self.faults.fires(FaultKind::PciAbort) {
            self.config.show_master_abort();
            return Err(BusError::Injected);
        }
        Ok(!self.faults.fires(FaultKind::DmaFault))
    }

    fn done<T>(&mut self, result: Result<T, DmaError>) -> Result<T, BusError> {
        result.map_err(|error| {
            self.config.show_master_abort();
            match error {
                DmaError::Unmapped | DmaError::Unaligned => BusError::Unmapped,
                DmaError::NoFile => BusError::NoFile,
                DmaError::Forbidden => BusError::Forbidden,
            }
        })
    }
}

impl Bus for Host<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), BusError> {
        if !self.permit()? {
            into.fill(0xff);
            return Ok(());
        }
        let result = self.dma.read(address, into);
        self.done(result)
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), BusError> {
        if !self.permit()? {
            return Ok(());
        }
        let result = self.dma.write(address, from);
        self.done(result)
    }

    fn load(&mut self, address: u64) -> Result<u32, BusError> {
        if !self.permit()? {
            return Ok(u32::MAX);
        }
        let result = self.dma.load(address);
        self.done(result)
    }

    fn store(&mut self, address: u64, value: u32) -> Result<(), BusError> {
        if !self.permit()? {
            return Ok(());
        }
        let result = self.dma.store(address, value);
        self.done(result)
    }

    fn cable_ready(&mut self) -> bool {
        self.sender.ready()
    }

    fn transmit(&mut self, frame: &[u8]) {
        self.sender.send(frame);
    }
}
