// SPDX-License-Identifier: GPL-2.0

//! The tally counters: 13 numbers that the chip keeps by itself and writes to memory when asked.
//!
//! They cannot be reset. What is reported is what was counted since the driver first looked, so
//! that the numbers fit those of the interface. Each is as wide as the chip has it and wraps; the
//! totals are added up from differences, and are correct if each counter is read at least once per
//! wrap. A chip that lost power begins at zero again, which shows when a counter of 64 bits goes
//! back.

use super::hw::Hw;
use crate::net::{
    dma::SharedWords,
    pci,
    stats::{
        HardwareErrors,
        MacStatistics, //
    }, //
};
use core::ffi::CStr;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
};

/// The number of counters.
const COUNT: usize = 13;

/// 32-bit words in the memory that the chip writes: 64 bytes.
const WORDS: usize = 16;

/// A counter: its name in r8169's `ethtool -S`, and where it is in the 64 bytes (Realtek's r8168
/// has them in the same order).
struct Place {
    name: &'static CStr,
    /// The index of its (first) word.
    word: usize,
    /// 16, 32 or 64.
    width: u32,
    /// Its lowest bit in the word.
    shift: u32,
}

const fn place(name: &'static CStr, word: usize, width: u32, shift: u32) -> Place {
    Place {
        name,
        word,
        width,
        shift,
    }
}

const TX_OK: usize = 0;
const RX_OK: usize = 1;
const TX_ERRORS: usize = 2;
const RX_MISSED: usize = 4;
const ALIGN_ERRORS: usize = 5;
const SINGLE_COLLISIONS: usize = 6;
const MULTI_COLLISIONS: usize = 7;
const BROADCAST: usize = 9;
const MULTICAST: usize = 10;
const TX_ABORTED: usize = 11;

const PLACES: [Place; COUNT] = [
    place(c"tx_packets", 0, 64, 0),
    place(c"rx_packets", 2, 64, 0),
    place(c"tx_errors", 4, 64, 0),
    place(c"rx_errors", 6, 32, 0),
    place(c"rx_missed", 7, 16, 0),
    place(c"align_errors", 7, 16, 16),
    place(c"tx_single_collisions", 8, 32, 0),
    place(c"tx_multi_collisions", 9, 32, 0),
    place(c"unicast", 10, 64, 0),
    place(c"broadcast", 12, 64, 0),
    place(c"multicast", 14, 32, 0),
    place(c"tx_aborted", 15, 16, 0),
    place(c"tx_underrun", 15, 16, 16),
];

/// The names of the counters.
pub(super) const NAMES: [&CStr; COUNT] = {
    let mut names = [c""; COUNT];
    let mut nth = 0;
    while nth < COUNT {
        names[nth] = PLACES[nth].name;
        nth += 1;
    }
    names
};

impl Place {
    /// Returns the largest value of the counter.
    fn mask(&self) -> u64 {
        u64::MAX >> (u64::BITS - self.width)
    }

    /// Extracts the counter from a dump. Any value is possible: it is only added up.
    fn read(&self, memory: &SharedWords<'_>) -> u64 {
        let word = |index| u64::from(memory.read(index).bits(!0));
        let high = if self.width == 64 {
            word(self.word + 1) << 32
        } else {
            0
        };
        (word(self.word) | high) >> self.shift & self.mask()
    }
}

/// The counters of one chip.
pub(super) struct Tally<'a> {
    memory: SharedWords<'a>,
    /// The values of the last dump; also the lock for dumps.
    last: Pin<KBox<Mutex<Option<[u64; COUNT]>>>>,
    totals: [Atomic<u64>; COUNT],
}

impl<'a> Tally<'a> {
    /// Makes the counters, which have not been read yet.
    pub(super) fn new(pdev: &'a pci::Device) -> Result<Self> {
        Ok(Self {
            memory: SharedWords::new(pdev, WORDS)?,
            last: KBox::pin_init(new_mutex!(None), GFP_KERNEL)?,
            totals: [const { Atomic::new(0) }; COUNT],
        })
    }

    /// Reads the counters; all stay as they were if the chip does not answer. Process context.
    pub(super) fn refresh(&self, hw: &Hw<'_>) {
        let mut last = self.last.lock();
        if !hw.dump_counters(self.memory.dma_address()) {
            return;
        }
        // The chip has written all of it before it said so.
        self.memory.rmb();
        let mut now = [0; COUNT];
        for (value, place) in now.iter_mut().zip(&PLACES) {
            *value = place.read(&self.memory);
        }
        if let Some(before) = *last {
            self.add_up(&before, &now);
        }
        *last = Some(now);
    }

    /// Runs `f` while there is no dump: the chip must not be stopped in the middle of one, and a
    /// reset work item does not hold RTNL.
    pub(super) fn with_dump_excluded(&self, f: impl FnOnce()) {
        let _last = self.last.lock();
        f();
    }

    fn add_up(&self, before: &[u64; COUNT], now: &[u64; COUNT]) {
        let changes = || before.iter().zip(now).zip(&PLACES);
        let restarted = changes().any(|((before, now), place)| place.width == 64 && now < before);
        for (((before, now), place), total) in changes().zip(&self.totals) {
            let more = if restarted {
                *now
            } else {
                now.wrapping_sub(*before) & place.mask()
            };
            // Only this adds, under the lock.
            total.store(total.load(Relaxed).wrapping_add(more), Relaxed);
        }
    }

    /// Reads what a chip that has just been started counted before, if that is not known yet.
    pub(super) fn init_baseline(&self, hw: &Hw<'_>) {
        let known = self.last.lock().is_some();
        if !known {
            self.refresh(hw);
        }
    }

    fn total(&self, counter: usize) -> u64 {
        self.totals
            .get(counter)
            .map_or(0, |total| total.load(Relaxed))
    }

    /// Fills in all totals, in the order of [`NAMES`].
    pub(super) fn all(&self, values: &mut [u64]) {
        for (value, total) in values.iter_mut().zip(&self.totals) {
            *value = total.load(Relaxed);
        }
    }

    /// Returns what the network core calls errors. Any context.
    pub(super) fn errors(&self) -> HardwareErrors {
        HardwareErrors {
            rx_missed_errors: self.total(RX_MISSED),
            tx_errors: self.total(TX_ERRORS),
            tx_aborted_errors: self.total(TX_ABORTED),
            collisions: self.total(MULTI_COLLISIONS),
        }
    }

    /// Returns what IEEE 802.3 has names for; the assignment is r8169's.
    pub(super) fn mac_statistics(&self) -> MacStatistics {
        MacStatistics {
            frames_transmitted_ok: self.total(TX_OK),
            single_collision_frames: self.total(SINGLE_COLLISIONS),
            multiple_collision_frames: self.total(MULTI_COLLISIONS),
            frames_received_ok: self.total(RX_OK),
            alignment_errors: self.total(ALIGN_ERRORS),
            frames_lost_due_to_int_mac_xmit_error: self.total(TX_ERRORS),
            broadcast_frames_received_ok: self.total(BROADCAST),
            multicast_frames_received_ok: self.total(MULTICAST),
        }
    }
}
