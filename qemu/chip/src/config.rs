// SPDX-License-Identifier: GPL-2.0

//! Plain types at the surface of a chip: its configuration, and what can be asked of it.

use crate::eeprom::Eeprom;
use crate::partner::Partner;
use crate::phy::Phy;
use crate::phy::PHY_RTL8211;
use crate::phy::PHY_RTL8211B;

/// One of the two RTL8111B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revision {
    /// Revision A, XID 0x300 (r8169's VER_11).
    #[default]
    B300,
    /// Revisions B, E and F, XID 0x380 (r8169's VER_17).
    B380,
}

impl Revision {
    /// The identity it shows in TxConfig.
    pub fn xid(self) -> u16 {
        match self {
            Revision::B300 => 0x300,
            Revision::B380 => 0x380,
        }
    }

    /// The second half of its PHY's identity. The data sheet gives one, and was written when there
    /// was 0x300 only: its table of identities in TxConfig (page 7) has no bit 27. 0x380 has that
    /// of the RTL8211B: realtek.ko took it for one on a real card (docs/chip-facts.md).
    pub fn phy_id(self) -> u16 {
        match self {
            Revision::B300 => PHY_RTL8211,
            Revision::B380 => PHY_RTL8211B,
        }
    }
}

/// The fate of a frame for which the driver left no descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxMode {
    /// The behaviour of the data sheet (page 62): where flow control was negotiated the partner
    /// pauses until there is one, else what comes is kept inside, and lost when there is no room;
    /// see [`Config::rx_timeout`].
    #[default]
    Silicon,
    /// It waits outside until there is one, whatever was negotiated.
    Wait,
    /// It is lost at once: there is no room inside, either.
    Drop,
}

/// The settings that a chip is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The chip.
    pub revision: Revision,
    /// The identity to show instead of the revision's own: to see that drivers leave other chips
    /// alone.
    pub xid: Option<u16>,
    /// The second half of the PHY's identity, instead of the revision's own.
    pub phy_id: Option<u16>,
    /// The station address it wakes up with.
    pub mac: [u8; 6],
    /// The fate of frames that find no descriptor.
    pub rx_mode: RxMode,
    /// The EEPROM that is fitted. The address in it, if there is one, comes before `mac`.
    pub eeprom: Eeprom,
    /// The partner at the other end of the cable.
    pub partner: Partner,
    /// The time that a negotiation of the link takes, in milliseconds. Two seconds are true to
    /// life, none is for tests.
    pub negotiation: u32,
    /// The time that an access to the PHY, a reset and a dump of the counters take each, in
    /// microseconds. That they take time is known, as drivers wait for them; how much is not
    /// [guess].
    pub command_time: u32,
    /// The time that a frame for which there is no room inside waits on the cable for a driver that
    /// is at work, in milliseconds since it has accessed the card; [`RxMode::Silicon`] only. A
    /// guest without KVM takes a hundred times as long for a frame as the machines that had this
    /// chip, and the cable does not.
    pub rx_timeout: u32,
}

impl Config {
    /// A PHY that has just got power.
    pub(crate) fn phy(&self, partner: Partner, now: u64) -> Phy {
        let id = self.phy_id.unwrap_or(self.revision.phy_id());
        Phy::new(id, partner, u64::from(self.negotiation) * 1_000_000, now)
    }

    /// Returns when a command that begins now is done.
    pub(crate) fn done(&self, now: u64) -> u64 {
        now.saturating_add(u64::from(self.command_time) * 1_000)
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            revision: Revision::default(),
            xid: None,
            phy_id: None,
            mac: [0x52, 0x54, 0x00, 0x81, 0x68, 0x01],
            rx_mode: RxMode::default(),
            eeprom: Eeprom::default(),
            partner: Partner::default(),
            negotiation: 0,
            command_time: 0,
            rx_timeout: 0,
        }
    }
}

/// Width of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits
    Byte,
    /// 16 bits
    Word,
    /// 32 bits
    Long,
}

impl Width {
    /// Returns it in bytes.
    pub fn bytes(self) -> u16 {
        match self {
            Width::Byte => 1,
            Width::Word => 2,
            Width::Long => 4,
        }
    }

    /// The width of an access of so many bytes.
    pub fn of(bytes: usize) -> Option<Width> {
        match bytes {
            1 => Some(Width::Byte),
            2 => Some(Width::Word),
            4 => Some(Width::Long),
            _ => None,
        }
    }

    pub(crate) fn mask(self) -> u32 {
        u32::MAX >> (32 - 8 * u32::from(self.bytes()))
    }
}

/// The state of a ring, for the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingState {
    /// Its address, once the driver has set it.
    pub base: Option<u64>,
    /// The descriptor the chip looks at next.
    pub index: u16,
    /// A doorbell has been noted and the work is not finished (transmit rings).
    pub busy: bool,
}

/// The chip from outside, without any of the effects that reading its registers has.
#[derive(Clone, Debug)]
pub struct State {
    /// Every register and what it holds.
    pub registers: Vec<(&'static str, u32)>,
    /// The normal transmit ring.
    pub tx: RingState,
    /// The high priority transmit ring.
    pub tx_high: RingState,
    /// The receive ring.
    pub rx: RingState,
    /// The interrupt line.
    pub interrupt: bool,
}
