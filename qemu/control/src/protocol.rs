// SPDX-License-Identifier: GPL-2.0

//! The requests and answers, as JSON has them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::Serialize;

/// A request: `{"cmd":"link","up":true}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
pub enum Request {
    /// Asks for the counters.
    Counters,
    /// Has the counters begin at zero again.
    ResetCounters,
    /// Asks for registers, rings and PHY.
    State,
    /// Plugs the cable in or pulls it.
    Link {
        /// Says whether it is plugged in.
        up: bool,
    },
    /// Plugs the cable into another partner.
    Partner {
        /// The modes that it has, as on the command line.
        modes: String,
    },
    /// Asks for all faults, and which of them are on.
    Faults,
    /// Turns a fault on or off.
    Fault(FaultRequest),
    /// Has the chip tell single lies, each at a place and an opportunity of its own, in place of
    /// those that were left of an earlier request.
    Script {
        /// Eight bytes for each, in hexadecimal; `Lie::from_bytes` of the chip says what they mean.
        lies: String,
    },
    /// Turns all faults off, and ends the lies.
    Behave,
}

/// A fault to be turned on or off; what is not given is the fault's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRequest {
    /// Its name.
    pub name: String,
    /// Says whether it is to be on.
    pub on: bool,
    /// The seed of its choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// It fires at one in so many opportunities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// It ends after so many hits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Its time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u32>,
    /// It ends with the next reset by the driver.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_reset: bool,
}

impl Request {
    /// Turns a fault on or off, with its default settings.
    pub fn fault(name: &str, on: bool) -> FaultRequest {
        FaultRequest {
            name: name.to_owned(),
            on,
            ..FaultRequest::default()
        }
    }
}

impl From<FaultRequest> for Request {
    fn from(request: FaultRequest) -> Self {
        Request::Fault(request)
    }
}

/// A good answer; beside it stands `"ok":true`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The counters, for [`Request::Counters`].
    Counters(Box<Counters>),
    /// The state, for [`Request::State`].
    State(Box<State>),
    /// Says whether the cable is plugged in, after [`Request::Link`].
    Link(bool),
    /// The modes of the partner, after [`Request::Partner`].
    Partner(String),
    /// Faults by name: all for [`Request::Faults`], the one for [`Request::Fault`].
    Faults(BTreeMap<String, Fault>),
    /// The number of times that lies of scripts have fired so far, for [`Request::Script`] and
    /// [`Request::Behave`].
    Lies(u64),
}

/// The line that answers a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(flatten)]
    pub(crate) answer: Option<Answer>,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Says whether it is on.
    pub on: bool,
    /// The number of times that it has fired.
    pub hits: u64,
    /// Its settings, once it was on.
    #[serde(flatten)]
    pub settings: Option<FaultSettings>,
}

/// The settings of a fault; see [`FaultRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSettings {
    /// The seed of its choices.
    pub seed: u64,
    /// It fires at one in so many opportunities.
    pub rate: u32,
    /// Its time, in milliseconds.
    pub millis: u32,
    /// It ends after so many hits.
    pub count: Option<u32>,
    /// It ends with the next reset by the driver.
    pub until_reset: bool,
}

/// Makes [`Counters`] of its numbers, each of which can be subtracted.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of the model.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
            /// Accesses by register; a register without any is not there.
            pub by_register: BTreeMap<String, Accesses>,
            /// Accesses to what the model does not know.
            pub unmodelled: BTreeMap<String, u64>,
            /// The last violations in words, the oldest first.
            pub violation_log: Vec<String>,
        }

        impl Counters {
            /// Returns what was counted between `earlier` and now. The words, and what the model
            /// does not know, are as they are now.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                let mut counters = self.clone();
                $(counters.$name -= earlier.$name;)*
                for (name, accesses) in &mut counters.by_register {
                    if let Some(before) = earlier.by_register.get(name) {
                        accesses.reads -= before.reads;
                        accesses.writes -= before.writes;
                    }
                }
                counters
            }
        }
    };
}

