// SPDX-License-Identifier: GPL-2.0

//! The PHY behind PHYAR: a gigabit PHY of the RTL8211B class, with its cable and a partner at the
//! other end.
//!
//! Negotiation takes its time, and there is no link meanwhile. A driver relies on that: phylib asks
//! a PHY for the speed of a link only if it has seen the link down.

use crate::partner::Partner;

/// Reset, self-clearing.
const BMCR_RESET: u16 = 0x8000;
const BMCR_LOOPBACK: u16 = 0x4000;
const BMCR_SPEED_100: u16 = 0x2000;
const BMCR_AUTONEG: u16 = 0x1000;
const BMCR_POWER_DOWN: u16 = 0x0800;
const BMCR_ISOLATE: u16 = 0x0400;
const BMCR_RESTART: u16 = 0x0200;
const BMCR_FULL_DUPLEX: u16 = 0x0100;
const BMCR_SPEED_1000: u16 = 0x0040;

/// Register 14: no link, whatever BMCR says. Linux' realtek driver sets it to suspend an RTL8211B.
/// iPXE #390 is a PHY of this id that was left so: neither a reset by BMCR nor one of the machine
/// brings the link back, only clearing the bit or cutting the power does (#397 clears it, as
/// FreeBSD and OpenBSD do: "Take PHY out of power down mode").
const NO_LINK: u16 = 0x0200;

/// 10 and 100 Mbit/s in both duplexes, extended status, preamble suppression, can negotiate,
/// extended registers.
const BMSR_ABLE: u16 = 0x7949;
const BMSR_DONE: u16 = 0x0020;
const BMSR_LINK: u16 = 0x0004;

/// MII identity, first half: Realtek. The second is [`Config::phy_id`](crate::Config::phy_id).
const ID1: u16 = 0x001c;

/// Register 14 while 100 Mbit/s are forced on a PHY 001c c910: what realtek.ko writes to it then,
/// with 0x2138 in register 23, and took over from Realtek's driver of the 8169S and 8110S (older
/// r8169 did it on those two alone). Bit 9 is in it, and the link is to work: so this value as a
/// whole takes none there [guess].
const FORCED_100: u16 = 0x0260;

/// The partner's offer besides its modes: next page, acknowledged, pause, IEEE 802.3 selector.
const PARTNER: u16 = 0xc401;

/// The identity's second half that the data sheet gives; "RTL8211" in realtek.ko.
pub const PHY_RTL8211: u16 = 0xc910;
/// That of the RTL8211B, and of the PHY in the 8110SC of iPXE #390.
pub const PHY_RTL8211B: u16 = 0xc912;

/// Heeds PAUSE frames.
const ABILITY_PAUSE: u16 = 0x0400;

/// A fresh advertisement: all modes and no flow control (iPXE #390, after a reset), IEEE 802.3
/// selector.
const ADVERTISE: u16 = 0x01e1;
const ADVERTISE_1000: u16 = 0x0300;

/// Pages that other drivers' PHY fix-ups select; the chip may have more.
const PAGES: usize = 8;

/// Vendor register 17: speed in bits 15:14, duplex 13, page received 12, resolved 11, link 10.
const STATUS_RESOLVED: u16 = 0x0800;
const STATUS_LINK: u16 = 0x0400;
const STATUS_DUPLEX: u16 = 0x2000;

/// Vendor registers 18 and 19: interrupt enable and status; bit 10 is "link changed".
const INTERRUPT_LINK: u16 = 0x0400;

/// Speed of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// 10 Mbit/s
    Mbit10,
    /// 100 Mbit/s
    Mbit100,
    /// 1000 Mbit/s
    Mbit1000,
}

impl Speed {
    /// Returns it in Mbit/s.
    pub fn mbits(self) -> u32 {
        match self {
            Speed::Mbit10 => 10,
            Speed::Mbit100 => 100,
            Speed::Mbit1000 => 1000,
        }
    }
}

/// A link as the two ends agreed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) speed: Speed,
    pub(crate) full_duplex: bool,
    /// Both heed PAUSE frames (IEEE 802.3 28B.3).
    pub(crate) pauses: bool,
}

/// The PHY.
#[derive(Clone, Debug)]
pub struct Phy {
    pages: [[u16; 32]; PAGES],
    page: u16,
    id: u16,
    cable: bool,
    partner: Partner,
    /// The time that a negotiation takes, in nanoseconds.
    negotiation: u64,
    /// The time at which the one that goes on ends.
    due: Option<u64>,
    /// The outcome of the last one.
    agreed: Option<Link>,
    now: u64,
    /// BMSR's link bit stays clear until it has been read once after a loss (IEEE 802.3
    /// 22.2.4.2.13).
    lost: bool,
    interrupts: u16,
}

