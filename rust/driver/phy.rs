// SPDX-License-Identifier: GPL-2.0

//! The PHY: how its registers are reached, and what it needs besides phylib.

use super::{
    hw::Hw,
    regs, //
};
use crate::net::{
    atomic::Flag,
    phy::{
        Mdio,
        Phy,
        Registers, //
    },
    poll::read_poll_timeout, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// The registers of the PHY, through PHYAR.
///
/// The PHY has no MMDs, and fails when they are accessed (Linux 0231b1a074c6): its registers 13 and
/// 14 are something else. `realtek.ko` knows. The generic PHY driver does not, and reads through
/// them which parts of EEE the PHY has: it gets zeroes, and leaves EEE alone.
pub(crate) struct PhyAccess<'a> {
    hw: Arc<Hw<'a>>,
    /// The next access to register 14 is half of an access to an MMD: register 13 has been written.
    mmd: Flag,
}

/// The interval at which the chip is asked whether an access is over, and the limit of these waits;
/// with the first wait of one interval they are 0.5 ms.
const POLL: Delta = Delta::from_micros(25);
const TIMEOUT: Delta = Delta::from_micros(475);

/// The register through which MMDs are selected.
const MMD_CONTROL: u8 = 13;
/// The register through which they are accessed; on this PHY its bit 9 takes the link away.
const MMD_DATA: u8 = 14;
/// The register that selects a page of registers.
const PAGE_SELECT: u8 = 31;

/// The status of a link at 1000 Mbit/s (`MII_STAT1000`), and its bit for two ends that cannot agree
/// on which of them gives the clock (`LPA_1000MSFAIL`).
const STATUS_1000: u8 = 10;
const MASTER_FAULT: u16 = 0x8000;

/// Returns what phylib gets for a register's value: without the master/slave fault.
///
/// phylib warns loudly about that bit and gives the PHY up, as if the bus had failed; but without
/// an agreement there is no link anyway.
pub(crate) fn mask_master_fault(register: u8, value: u16) -> u16 {
    if register == STATUS_1000 {
        value & !MASTER_FAULT
    } else {
        value
    }
}

/// Lets `f` access the registers of a page, with the bus locked, and returns to page 0.
///
/// # Errors
///
/// That of `f`, or of the accesses before and after it.
pub(super) fn with_page<R>(
    phy: &Phy,
    page: u16,
    f: impl FnOnce(&Registers<'_>) -> Result<R>,
) -> Result<R> {
    phy.with_registers(|registers| {
        let result = registers
            .write(PAGE_SELECT, page)
            .and_then(|()| f(registers));
        registers.write(PAGE_SELECT, 0).and(result)
    })
}

impl<'a> PhyAccess<'a> {
    pub(super) fn new(hw: Arc<Hw<'a>>) -> Self {
        Self {
            hw,
            mmd: Flag::new(false),
        }
    }

    /// Brings back a link that the driver before has taken away by register 14, as Linux' realtek
    /// driver does when an interface goes down: the PHY keeps that over resets of its own and of
    /// the machine (iPXE #390), and the generic PHY driver does not know. If the PHY does not
    /// answer, later accesses report it.
    pub(super) fn allow_link(&self) {
        let _ = self
            .write(PAGE_SELECT, 0)
            .and_then(|()| self.write(MMD_DATA, 0));
    }

    /// Returns whether an access is one to an MMD, which must not reach the PHY. The lock of the
    /// MDIO bus keeps other accesses from coming between the two of one to an MMD.
    fn is_mmd(&self, register: u8, write: bool) -> bool {
        match register {
            MMD_CONTROL if write => {
                self.mmd.store(true, Relaxed);
                true
            }
            MMD_DATA => self.mmd.xchg(false, Relaxed),
            _ => false,
        }
    }

    /// Starts an access, and waits up to 0.5 ms until its flag is `done`.
    fn access(&self, command: regs::PHY_ACCESS, done: bool) -> Result<regs::PHY_ACCESS> {
        let answer = self.hw.outside_reset(|bar| {
            bar.write_reg(command);
            fsleep(POLL);
            read_poll_timeout(
                || Ok(bar.read(regs::PHY_ACCESS)),
                |answer| answer.into_raw() == !0 || answer.flag() == done,
                POLL,
                TIMEOUT,
            )
        });
        match answer {
            // All ones: the chip is gone.
            Ok(answer) if answer.into_raw() != !0 => {
                // Two accesses need 20 us between them, says r8169 of Realtek's specification.
                fsleep(Delta::from_micros(20));
                Ok(answer)
            }
            _ => Err(ENODEV),
        }
    }
}

impl Mdio for PhyAccess<'_> {
    /// The PHY says that it can (register 15), the MAC cannot: by its data sheet it has full duplex
    /// only at this speed, and PHYstatus shows no other.
    const GIGABIT_HALF: bool = false;

    fn read(&self, register: u8) -> Result<u16> {
        if self.is_mmd(register, false) {
            return Ok(0);
        }
        let command = u32::from(register & 0x1f) << 16;
        let answer = self.access(command.into(), true)?;
        Ok(mask_master_fault(register, answer.into_raw() as u16))
    }

    fn write(&self, register: u8, value: u16) -> Result {
        if self.is_mmd(register, true) {
            return Ok(());
        }
        let command = 1 << 31 | u32::from(register & 0x1f) << 16 | u32::from(value);
        self.access(command.into(), false)?;
        Ok(())
    }
}
