// SPDX-License-Identifier: GPL-2.0

//! The frames that are for this station: its address, the hash of the multicast filter, and
//! RxConfig. The receiver asks, and so does what wakes the machine.

use crate::chip::Chip;
use crate::crc;
use crate::desc::rx;
use crate::regs::rxcfg;
use crate::regs::Reg;

/// The settings of the registers at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    station: [u8; 6],
    /// Mar0 and Mar4.
    hash: [u8; 8],
    /// RxConfig.
    accept: u32,
}

impl Filter {
    /// Our address.
    pub(crate) fn station(&self) -> [u8; 6] {
        self.station
    }

    /// Bit n of the hash is bit n % 8 of the filter's byte 7 - n / 8: r8169 swaps the words and
    /// their bytes.
    pub(crate) fn hashed(&self, destination: [u8; 6]) -> bool {
        let bit = crc::multicast_hash(destination);
        let value = self.hash[7 - usize::from(bit / 8)];
        (value >> (bit % 8)) & 1 != 0
    }

    /// Returns the status bits for the frame's destination, `None` if it is not for us.
    pub(crate) fn accepts(&self, frame: &[u8]) -> Option<u32> {
        let destination: [u8; 6] = frame.get(..6)?.try_into().ok()?;
        let accept = self.accept;
        if destination == [0xff; 6] {
            return (accept & rxcfg::ACCEPT_BROADCAST != 0).then_some(rx::BROADCAST);
        }
        if destination[0] & 1 != 0 {
            let wanted = accept & rxcfg::ACCEPT_MULTICAST != 0 && self.hashed(destination);
            return wanted.then_some(rx::MULTICAST);
        }
        let ours = destination == self.station;
        if ours && accept & (rxcfg::ACCEPT_MY_PHYS | rxcfg::ACCEPT_ALL_PHYS) != 0 {
            return Some(rx::UNICAST);
        }
        // Promiscuous is for unicast; drivers open the multicast filter besides.
        (accept & rxcfg::ACCEPT_ALL_PHYS != 0).then_some(0)
    }
}

impl Chip {
    /// The filter as it is set now.
    pub(crate) fn filter(&self) -> Filter {
        let bytes = |reg| self.get(reg).to_le_bytes();
        let [a, b, c, d] = bytes(Reg::Mac0);
        let [e, f, ..] = bytes(Reg::Mac4);
        let mut hash = [0; 8];
        hash[..4].copy_from_slice(&bytes(Reg::Mar0));
        hash[4..].copy_from_slice(&bytes(Reg::Mar4));
        Filter {
            station: [a, b, c, d, e, f],
            hash,
            accept: self.get(Reg::RxConfig),
        }
    }
}
