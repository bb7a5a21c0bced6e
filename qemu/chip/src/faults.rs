// SPDX-License-Identifier: GPL-2.0

//! Injected faults: errors that a card makes on request.
//!
//! Each fault is off until a [`FaultConfig`] turns it on. While it is on, it *fires* at its
//! opportunities (a frame, an interrupt, a read ...): at one in [`FaultConfig::rate`] of them,
//! drawn from [`FaultConfig::seed`], [`FaultConfig::count`] times at most. The same configuration
//! and the same opportunities give the same hits: a run can be repeated.
//!
//! The effect of a fault is no violation of the driver's and is counted apart
//! ([`FaultInjector::hits`]). What the driver does wrong because of it is counted as ever.

mod lie;
mod script;

pub use script::Lie;
pub(crate) use script::{INTERRUPT, RX_FIRST, RX_SECOND, TX_FIRST};

/// Numbers from a seed: xorshift64*, whose first state is scattered so that neighbouring seeds
/// differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let scattered = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Random((scattered ^ (scattered >> 31)) | 1)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// From zero on, less than `end`, which is not zero.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.next() % end.max(1)
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $id:ident = $name:literal, $rate:literal, $millis:literal;)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum FaultKind { $($(#[doc = $doc])* $id),+ }

        /// Kind, name, default rate, default time, and its effect in words.
        const TABLE: &[(FaultKind, &str, u32, u32, &str)] =
            &[$((FaultKind::$id, $name, $rate, $millis, concat!($($doc),*))),+];
    };
}

kinds! {
    /// Doorbells are noted and nothing is sent; frames that wait are sent when it ends
    TxStall = "tx-stall", 1, 0;
    /// A doorbell is lost if the interrupt of the frame before has not been acknowledged yet
    LostDoorbell = "lost-doorbell", 4, 0;
    /// An event shows in IntrStatus and does not reach the line; the next one does
    LostInterrupt = "lost-interrupt", 4, 0;
    /// The line goes up for a moment for nothing, every --millis
    SpuriousInterrupt = "spurious-interrupt", 1, 10;
    /// Descriptors come back --millis after their interrupt; then it comes again
    DelayOwn = "delay-own", 1, 2;
    /// The verdict on a received packet's checksum is turned round
    BadChecksum = "bad-checksum", 1, 0;
    /// A received frame has a wrong check sequence
    CrcError = "crc-error", 1, 0;
    /// A received frame is cut to less than 60 bytes
    Runt = "runt", 1, 0;
    /// A received frame is stretched to between 1519 and 16379 bytes
    Giant = "giant", 1, 0;
    /// A received frame is lost inside: RxFIFOOver, RxMissed
    RxFifoOverflow = "rx-fifo-overflow", 1, 0;
    /// The cable comes out and goes in at times of --millis at most
    LinkFlap = "link-flap", 1, 1000;
    /// The card is not there: all reads are ones, writes and frames are lost; it comes back as
    /// after power-on
    Gone = "gone", 1, 0;
    /// Transfers are not answered: SYSErr and a master abort
    PciAbort = "pci-abort", 1, 0;
    /// Transfers go wrong behind the chip's back, as when an IOMMU blocks them: ones are read,
    /// writes are lost
    DmaFault = "dma-fault", 1, 0;
    /// Register reads, descriptors and interrupts are anything at all
    Lie = "lie", 8, 0;
    /// Transfers wait for the bus until it ends, which it does when bus mastering is switched off,
    /// too
    BusStall = "bus-stall", 1, 0;
    /// A reset by ChipCmd hangs until it ends: the chip has all it had, and no write has an effect
    ResetHang = "reset-hang", 1, 0;
    /// A dump of the tally counters does not end while the receiver is off (r8169: "Some chips are
    /// unable to ...")
    TallyHang = "tally-hang", 1, 0;
}

/// The number of kinds.
const KINDS: usize = TABLE.len();

impl FaultKind {
    /// All of them.
    pub fn all() -> impl Iterator<Item = FaultKind> {
        TABLE.iter().map(|entry| entry.0)
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<FaultKind> {
        TABLE
            .iter()
            .find(|entry| entry.1 == name)
            .map(|entry| entry.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Its effect, in words.
    pub fn description(self) -> &'static str {
        TABLE[self as usize].4.trim_start()
    }

    /// The default rate: one in so many.
    pub fn default_rate(self) -> u32 {
        TABLE[self as usize].2
    }

    /// The default time in milliseconds; zero where a fault has none.
    pub fn default_millis(self) -> u32 {
        TABLE[self as usize].3
    }

    /// Returns whether it fires by the clock, and not at opportunities.
    fn timed(self) -> bool {
        matches!(self, FaultKind::SpuriousInterrupt | FaultKind::LinkFlap)
    }
}

/// The configuration that turns a fault on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultConfig {
    /// The kind.
    pub kind: FaultKind,
    /// Says whether it is on; what follows is for on.
    pub on: bool,
    /// The seed of its choices.
    pub seed: u64,
    /// It fires at one in so many opportunities.
    pub rate: u32,
    /// It ends by itself after so many hits.
    pub count: Option<u32>,
    /// The kind's time, in milliseconds.
    pub millis: u32,
    /// It ends with the next reset by ChipCmd, as a chip that hangs is cured by one.
    pub until_reset: bool,
}

impl FaultConfig {
    /// Off.
    pub fn off(kind: FaultKind) -> Self {
        FaultConfig {
            on: false,
            ..FaultConfig::on(kind)
        }
    }

    /// Returns the settings of a fault that is on, with the defaults.
    pub fn on(kind: FaultKind) -> Self {
        FaultConfig {
            kind,
            on: true,
            seed: 0,
            rate: kind.default_rate(),
            count: None,
            millis: kind.default_millis(),
            until_reset: false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Active {
    config: FaultConfig,
    random: Random,
    left: Option<u32>,
    /// The time at which it fires next, if it is [`FaultKind::timed`].
    next: u64,
}

/// All faults of a card.
#[derive(Clone, Debug, Default)]
pub struct FaultInjector {
    active: [Option<Active>; KINDS],
    hits: [u64; KINDS],
    script: Vec<Lie>,
    lies: u64,
}

/// Faults that a tick found due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) pulse: bool,
    pub(crate) flap: bool,
}

impl FaultInjector {
    /// None.
    pub fn new() -> Self {
        FaultInjector::default()
    }

    /// Turns one on or off.
    pub fn configure(&mut self, config: FaultConfig, now: u64) {
        let active = config.on.then(|| {
            let mut active = Active {
                config,
                random: Random::new(config.seed),
                left: config.count,
                next: 0,
            };
            active.schedule(now);
            active
        });
        self.active[config.kind as usize] = active;
    }

    /// Returns whether a fault is on.
    pub fn on(&self, kind: FaultKind) -> bool {
        self.active[kind as usize].is_some()
    }

    /// Its configuration, if it is on.
    pub fn settings(&self, kind: FaultKind) -> Option<FaultConfig> {
        self.active[kind as usize].map(|active| active.config)
    }

    /// The number of times that it has fired.
    pub fn hits(&self, kind: FaultKind) -> u64 {
        self.hits[kind as usize]
    }

    /// Returns whether a fault fires at this opportunity.
    pub fn fires(&mut self, kind: FaultKind) -> bool {
        let Some(active) = &mut self.active[kind as usize] else {
            return false;
        };
        let rate = active.config.rate;
        if rate > 1 && active.random.below(rate) != 0 {
            return false;
        }
        self.hits[kind as usize] += 1;
        if let Some(left) = &mut active.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.active[kind as usize] = None;
            }
        }
        true
    }

    /// Returns whether a fault that lasts as long as it is on is on, and counts a hit then.
    pub(crate) fn is_active(&mut self, kind: FaultKind) -> bool {
        let on = self.on(kind);
        if on {
            self.hits[kind as usize] += 1;
        }
        on
    }

    /// A number from a fault's seed, less than `end`.
    pub(crate) fn draw(&mut self, kind: FaultKind, end: u32) -> u32 {
        match &mut self.active[kind as usize] {
            Some(active) => active.random.below(end),
            // The last hit has just ended it.
            None => Random::new(self.hits[kind as usize]).below(end),
        }
    }

    /// A kind's time in nanoseconds.
    pub(crate) fn delay(&self, kind: FaultKind) -> u64 {
        let millis = self.settings(kind).map_or(0, |config| config.millis);
        u64::from(millis) * 1_000_000
    }

    /// Ends the faults that a reset ends.
    pub fn reset(&mut self) {
        for active in &mut self.active {
            if active.is_some_and(|active| active.config.until_reset) {
                *active = None;
            }
        }
    }

    /// Returns when the next timed fault is due.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.active
            .iter()
            .flatten()
            .filter(|active| active.config.kind.timed())
            .map(|active| active.next)
            .min()
    }

    /// Fires the timed faults that are due.
    pub(crate) fn due(&mut self, now: u64) -> Due {
        let mut due = Due::default();
        for kind in [FaultKind::SpuriousInterrupt, FaultKind::LinkFlap] {
            let Some(active) = &mut self.active[kind as usize] else {
                continue;
            };
            if active.next > now {
                continue;
            }
            active.schedule(now);
            if self.fires(kind) {
                match kind {
                    FaultKind::LinkFlap => due.flap = true,
                    _ => due.pulse = true,
                }
            }
        }
        due
    }
}

impl Active {
    fn schedule(&mut self, now: u64) {
        let millis = self.config.millis.max(1);
        let wait = match self.config.kind {
            FaultKind::LinkFlap => 1 + self.random.below(millis),
            _ => millis,
        };
        self.next = now.saturating_add(u64::from(wait) * 1_000_000);
    }
}

#[cfg(test)]
mod tests;
