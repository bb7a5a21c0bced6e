// SPDX-License-Identifier: GPL-2.0

use super::*;

const MS: u64 = 1_000_000;

/// A PHY that takes no time.
fn phy() -> Phy {
    Phy::new(PHY_RTL8211B, Partner::default(), 0, 0)
}

#[test]
fn identity_and_a_gigabit_link() {
    let mut phy = phy();
    assert_eq!(phy.read(2).0, 0x001c);
    assert_eq!(phy.read(3).0, 0xc912);
    assert_eq!(phy.read(1).0, 0x796d);
    assert_eq!(phy.read(17).0, 0xac00);
    assert_eq!(phy.status(), 0x13);
}

#[test]
fn reset_clears_itself_and_restores_the_defaults() {
    let mut phy = phy();
    phy.write(4, 0);
    phy.write(0, BMCR_RESET);
    assert_eq!(phy.read(0).0 & BMCR_RESET, 0);
    assert_eq!(phy.read(4).0, ADVERTISE);
}

#[test]
fn power_down_takes_the_link_and_says_so() {
    let mut phy = phy();
    assert!(phy.write(0, 0x1940).link_changed);
    assert_eq!(phy.status(), 0x04);
    assert_eq!(phy.read(17).0, 0);
    assert!(phy.write(0, 0x1140).link_changed);
    assert_eq!(phy.status(), 0x13);
    assert_eq!(phy.read(1).0 & BMSR_LINK, 0, "the loss is latched");
    assert_ne!(phy.read(1).0 & BMSR_LINK, 0);
}

#[test]
fn a_restart_is_a_link_change_even_when_it_ends_the_same() {
    let mut phy = phy();
    assert!(phy.write(0, 0x1340).link_changed);
    assert_eq!(phy.read(0).0 & BMCR_RESTART, 0);
    assert_eq!(phy.read(19).0 & INTERRUPT_LINK, INTERRUPT_LINK);
    assert_eq!(phy.read(19).0, 0);
}

#[test]
fn negotiation_takes_the_best_common_mode() {
    let mut phy = phy();
    phy.write(9, 0);
    assert_eq!(phy.status(), 0x13, "not before it is negotiated");
    phy.write(0, 0x1200);
    assert_eq!(phy.status(), 0x0b);
    phy.write(4, 0x0021);
    phy.write(0, 0x1200);
    assert_eq!(phy.status(), 0x06);
    phy.write(4, 0x0001);
    phy.write(0, 0x1200);
    assert_eq!(phy.status(), 0x04);
}

#[test]
fn there_is_no_link_while_it_is_negotiated() {
    let mut phy = Phy::new(PHY_RTL8211B, Partner::default(), 50 * MS, 0);
    assert_eq!(phy.status(), 0x04);
    assert_eq!(phy.deadline(), Some(50 * MS));
    assert!(!phy.tick(49 * MS));
    assert!(phy.tick(50 * MS));
    assert_eq!((phy.status(), phy.deadline()), (0x13, None));
    phy.read(1);
    assert_ne!(phy.read(1).0 & BMSR_LINK, 0);
    // phylib reads the status twice, and asks for the speed only if the link was down the second
    // time.
    phy.write(9, 0);
    assert!(phy.write(0, 0x1200).link_changed);
    for _ in 0..2 {
        assert_eq!(phy.read(1).0 & (BMSR_LINK | BMSR_DONE), 0);
    }
    assert_eq!((phy.read(5).0, phy.read(17).0, phy.status()), (0, 0, 0x04));
    phy.tick(99 * MS);
    // Asked for once more, it begins once more.
    assert!(!phy.write(0, 0x1200).link_changed);
    assert!(!phy.tick(100 * MS));
    assert!(phy.tick(149 * MS));
    assert_eq!(phy.status(), 0x0b);
}

