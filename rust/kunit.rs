// SPDX-License-Identifier: GPL-2.0

//! KUnit tests, for what is arithmetic and needs no chip.
//!
//! They run when the module is loaded into a kernel that has KUnit (`make test-debug`); the stock
//! kernel has none, and its module none of this. They are here and not beside what they test,
//! because the macro expands to code that `driver` may not have. The rings are tested on the host,
//! in `tests/rings`.

use kernel::prelude::kunit_tests;

#[kunit_tests(r8168_rust)]
mod tests {
    use crate::{
        driver::{
            chip::Xid,
            coalesce::Mitigation,
            phy::mask_master_fault, //
        },
        net::{
            ethtool::{
                Coalesce,
                RingSizes,
                WakeEvents, //
            },
            from_device::FromDevice, //
        },
    };

    const SPEEDS: [Option<u32>; 4] = [None, Some(10), Some(100), Some(1000)];

    fn waits(usecs: u32, frames: u32) -> Coalesce {
        Coalesce {
            rx_usecs: usecs,
            rx_frames: frames,
            tx_usecs: usecs / 2,
            tx_frames: frames / 2,
        }
    }

    #[test]
    fn a_coalescing_time_is_rounded_up_and_not_far() {
        for speed in SPEEDS {
            for usecs in 1..=2400 {
                let wanted = waits(usecs, 0);
                let Ok(mitigation) = Mitigation::encode(speed, &wanted) else {
                    // 15 units of 2.56 us times 32.
                    assert!(usecs > 1228);
                    continue;
                };
                let got = mitigation.decode(speed);
                assert!(got.rx_usecs >= usecs && got.tx_usecs >= usecs / 2);
                // A unit is 8 times the next finer one at most, 15 of which were too few.
                assert!(got.rx_usecs <= usecs + (usecs * 8 / 15).max(40) + 2);
                assert!(Mitigation::encode(speed, &got).is_ok());
            }
        }
    }

    #[test]
    fn coalescing_frames_come_in_fours() {
        for frames in 0..=60 {
            let mitigation = Mitigation::nearest(Some(1000), &waits(100, frames));
            let got = mitigation.decode(Some(1000));
            assert_eq!(got.rx_frames, frames.next_multiple_of(4));
            assert_eq!(got.tx_frames, (frames / 2).next_multiple_of(4));
        }
    }

    #[test]
    fn impossible_coalescing_is_refused() {
        assert!(Mitigation::encode(Some(1000), &waits(100, 61)).is_err());
        assert!(Mitigation::encode(Some(1000), &waits(0, 4)).is_err());
        assert!(Mitigation::encode(Some(1000), &waits(2400, 0)).is_ok());
        assert!(Mitigation::encode(Some(1000), &waits(2401, 0)).is_err());
        let most = Mitigation::nearest(Some(1000), &waits(u32::MAX, 0)).decode(Some(1000));
        assert_eq!(most.rx_usecs, 2400);
        assert!(Mitigation::OFF.decode(None) == waits(0, 0));
    }

    #[test]
    fn two_families_of_xids_are_ours() {
        let chips = |config: u32| Xid::of(FromDevice::new(config)).chip();
        let ours = (0..1 << 12).filter_map(|bits| chips(bits << 20)).count();
        // Six of the twelve bits decide.
        assert_eq!(ours, 2 * (1 << 6));
        assert!(chips(0x3000_0000).is_some() && chips(0x3800_0000).is_some());
        assert!(chips(0x3c00_0000).is_none() && chips(0x1800_0000).is_none());
        assert!(chips(!0).is_none());
    }

    #[test]
    fn ring_sizes_are_checked() {
        let sizes = RingSizes {
            rx: 8..=1024,
            tx: 64..=1024,
            default: 256,
        };
        assert!(sizes.check(8, 64).is_ok() && sizes.check(1000, 1024).is_ok());
        assert!(sizes.check(7, 64).is_err() && sizes.check(1025, 64).is_err());
        assert!(sizes.check(8, 65).is_err() && sizes.check(8, 2048).is_err());
    }

    #[test]
    fn only_possible_events_wake() {
        let both = WakeEvents::PHY.with(WakeEvents::MAGIC);
        assert!(both.contains(WakeEvents::PHY) && !both.contains(WakeEvents::UNICAST));
        assert!(WakeEvents::NONE.is_none() && !both.is_none());
        assert!(WakeEvents::PHY.contains(WakeEvents::NONE));
    }

    #[test]
    fn phylib_hears_of_no_missing_master() {
        for register in 0..32 {
            // Register 10 is the status of 1000BASE-T, its bit 15 the fault.
            let heard = if register == 10 { 0x7fff } else { 0xffff };
            assert_eq!(mask_master_fault(register, 0xffff), heard);
        }
    }
}