/// The effect of a register access on the rest of the chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) link_changed: bool,
    pub(crate) unmodelled: bool,
    /// An access that silicon is not known to take.
    pub(crate) harm: Option<&'static str>,
}

/// Bits 13:5 of an MMD access control word (IEEE 802.3 45.2, Clause 22 register 13), which are
/// reserved.
const MMD_RESERVED: u16 = 0x3fe0;

/// Returns what is wrong with a write to a register of page 0.
///
/// This PHY has no MMDs: registers 13 and 14 are its own. Linux' realtek driver has stubs for its
/// id since 0231b1a074c6 ("the subsequent writing to the MMD registers does cause the phy
/// malfunction"). Realtek's r8168 writes 0xf8a0 to register 13, which is no MMD command; 14 is
/// written by the drivers of a PHY 001c c912 as 0 and 0x0200 only, and of one 001c c910 as
/// [`FORCED_100`], too, in that mode.
fn harm(register: usize, value: u16, forced_100: bool) -> Option<&'static str> {
    match register {
        13 if value & MMD_RESERVED == 0 => {
            Some("an MMD access (Clause 45 over registers 13 and 14): this PHY has none, and fails")
        }
        14 if value == FORCED_100 && forced_100 => None,
        14 if value & !NO_LINK != 0 => Some("register 14 takes 0 and 0x0200 only"),
        _ => None,
    }
}

impl Phy {
    /// A PHY that has got power, with its cable plugged in. `negotiation` is in nanoseconds.
    pub(crate) fn new(id: u16, partner: Partner, negotiation: u64, now: u64) -> Self {
        let mut phy = Phy {
            id,
            pages: [[0; 32]; PAGES],
            page: 0,
            cable: true,
            partner,
            negotiation,
            due: None,
            agreed: None,
            now,
            lost: false,
            interrupts: 0,
        };
        // As iPXE #390 shows them.
        phy.pages[0][7] = 0x2001;
        phy.pages[0][12] = 0x1007;
        phy.pages[0][13] = 0xf880;
        phy.reset();
        phy.negotiate();
        phy.lost = false;
        phy.interrupts = 0;
        phy
    }

    /// Resets as BMCR does. Register 14 is not touched (iPXE #390).
    fn reset(&mut self) {
        let main = &mut self.pages[0];
        main[0] = BMCR_AUTONEG | BMCR_SPEED_1000 | BMCR_FULL_DUPLEX;
        main[4] = ADVERTISE;
        main[9] = ADVERTISE_1000;
        main[18] = 0;
        self.page = 0;
        self.interrupts = 0;
    }

    /// Returns whether there could be a link.
    fn ready(&self) -> bool {
        let off = self.pages[0][0] & (BMCR_POWER_DOWN | BMCR_ISOLATE) != 0;
        let taken = match self.pages[0][14] {
            FORCED_100 => !self.is_forced_100(),
            value => value & NO_LINK != 0,
        };
        self.cable && !off && !taken
    }

    /// Returns whether this is a PHY 001c c910 that is forced to 100 Mbit/s.
    fn is_forced_100(&self) -> bool {
        let forced = self.pages[0][0] & (BMCR_AUTONEG | BMCR_SPEED_1000 | BMCR_SPEED_100);
        self.id == PHY_RTL8211 && forced == BMCR_SPEED_100
    }

    fn negotiates(&self) -> bool {
        self.pages[0][0] & BMCR_AUTONEG != 0
    }

    /// Begins a negotiation if there is to be one: the link is lost until it ends.
    fn negotiate(&mut self) {
        self.due = None;
        self.agreed = None;
        if !self.ready() || !self.negotiates() {
            return;
        }
        self.lost = true;
        self.interrupts |= INTERRUPT_LINK;
        if self.negotiation == 0 {
            self.agreed = self.resolve();
        } else {
            self.due = Some(self.now.saturating_add(self.negotiation));
        }
    }

