// SPDX-License-Identifier: GPL-2.0

//! Waking the machine: which frames do it while the card sleeps (Config3, Config5), and a change of
//! the link.

use crate::chip::Chip;
use crate::filter::Filter;
use crate::regs::cmd;
use crate::regs::config3;
use crate::regs::config5;
use crate::regs::Reg;

/// The event that woke the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A magic packet.
    Magic,
    /// A frame to the station address.
    Unicast,
    /// A frame to a group that the filter lets through.
    Multicast,
    /// A broadcast frame.
    Broadcast,
    /// The cable was plugged in or pulled.
    Link,
}

/// Returns what a frame wakes the machine by, if it does, with these settings in Config3 and
/// Config5.
fn wakes(filter: &Filter, config3: u32, config5: u32, frame: &[u8]) -> Option<Wake> {
    let destination: [u8; 6] = frame.get(..6)?.try_into().ok()?;
    let on = |wanted: u32, wake| (config5 & wanted != 0).then_some(wake);
    let by_address = if destination == [0xff; 6] {
        on(config5::BROADCAST, Wake::Broadcast)
    } else if destination[0] & 1 != 0 {
        on(config5::MULTICAST, Wake::Multicast).filter(|_| filter.hashed(destination))
    } else if destination == filter.station() {
        on(config5::UNICAST, Wake::Unicast)
    } else {
        None
    };
    let magic = config3 & config3::MAGIC != 0 && is_magic(filter.station(), frame);
    by_address.or(magic.then_some(Wake::Magic))
}

/// Six ones and sixteen times our address, anywhere behind the header, in a frame to us or to a
/// group.
fn is_magic(address: [u8; 6], frame: &[u8]) -> bool {
    let ours = frame.starts_with(&address) || frame.first().is_some_and(|byte| byte & 1 != 0);
    let mut pattern = [0xff; 6 + 16 * 6];
    for copy in pattern[6..].chunks_exact_mut(6) {
        copy.copy_from_slice(&address);
    }
    ours && frame.windows(pattern.len()).any(|part| part == pattern)
}

impl Chip {
    /// A frame has come while the card sleeps.
    pub(crate) fn frame_asleep(&mut self, frame: &[u8]) {
        if self.phy.speed().is_none() || self.gone() {
            return;
        }
        // "WoL fails with 8168b when the receiver is disabled": Linux before 6.1 for both chips,
        // FreeBSD and OpenBSD for both (not for XID 0x384); Realtek's driver, too, sets the ring of
        // 0x300. The ring is needed, too [guess].
        let receiving = self.get(Reg::ChipCmd) & cmd::RX_ENABLE != 0 && self.rx.base.is_some();
        if !receiving {
            return;
        }
        let (config3, config5) = (self.get(Reg::Config3), self.get(Reg::Config5));
        if let Some(wake) = wakes(&self.filter(), config3, config5, frame) {
            self.wake(wake);
        }
    }

    /// The link has changed while the card sleeps.
    pub(crate) fn link_asleep(&mut self) {
        if self.get(Reg::Config3) & config3::LINK_UP != 0 {
            self.wake(Wake::Link);
        }
    }

    fn wake(&mut self, wake: Wake) {
        self.counters.wakes += 1;
        self.woken = Some(wake);
    }

    /// Takes the wake events since the last call: PME is to be raised.
    pub fn take_wake(&mut self) -> Option<Wake> {
        self.woken.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::Revision;
    use crate::testing::Bench;
    use crate::testing::MAC;

    fn magic(destination: [u8; 6]) -> Vec<u8> {
        let mut frame = destination.to_vec();
        frame.extend_from_slice(&[2, 0, 0, 0, 0, 9, 8, 0x42, 0, 0]);
        frame.extend_from_slice(&[0xff; 6]);
        for _ in 0..16 {
            frame.extend_from_slice(&MAC);
        }
        frame
    }

    fn asleep(revision: Revision, config3: u8, config5: u8) -> Bench {
        let mut bench = Bench::open(Config {
            revision,
            ..Config::default()
        });
        bench.w8(Reg::Cfg9346, 0xc0);
        bench.w8(Reg::Config3, config3);
        bench.w8(Reg::Config5, config5);
        bench.w32(Reg::Mar0, u32::MAX);
        bench.w32(Reg::Mar4, u32::MAX);
        bench.chip.set_asleep(true);
        bench
    }

    fn woken(bench: &mut Bench, frame: &[u8]) -> Option<Wake> {
        bench.chip.frame_in(&mut bench.guest, frame, false);
        bench.chip.take_wake()
    }

    #[test]
    fn each_bit_wakes_by_its_own_frames_only() {
        let plain = |destination: [u8; 6]| {
            let mut frame = [0; 60];
            frame[..6].copy_from_slice(&destination);
            frame.to_vec()
        };
        let frames = [
            (magic(MAC), 0x20, 0, Wake::Magic),
            (plain(MAC), 0, 0x10, Wake::Unicast),
            (plain([1, 0, 0x5e, 0, 0, 1]), 0, 0x20, Wake::Multicast),
            (plain([0xff; 6]), 0, 0x40, Wake::Broadcast),
        ];
        for (i, (_, config3, config5, wake)) in frames.iter().enumerate() {
            let mut bench = asleep(Revision::B380, *config3, *config5);
            for (j, (frame, ..)) in frames.iter().enumerate() {
                // A magic packet to the station's address is a frame to it, too.
                let expected = i == j || (i, j) == (1, 0);
                let expected = expected.then_some(*wake);
                assert_eq!(woken(&mut bench, frame), expected, "{i} {j}");
            }
        }
    }

    #[test]
    fn magic_is_for_us() {
        let mut bench = asleep(Revision::B380, 0x20, 0);
        assert_eq!(woken(&mut bench, &magic([0xff; 6])), Some(Wake::Magic));
        assert_eq!(woken(&mut bench, &magic([2, 0, 0, 0, 0, 7])), None);
        let mut other = magic(MAC);
        other[40] ^= 1;
        assert_eq!(woken(&mut bench, &other), None);
        assert_eq!(woken(&mut bench, &magic(MAC)[..100]), None);
        assert_eq!(bench.chip.counters().wakes, 1);
    }

    #[test]
    fn the_receiver_is_needed() {
        for revision in [Revision::B300, Revision::B380] {
            let mut bench = asleep(revision, 0x20, 0);
            assert_eq!(woken(&mut bench, &magic(MAC)), Some(Wake::Magic));
            bench.w8(Reg::ChipCmd, 0x04);
            assert_eq!(woken(&mut bench, &magic(MAC)), None, "{revision:?}");
        }
    }

    #[test]
    fn the_link_wakes_a_sleeper_only() {
        let mut bench = asleep(Revision::B380, 0x10, 0);
        bench.chip.set_link(false);
        assert_eq!(bench.chip.take_wake(), Some(Wake::Link));
        bench.chip.set_link(false);
        assert_eq!(bench.chip.take_wake(), None, "no change");
        bench.chip.set_asleep(false);
        bench.chip.set_link(true);
        assert_eq!(bench.chip.take_wake(), None);
    }
}
