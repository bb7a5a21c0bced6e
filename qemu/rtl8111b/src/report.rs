// SPDX-License-Identifier: GPL-2.0

//! The answers of the control socket.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rtl8111b_chip::name_on_later_chips;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Lie;
use rtl8111b_chip::Partner;
use rtl8111b_chip::Reg;
use rtl8111b_chip::RingState;
use rtl8111b_control::Accesses;
use rtl8111b_control::Answer;
use rtl8111b_control::Counters;
use rtl8111b_control::Fault;
use rtl8111b_control::FaultRequest;
use rtl8111b_control::FaultSettings;
use rtl8111b_control::Handler;
use rtl8111b_control::Hex;
use rtl8111b_control::Phy;
use rtl8111b_control::Pme;
use rtl8111b_control::Request;
use rtl8111b_control::Ring;
use rtl8111b_control::State;
use rtl8111b_wire::Pcap;

use crate::device::Device;
use crate::device::Shared;

pub(crate) struct Report {
    pub(crate) device: Arc<Shared>,
    pub(crate) pcap: Option<Arc<Mutex<Pcap>>>,
}

impl Handler for Report {
    fn handle(&self, request: Request) -> Result<Option<Answer>, String> {
        let mut device = self.device.lock();
        Ok(Some(match request {
            Request::Counters => {
                device.flush_trace();
                let answer = counters(&device);
                drop(device);
                // The capture is likely to be looked at next.
                if let Some(pcap) = &self.pcap {
                    pcap.lock().unwrap_or_else(PoisonError::into_inner).flush();
                }
                Answer::Counters(Box::new(answer))
            }
            Request::ResetCounters => {
                device.reset_counters();
                return Ok(None);
            }
            Request::State => Answer::State(Box::new(state(&device))),
            Request::Link { up } => {
                device.set_link(up);
                log::info!("cable {}", if up { "plugged in" } else { "pulled" });
                Answer::Link(device.chip.phy().cable())
            }
            Request::Partner { modes } => {
                let partner: Partner = modes.parse()?;
                device.set_partner(partner);
                log::info!("the link partner has {partner}");
                Answer::Partner(partner.to_string())
            }
            Request::Faults => {
                let all = FaultKind::all().map(|kind| named(&device, kind));
                Answer::Faults(all.collect())
            }
            Request::Fault(request) => {
                let config = config(&request)?;
                log::info!("fault: {config:?}");
                device.fault(config);
                Answer::Faults([named(&device, config.kind)].into())
            }
            Request::Script { lies } => {
                device.script(bytes(&lies)?);
                Answer::Lies(device.chip.faults().lies())
            }
            Request::Behave => {
                device.behave();
                Answer::Lies(device.chip.faults().lies())
            }
        }))
    }
}

/// The configuration that is asked for, with defaults for what is not given.
fn config(request: &FaultRequest) -> Result<FaultConfig, String> {
    let Some(kind) = FaultKind::from_name(&request.name) else {
        let names: Vec<&str> = FaultKind::all().map(FaultKind::name).collect();
        return Err(format!("no such fault; there are {}", names.join(", ")));
    };
    let usual = FaultConfig::on(kind);
    if request.rate == Some(0) || request.count == Some(0) {
        return Err("a rate and a count begin at 1".to_owned());
    }
    Ok(FaultConfig {
        kind,
        on: request.on,
        seed: request.seed.unwrap_or(usual.seed),
        rate: request.rate.unwrap_or(usual.rate),
        count: request.count,
        millis: request.millis.unwrap_or(usual.millis),
        until_reset: request.until_reset,
    })
}

/// The bytes that a text in hexadecimal means.
fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    bytes
        .filter(|bytes| hex.len() == 2 * bytes.len() && bytes.len() % Lie::BYTES == 0)
        .ok_or_else(|| {
            let length = Lie::BYTES;
            format!("found lies {hex:?}, expected {length} bytes for each in hexadecimal")
        })
}

fn named(device: &Device, kind: FaultKind) -> (String, Fault) {
    let faults = device.faults(kind);
    let fault = Fault {
        on: faults.on(kind),
        hits: faults.hits(kind),
        settings: faults.settings(kind).map(|config| FaultSettings {
            seed: config.seed,
            rate: config.rate,
            millis: config.millis,
            count: config.count,
            until_reset: config.until_reset,
        }),
    };
    (kind.name().to_owned(), fault)
}

