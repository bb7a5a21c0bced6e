// SPDX-License-Identifier: GPL-2.0

//! Single lies, each of them decided beforehand: for a fuzzer, whose input must say which one
//! fires, where and when. The lying mode ([`super::lie`]) has rules and a seed instead.

use super::FaultInjector;

/// The places that are no register: words of descriptors, the interrupt line, and all registers.
pub(crate) const RX_FIRST: u8 = 64;
pub(crate) const RX_SECOND: u8 = 65;
pub(crate) const TX_FIRST: u8 = 66;
pub(crate) const INTERRUPT: u8 = 67;
pub(crate) const ANY_REGISTER: u8 = 68;
/// The number of places.
const PLACES: u8 = 69;

/// A lie at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lie {
    place: u8,
    /// The opportunities that pass before it fires.
    skip: u8,
    /// The number of times that it fires.
    times: u8,
    how: u8,
    value: u32,
}

impl Lie {
    /// The number of bytes that say what it is.
    pub const BYTES: usize = 8;

    /// Reads it; all bytes mean something.
    ///
    /// The first is the place: a register by its offset divided by four, then a receive
    /// descriptor's words, the first of a transmit descriptor that is given back, interrupts at a
    /// write, and whatever register is read. Then come how many opportunities pass before, how
    /// often it fires, what is done to the true value (replaced, or combined by XOR, OR, AND), and
    /// by which value.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [place, skip, times, how, value @ ..] = bytes;
        Lie {
            place: place % PLACES,
            skip,
            times: times.max(1),
            how: how % 4,
            value: u32::from_le_bytes(value),
        }
    }

    /// Reads as many as there are; what is left over is no lie.
    pub fn all_from_bytes(bytes: &[u8]) -> Vec<Self> {
        let lie = |bytes: &[u8]| bytes.try_into().map(Self::from_bytes).ok();
        bytes.chunks_exact(Self::BYTES).filter_map(lie).collect()
    }

    fn seen(self, truth: u32) -> u32 {
        match self.how {
            0 => self.value,
            1 => truth ^ self.value,
            2 => truth | self.value,
            _ => truth & self.value,
        }
    }
}

impl FaultInjector {
    /// Has the chip tell these lies from now on, in place of those that were left.
    pub(crate) fn script(&mut self, lies: Vec<Lie>) {
        self.script = lies;
    }

    /// The number of times that lies of scripts have fired.
    pub fn lies(&self) -> u64 {
        self.lies
    }

    /// Returns what is seen at that place instead of `truth`. Lies at one place take turns, in
    /// their order.
    pub(crate) fn scripted(&mut self, place: u8, truth: u32) -> u32 {
        let Some(at) = self.script.iter().position(|lie| lie.place == place) else {
            return truth;
        };
        let lie = &mut self.script[at];
        if lie.skip > 0 {
            lie.skip -= 1;
            return truth;
        }
        let seen = lie.seen(truth);
        lie.times -= 1;
        if lie.times == 0 {
            self.script.remove(at);
        }
        self.lies += 1;
        seen
    }

    /// Returns what a read at this offset shows instead of `truth`, of which the lower bits are
    /// those of the offset.
    pub(crate) fn scripted_register(&mut self, offset: u16, truth: u32) -> u32 {
        let place = u8::try_from(offset % 256 / 4).unwrap_or_default();
        let seen = self.scripted(place, truth);
        self.scripted(ANY_REGISTER, seen)
    }
}