#[test]
fn what_interrupts_a_negotiation() {
    let mut phy = Phy::new(PHY_RTL8211B, Partner::default(), 50 * MS, 0);
    phy.plug(false);
    assert_eq!(phy.deadline(), None);
    phy.plug(true);
    phy.write(0, 0x1800);
    assert_eq!(phy.deadline(), None, "powered down");
    phy.write(0, 0x1000);
    assert!(phy.deadline().is_some());
    phy.write(0, BMCR_SPEED_100);
    assert_eq!((phy.deadline(), phy.status()), (None, 0x0a), "forced");
    phy.write(0, 0x1000);
    assert!(phy.deadline().is_some(), "switched on, it begins");
    phy.write(0, 0x9000);
    assert!(phy.deadline().is_some());
    phy.write(14, NO_LINK);
    assert_eq!(phy.deadline(), None);
    phy.write(14, 0);
    assert!(phy.deadline().is_some());
}

fn with(partner: &str) -> Phy {
    Phy::new(PHY_RTL8211B, partner.parse().unwrap(), 0, 0)
}

#[test]
fn partners_of_less() {
    for (partner, status, lpa, status_1000) in [
        ("100", 0x0b, 0xc5e1, 0),
        ("10full,100half", 0x0a, 0xc4c1, 0),
        ("10half", 0x06, 0xc421, 0),
        ("1000half,100full", 0x12, 0xc501, 0x7400),
        // Not announced, and taken for half duplex.
        ("fixed-100full", 0x0a, 0x0080, 0),
        ("fixed-10half", 0x06, 0x0020, 0),
    ] {
        let mut phy = with(partner);
        assert_eq!(phy.status(), status, "{partner}");
        assert_eq!(
            (phy.read(5).0, phy.read(10).0),
            (lpa, status_1000),
            "{partner}"
        );
        assert_eq!(phy.read(6).0 & 1, u16::from(!partner.starts_with("fixed")));
    }
    let mut phy = with("100");
    phy.write(0, BMCR_SPEED_1000);
    assert_eq!(phy.status(), 0x04, "forced to what the partner has not");
    phy.write(0, BMCR_SPEED_100 | BMCR_FULL_DUPLEX);
    assert_eq!(phy.status(), 0x0b);
    assert!(phy.set_partner("10".parse().unwrap()));
    assert_eq!(phy.status(), 0x04);
}

#[test]
fn a_forced_speed_must_be_one_of_the_partner() {
    let speeds = [
        ("10", 0),
        ("100", BMCR_SPEED_100),
        ("1000", BMCR_SPEED_1000),
    ];
    for (has, _) in speeds {
        for (wanted, bmcr) in speeds {
            for duplex in ["half", "full"] {
                let mut phy = with(&format!("{has}{duplex}"));
                phy.write(0, bmcr);
                let linked = phy.status() & 0x02 != 0;
                assert_eq!(linked, has == wanted, "{wanted}, of {has}{duplex}");
            }
        }
    }
}

#[test]
fn forced_modes() {
    let mut phy = phy();
    phy.write(0, BMCR_SPEED_100);
    assert_eq!(phy.status(), 0x0a);
    assert_eq!(phy.speed(), Some(Speed::Mbit100));
    assert!(!phy.full_duplex());
    phy.write(0, BMCR_FULL_DUPLEX);
    assert_eq!(phy.status(), 0x07);
    assert_eq!(phy.speed(), Some(Speed::Mbit10));
    assert!(phy.full_duplex());
    assert_eq!(phy.read(1).0 & BMSR_DONE, 0);
}

#[test]
fn pages_are_separate_and_unknown_ones_are_reported() {
    let mut phy = phy();
    phy.write(31, 1);
    phy.write(16, 0xf41b);
    assert_eq!(phy.read(16).0, 0xf41b);
    phy.write(31, 0);
    assert_eq!(phy.read(16).0, 0);
    phy.write(31, 0xffff);
    assert!(phy.write(0, 0x8000).unmodelled);
    assert!(phy.read(0).1.unmodelled);
    assert_eq!(phy.read(31).0, 0xffff);
}