counters! {
    /// Reads of the chip's registers by the guest.
    mmio_reads,
    /// Writes to them.
    mmio_writes,
    /// Requests to look at the transmit ring.
    doorbells,
    /// Those that found nothing to send.
    doorbells_empty,
    /// Rising edges of the interrupt line.
    interrupts_raised,
    /// Reads of IntrStatus that found it zero: an interrupt whose cause was gone, or a poll that
    /// made sure.
    interrupts_spurious,
    /// Frames that the guest sent.
    tx_frames,
    /// Their bytes.
    tx_bytes,
    /// Frames that the guest sent and the chip refused.
    tx_dropped,
    /// Frames that the guest was given.
    rx_frames,
    /// Their bytes.
    rx_bytes,
    /// Frames for which there was no room.
    rx_dropped,
    /// Frames that the receive filter kept out.
    rx_filtered,
    /// Frames that came while the receiver was off.
    rx_ignored,
    /// Frames that had to wait for a descriptor.
    rx_waits,
    /// Frames and link changes that asked for PME.
    wakes,
    /// Frames that came back by loopback.
    looped,
    /// Accesses to memory that the guest had not mapped, or not so.
    dma_faults,
    /// Accesses that silicon is not known to take.
    violations,
    /// Frames that the wire had no room for.
    wire_dropped,
    /// Interrupts that QEMU was sent.
    events_sent,
}

/// Accesses to one register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accesses {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Registers, rings, PHY, power.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The registers, by name.
    pub registers: BTreeMap<String, Hex>,
    /// Names of registers that hold addresses or the time, which no two runs share.
    pub incidental: Vec<String>,
    /// The transmit ring.
    pub tx: Ring,
    /// The transmit ring of high priority.
    pub tx_high: Ring,
    /// The receive ring.
    pub rx: Ring,
    /// Says whether the interrupt line is raised.
    pub interrupt: bool,
    /// The PHY.
    pub phy: Phy,
    /// The power state, such as `D3Hot`.
    pub power: String,
    /// The power management event.
    pub pme: Pme,
    /// The number of ranges of memory that the machine has mapped for the card.
    pub memory_ranges: usize,
}

impl State {
    /// Returns a register by its name.
    pub fn register(&self, name: &str) -> Option<u32> {
        self.registers.get(name).map(|value| value.0)
    }
}

/// One of the rings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// The bus address of its first descriptor, in hexadecimal; none while it is not set.
    pub base: Option<String>,
    /// The descriptor that comes next.
    pub index: u16,
    /// Says whether the chip is at work on it.
    pub busy: bool,
}

/// The PHY, and the cable in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phy {
    /// Says whether the cable is plugged in.
    pub cable: bool,
    /// The modes of the partner.
    pub partner: String,
    /// The speed of the link in Mbit/s, if there is a link.
    pub speed: Option<u32>,
    /// Says whether the link is full duplex.
    pub full_duplex: bool,
    /// The page that registers are of.
    pub page: u16,
    /// The 32 registers of page 0.
    pub registers: Vec<Hex>,
}

/// The power management event (PME).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pme {
    /// Says whether it is raised.
    pub status: bool,
    /// Says whether the machine allows it.
    pub enabled: bool,
    /// The number of times that it was raised.
    pub raised: u64,
}

/// A number that JSON has as text in hexadecimal: `"0x1f"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hex(pub u32);

impl fmt::Display for Hex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#x}", self.0)
    }
}