/// The offset, with a name if there is one: `0x80 EPHYAR`.
fn unmodelled_name(offset: u16) -> String {
    let name = Reg::at(offset)
        .map(Reg::name)
        .or_else(|| name_on_later_chips(offset));
    match name {
        Some(name) => format!("{offset:#04x} {name}"),
        None => format!("{offset:#04x}"),
    }
}

fn counters(device: &Device) -> Counters {
    let counters = device.chip.counters();
    Counters {
        mmio_reads: counters.mmio_reads,
        mmio_writes: counters.mmio_writes,
        doorbells: counters.doorbells,
        doorbells_empty: counters.doorbells_empty,
        interrupts_raised: counters.interrupts_raised,
        interrupts_spurious: counters.interrupts_spurious,
        tx_frames: counters.tx_frames,
        tx_bytes: counters.tx_bytes,
        tx_dropped: counters.tx_dropped,
        rx_frames: counters.rx_frames,
        rx_bytes: counters.rx_bytes,
        rx_dropped: counters.rx_dropped,
        rx_filtered: counters.rx_filtered,
        rx_ignored: counters.rx_ignored,
        rx_waits: counters.rx_waits,
        wakes: counters.wakes,
        looped: counters.looped,
        dma_faults: counters.dma_faults,
        violations: counters.violations,
        wire_dropped: device.wire_dropped(),
        events_sent: device.events_sent(),
        by_register: Reg::all()
            .map(|reg| (reg, counters.register(reg)))
            .filter(|(_, access)| access.reads + access.writes > 0)
            .map(|(reg, access)| {
                let (reads, writes) = (access.reads, access.writes);
                (reg.name().to_owned(), Accesses { reads, writes })
            })
            .collect(),
        unmodelled: counters
            .unmodelled
            .iter()
            .map(|(&offset, &count)| (unmodelled_name(offset), count))
            .collect(),
        violation_log: counters.violation_log().map(Into::into).collect(),
    }
}

fn ring(ring: RingState) -> Ring {
    Ring {
        base: ring.base.map(|base| format!("{base:#x}")),
        index: ring.index,
        busy: ring.busy,
    }
}

fn state(device: &Device) -> State {
    let state = device.chip.state();
    let phy = device.chip.phy();
    let (pme_status, pme_enabled, pme_raised) = device.pme();
    let registers = state.registers.iter();
    State {
        registers: registers
            .map(|&(name, value)| (name.to_owned(), Hex(value)))
            .collect(),
        incidental: Reg::all()
            .filter(|reg| reg.is_incidental())
            .map(|reg| reg.name().to_owned())
            .collect(),
        tx: ring(state.tx),
        tx_high: ring(state.tx_high),
        rx: ring(state.rx),
        interrupt: state.interrupt,
        phy: Phy {
            cable: phy.cable(),
            partner: phy.partner().to_string(),
            speed: phy.speed().map(|speed| speed.mbits()),
            full_duplex: phy.full_duplex(),
            page: phy.page(),
            registers: (0..32).map(|r| Hex(phy.peek(r).into())).collect(),
        },
        power: format!("{:?}", device.power()),
        pme: Pme {
            status: pme_status,
            enabled: pme_enabled,
            raised: pme_raised,
        },
        memory_ranges: device.memory_ranges(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_are_whole_and_in_hexadecimal() {
        assert_eq!(bytes(""), Ok(vec![]));
        assert_eq!(
            bytes("000102030405fFa0"),
            Ok(vec![0, 1, 2, 3, 4, 5, 255, 160])
        );
        for wrong in [
            "0",
            "00",
            "000102030405060",
            "000102030405060g",
            "00010203040506€0",
        ] {
            let error = bytes(wrong).unwrap_err();
            assert!(error.contains("expected 8 bytes for each"), "{error}");
        }
    }

    #[test]
    fn what_is_not_modelled_is_told_by_name_where_there_is_one() {
        assert_eq!(unmodelled_name(0x68), "0x68 CSIAR");
        assert_eq!(unmodelled_name(0x81), "0x81 EPHYAR");
        assert_eq!(unmodelled_name(0x90), "0x90");
    }
}