#[test]
fn mmd_accesses_do_harm() {
    let mut phy = phy();
    // What phylib's generic driver writes to advertise EEE.
    for (register, value) in [
        (13, 0x0007),
        (14, 0x003c),
        (13, 0x4007),
        (14, 0x0004),
        (13, 0x0003),
    ] {
        let effect = phy.write(register, value);
        assert!(effect.harm.is_some(), "{register} {value:#x}");
    }
    // What drivers of this PHY write: realtek.ko, and Realtek's r8168.
    for (register, value) in [(14, 0x0200), (14, 0), (13, 0xf8a0)] {
        let effect = phy.write(register, value);
        assert_eq!(effect.harm, None, "{register} {value:#x}");
    }
    phy.write(31, 1);
    assert_eq!(phy.write(13, 0x0007).harm, None, "another page");
}

#[test]
fn register_14_takes_the_link_and_outlives_a_reset() {
    let mut phy = phy();
    assert!(phy.write(14, NO_LINK).link_changed);
    assert_eq!((phy.status() & 2, phy.read(17).0), (0, 0));
    phy.write(0, BMCR_RESET);
    phy.write(0, 0x1340);
    assert_eq!(phy.read(14).0, NO_LINK);
    assert_eq!(phy.read(1).0, BMSR_ABLE);
    assert!(phy.write(14, 0).link_changed);
    assert_eq!(phy.status(), 0x13);
}

#[test]
fn without_a_link_it_reads_as_a_real_one() {
    // iPXE #390: a PHY 001c c912 that a Linux has suspended and iPXE has reset.
    let mut phy = phy();
    phy.write(14, NO_LINK);
    phy.write(0, 0x1000);
    let registers: Vec<u16> = (0..16).map(|register| phy.peek(register)).collect();
    let dump = [
        0x1000, 0x7949, 0x001c, 0xc912, 0x01e1, 0, 0x0004, 0x2001, 0, 0x0300, 0, 0, 0x1007, 0xf880,
        0x0200, 0x3000,
    ];
    assert_eq!(registers, dump);
}

#[test]
fn a_pulled_cable_is_a_lost_link() {
    let mut phy = phy();
    assert!(phy.plug(false));
    assert!(!phy.plug(false));
    assert_eq!(phy.read(1).0 & BMSR_LINK, 0);
    assert!(phy.plug(true));
    assert_eq!(phy.status(), 0x13);
}

/// The writes of realtek.ko to an "RTL8211" when 100 Mbit/s are forced, and when it negotiates
/// again.
#[test]
fn forced_100_on_a_c910() {
    for (id, harmless) in [(PHY_RTL8211, true), (PHY_RTL8211B, false)] {
        let mut phy = Phy::new(id, Partner::default(), 0, 0);
        assert_eq!((phy.read(2).0, phy.read(3).0), (0x001c, id));
        phy.write(0, BMCR_SPEED_100 | BMCR_FULL_DUPLEX);
        assert_eq!(phy.write(23, 0x2138).harm, None);
        let effect = phy.write(14, FORCED_100);
        assert_eq!(
            (effect.harm.is_none(), effect.link_changed),
            (harmless, !harmless)
        );
        assert_eq!(phy.status(), if harmless { 0x0b } else { 0x04 }, "{id:#x}");
        // Negotiating again with it in the register gives no link; 0 does.
        phy.write(0, 0x1340);
        assert_eq!(phy.status(), 0x04, "{id:#x}");
        phy.write(23, 0x2108);
        assert_eq!(phy.write(14, 0).harm, None);
        assert_eq!(phy.status(), 0x13, "{id:#x}");
        // Realtek's r8168 powers both down with it.
        assert!(phy.write(14, NO_LINK).link_changed);
        // In no other mode.
        assert!(phy.write(14, FORCED_100).harm.is_some());
    }
}
