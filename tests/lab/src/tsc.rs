// SPDX-License-Identifier: GPL-2.0

//! The frequency of this machine's time stamp counter, which guests without KVM count by.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time that is measured, and how often each end of it is read.
const SPAN: Duration = Duration::from_millis(50);
const READINGS: u32 = 50;

/// The frequency in kHz, measured once; none where there is no such counter.
pub fn khz() -> Option<u64> {
    static KHZ: OnceLock<Option<u64>> = OnceLock::new();
    *KHZ.get_or_init(measure)
}

#[cfg(target_arch = "x86_64")]
fn measure() -> Option<u64> {
    let (begin, from) = reading();
    std::thread::sleep(SPAN);
    let (end, to) = reading();
    let nanoseconds = to.duration_since(from).as_nanos();
    let ticks = u128::from(end.checked_sub(begin)?);
    u64::try_from(ticks * 1_000_000 / nanoseconds).ok()
}

#[cfg(not(target_arch = "x86_64"))]
fn measure() -> Option<u64> {
    None
}

/// The counter and the time of one moment: of several readings the one that took the fewest ticks,
/// for the host may have run something else during the others.
#[cfg(target_arch = "x86_64")]
fn reading() -> (u64, Instant) {
    // SAFETY: Each processor of this architecture has the counter, and Linux lets programs read it
    // unless they ask otherwise.
    let ticks = || unsafe { std::arch::x86_64::_rdtsc() };
    let mut best = (u64::MAX, ticks(), Instant::now());
    for _ in 0..READINGS {
        let before = ticks();
        let now = Instant::now();
        let took = ticks().saturating_sub(before);
        if took < best.0 {
            best = (took, before + took / 2, now);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    /// Two measurements agree within the half percent that Linux corrects later; also where other
    /// programs want the processors.
    #[test]
    fn two_measurements_agree() {
        let Some(first) = super::measure() else {
            return;
        };
        let second = super::measure().unwrap();
        let apart = first.abs_diff(second);
        assert!(apart * 200 < first, "{first} and {second} kHz");
    }
}