impl From<Hex> for String {
    fn from(number: Hex) -> Self {
        number.to_string()
    }
}

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.strip_prefix("0x")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .map(Hex)
            .ok_or_else(|| format!("found {text:?}, expected a number such as 0x1f"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        serde_json::from_str(line).map_err(|error| error.to_string())
    }

    #[test]
    fn requests() {
        for (request, line) in [
            (Request::Counters, json!({"cmd": "counters"})),
            (Request::ResetCounters, json!({"cmd": "reset-counters"})),
            (Request::State, json!({"cmd": "state"})),
            (
                Request::Link { up: true },
                json!({"cmd": "link", "up": true}),
            ),
            (
                Request::Partner {
                    modes: "10".to_owned(),
                },
                json!({"cmd": "partner", "modes": "10"}),
            ),
            (Request::Faults, json!({"cmd": "faults"})),
            (
                Request::Script {
                    lies: "00ff".to_owned(),
                },
                json!({"cmd": "script", "lies": "00ff"}),
            ),
            (Request::Behave, json!({"cmd": "behave"})),
            (
                Request::fault("tx-stall", true).into(),
                json!({"cmd": "fault", "name": "tx-stall", "on": true}),
            ),
            (
                Request::Fault(FaultRequest {
                    name: "lie".to_owned(),
                    on: true,
                    seed: Some(u64::MAX),
                    rate: Some(2),
                    count: Some(3),
                    millis: Some(4),
                    until_reset: true,
                }),
                json!({"cmd": "fault", "name": "lie", "on": true, "seed": u64::MAX, "rate": 2, "count": 3, "millis": 4, "until_reset": true}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&request).unwrap(), line);
            assert_eq!(parse(&line.to_string()), Ok(request));
        }
        for (line, expected) in [
            ("{}", "cmd"),
            ("counters", "expected value"),
            ("{\"cmd\":\"x\"}", "unknown variant `x`"),
            ("{\"cmd\":\"link\"}", "missing field `up`"),
            ("{\"cmd\":\"link\",\"up\":1}", "expected a boolean"),
            ("{\"cmd\":\"fault\",\"name\":\"lie\"}", "missing field `on`"),
            ("{\"cmd\":\"fault\",\"on\":true}", "missing field `name`"),
            (
                "{\"cmd\":\"fault\",\"name\":\"lie\",\"on\":true,\"rate\":4294967296}",
                "expected u32",
            ),
            (
                "{\"cmd\":\"fault\",\"name\":\"lie\",\"on\":true,\"seed\":-1}",
                "expected u64",
            ),
            (
                "{\"cmd\":\"fault\",\"name\":\"lie\",\"on\":true,\"until_reset\":1}",
                "expected a boolean",
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn answers() {
        let fault = Fault {
            on: true,
            hits: 7,
            settings: None,
        };
        for (answer, line) in [
            (None, json!({"ok": true})),
            (Some(Answer::Link(true)), json!({"ok": true, "link": true})),
            (Some(Answer::Lies(3)), json!({"ok": true, "lies": 3})),
            (
                Some(Answer::Faults([("lie".to_owned(), fault)].into())),
                json!({"ok": true, "faults": {"lie": {"on": true, "hits": 7}}}),
            ),
        ] {
            let (ok, error) = (true, None);
            let reply = Reply { ok, error, answer };
            assert_eq!(serde_json::to_value(&reply).unwrap(), line);
            let again: Reply = serde_json::from_value(line).unwrap();
            assert_eq!(again.answer, reply.answer);
        }
        let state = State {
            registers: [("ChipCmd".to_owned(), Hex(0xc))].into(),
            ..State::default()
        };
        let value = serde_json::to_value(&state).unwrap();
        assert_eq!(value["registers"]["ChipCmd"], "0xc");
        let again: State = serde_json::from_value(value).unwrap();
        assert_eq!(again.register("ChipCmd"), Some(0xc));
        assert_eq!(again.register("IntrMask"), None);
    }

    #[test]
    fn differences() {
        let counted = |reads| Counters {
            mmio_reads: reads,
            by_register: [("IntrMask".to_owned(), Accesses { reads, writes: 1 })].into(),
            ..Counters::default()
        };
        let since = counted(5).since(&counted(3));
        assert_eq!(since.mmio_reads, 2);
        assert_eq!(since.by_register["IntrMask"].reads, 2);
        assert_eq!(since.by_register["IntrMask"].writes, 0);
    }
}