    /// Returns when a negotiation ends.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.due
    }

    /// Sets the time; true when that brought a link.
    pub(crate) fn tick(&mut self, now: u64) -> bool {
        self.now = now;
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let before = self.link();
        self.due = None;
        self.agreed = self.resolve();
        self.changed(before)
    }

    /// The mode that BMCR forces.
    fn forced(&self) -> Link {
        let control = self.pages[0][0];
        let speed = match control & (BMCR_SPEED_1000 | BMCR_SPEED_100) {
            0 => Speed::Mbit10,
            BMCR_SPEED_100 => Speed::Mbit100,
            _ => Speed::Mbit1000,
        };
        Link {
            speed,
            full_duplex: control & BMCR_FULL_DUPLEX != 0,
            pauses: false,
        }
    }

    /// The best of the modes that both ends have. A partner that does not negotiate is recognized
    /// by its signal (parallel detection, IEEE 802.3 28.2.3.1): it shows its speed and not its
    /// duplex, which is then half.
    fn resolve(&self) -> Option<Link> {
        let [ours, ours_1000] = [self.pages[0][4], self.pages[0][9]];
        let theirs = if self.partner.negotiates() {
            self.partner.modes()
        } else {
            self.partner.detected()
        };
        let common = ours & theirs;
        let announced = if self.partner.negotiates() {
            ours & PARTNER
        } else {
            0
        };
        let common_1000 = ours_1000 & self.partner.modes_1000();
        let modes = [
            (common_1000 & 0x0200, Speed::Mbit1000, true),
            (common_1000 & 0x0100, Speed::Mbit1000, false),
            (common & 0x0100, Speed::Mbit100, true),
            (common & 0x0080, Speed::Mbit100, false),
            (common & 0x0040, Speed::Mbit10, true),
            (common & 0x0020, Speed::Mbit10, false),
        ];
        modes
            .iter()
            .find(|mode| mode.0 != 0)
            .map(|&(_, speed, full_duplex)| Link {
                speed,
                full_duplex,
                pauses: full_duplex && announced & ABILITY_PAUSE != 0,
            })
    }

    /// Returns whether the partner has a speed, in either duplex: what a forced link needs of it.
    fn partner_has(&self, speed: Speed) -> bool {
        let modes = match speed {
            Speed::Mbit10 => self.partner.modes() & 0x0060,
            Speed::Mbit100 => self.partner.modes() & 0x0180,
            Speed::Mbit1000 => self.partner.modes_1000(),
        };
        modes != 0
    }

    /// The link as it is now.
    pub(crate) fn link(&self) -> Option<Link> {
        let control = self.pages[0][0];
        if control & BMCR_LOOPBACK != 0 {
            // A PHY in loopback is its own partner.
            let off = control & (BMCR_POWER_DOWN | BMCR_ISOLATE) != 0;
            return (!off).then(|| self.forced());
        }
        if !self.ready() {
            None
        } else if self.negotiates() {
            self.agreed
        } else {
            Some(self.forced()).filter(|link| self.partner_has(link.speed))
        }
    }

    /// The agreed speed, `None` without a link.
    pub fn speed(&self) -> Option<Speed> {
        self.link().map(|link| link.speed)
    }

    /// Returns whether the agreed link is full duplex.
    pub fn full_duplex(&self) -> bool {
        self.link().is_some_and(|link| link.full_duplex)
    }

    /// Returns whether the two ends have agreed on flow control.
    pub(crate) fn pauses(&self) -> bool {
        self.link().is_some_and(|link| link.pauses)
    }

    /// Returns whether the cable is plugged in.
    pub fn cable(&self) -> bool {
        self.cable
    }

    /// The page that register 31 selects.
    pub fn page(&self) -> u16 {
        self.page
    }

    /// A register as it is, without the effects that reading it has.
    pub fn peek(&self, register: u8) -> u16 {
        self.clone().read(register).0
    }

    /// Returns whether frames that are sent come straight back.
    pub fn loopback(&self) -> bool {
        self.pages[0][0] & BMCR_LOOPBACK != 0
    }

    /// The partner at the other end of the cable.
    pub fn partner(&self) -> Partner {
        self.partner
    }

    /// Plugs the cable in or out; true when that changed the link.
    pub(crate) fn plug(&mut self, cable: bool) -> bool {
        let before = self.link();
        if cable != self.cable {
            self.cable = cable;
            self.negotiate();
        }
        self.changed(before)
    }

    /// Plugs the cable into another partner; true when that changed the link.
    pub(crate) fn set_partner(&mut self, partner: Partner) -> bool {
        let before = self.link();
        self.partner = partner;
        self.negotiate();
        self.changed(before)
    }

    fn changed(&mut self, before: Option<Link>) -> bool {
        let now = self.link();
        if now.is_none() {
            self.lost = true;
        }
        if now != before {
            self.interrupts |= INTERRUPT_LINK;
        }
        now != before
    }

    pub(crate) fn read(&mut self, register: u8) -> (u16, Effect) {
        let register = usize::from(register & 31);
        let mut effect = Effect::default();
        if register == 31 {
            return (self.page, effect);
        }
        let Some(page) = self.pages.get(usize::from(self.page)) else {
            effect.unmodelled = true;
            return (0, effect);
        };
        if self.page != 0 {
            return (page[register], effect);
        }
        let link = self.link();
        let negotiated = link.filter(|_| page[0] & BMCR_AUTONEG != 0);
        let announced = negotiated.filter(|_| self.partner.negotiates());
        let value = match register {
            1 => {
                let mut status = BMSR_ABLE;
                if negotiated.is_some() {
                    status |= BMSR_DONE;
                }
                if link.is_some() && !self.lost {
                    status |= BMSR_LINK;
                }
                self.lost = link.is_none();
                status
            }
            2 => ID1,
            3 => self.id,
            5 if announced.is_some() => PARTNER | self.partner.modes(),
            // The speed that was detected.
            5 if negotiated.is_some() => self.partner.detected(),
            // Expansion: we have next pages (iPXE #390); the partner can negotiate, a page was
            // received.
            6 if announced.is_some() => 0x0007,
            6 => 0x0004,
            // 1000BASE-T status: both receivers fine, we are the master; what the partner has.
            10 if announced.is_some() => {
                let gigabit = announced.is_some_and(|link| link.speed == Speed::Mbit1000);
                let status = if gigabit { 0x7000 } else { 0 };
                status | self.partner.modes_1000() << 2
            }
            5 | 10 => 0,
            // Extended status: 1000BASE-T in both duplexes.
            15 => 0x3000,
            17 => match link {
                None => 0,
                Some(link) => {
                    let speed = match link.speed {
                        Speed::Mbit10 => 0,
                        Speed::Mbit100 => 0x4000,
                        Speed::Mbit1000 => 0x8000,
                    };
                    let duplex = if link.full_duplex { STATUS_DUPLEX } else { 0 };
                    speed | duplex | STATUS_RESOLVED | STATUS_LINK
                }
            },
            19 => std::mem::take(&mut self.interrupts),
            _ => page[register],
        };
        (value, effect)
    }

    pub(crate) fn write(&mut self, register: u8, value: u16) -> Effect {
        let register = usize::from(register & 31);
        let mut effect = Effect::default();
        if register == 31 {
            self.page = value;
            return effect;
        }
        let current = usize::from(self.page);
        if current >= PAGES {
            effect.unmodelled = true;
            return effect;
        }
        if current != 0 {
            self.pages[current][register] = value;
            return effect;
        }
        let before = self.link();
        effect.harm = harm(register, value, self.is_forced_100());
        match register {
            0 => {
                let was_down = self.pages[0][0] & BMCR_POWER_DOWN != 0;
                let was_ready = self.ready() && self.negotiates();
                if value & BMCR_RESET != 0 {
                    self.reset();
                } else {
                    self.pages[0][0] = value & !BMCR_RESTART;
                }
                let is_down = self.pages[0][0] & BMCR_POWER_DOWN != 0;
                let is_ready = self.ready() && self.negotiates();
                let asked = value & (BMCR_RESTART | BMCR_RESET) != 0;
                let renegotiates = is_ready && (asked || !was_ready);
                if renegotiates || !is_ready {
                    self.negotiate();
                }
                effect.link_changed = self.changed(before) || was_down != is_down;
                // One that takes no time drops the link all the same.
                effect.link_changed |= renegotiates && before.is_some();
            }
            // Identity, status and what the partner said are not for writing.
            1..=3 | 5 | 6 | 8 | 10 | 15 | 17 | 19 => {}
            14 => {
                let was_ready = self.ready();
                self.pages[0][14] = value;
                if self.ready() != was_ready {
                    self.negotiate();
                }
                effect.link_changed = self.changed(before);
            }
            // A new advertisement counts from the next negotiation on.
            _ => self.pages[0][register] = value,
        }
        effect
    }

    /// PHYstatus (0x6c): full duplex 0x01, link 0x02, 10/100/1000 Mbit/s 0x04/0x08/0x10, flow
    /// control in receiving and in sending 0x20, 0x40 (names of r8169 and Plan 9).
    pub(crate) fn status(&self) -> u8 {
        match self.link() {
            // Seen on an 8110SC with the same PHY (iPXE #390).
            None => 0x04,
            Some(link) => {
                let speed = match link.speed {
                    Speed::Mbit10 => 0x04,
                    Speed::Mbit100 => 0x08,
                    Speed::Mbit1000 => 0x10,
                };
                let pauses = if link.pauses { 0x60 } else { 0 };
                0x02 | speed | pauses | u8::from(link.full_duplex)
            }
        }
    }
}

#[cfg(test)]
mod tests;
