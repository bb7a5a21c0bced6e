//! What the control socket answers.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rtl8111b_chip::name_on_later_chips;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::FaultConfig;
use rtl8111b_chip::Partner;
use rtl8111b_chip::Reg;
use rtl8111b_chip::RingState;
use rtl8111b_control::FaultRequest;
use rtl8111b_control::Handler;
use rtl8111b_control::Request;
use rtl8111b_wire::Pcap;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use crate::device::Device;
use crate::device::Shared;

pub(crate) struct Report {
    pub(crate) device: Arc<Shared>,
    pub(crate) pcap: Option<Arc<Mutex<Pcap>>>,
}

impl Handler for Report {
    fn handle(&self, request: Request) -> Result<Map<String, Value>, String> {
        let mut answer = Map::new();
        let mut device = self.device.lock();
        match request {
            Request::Counters => {
                device.flush_trace();
                answer.insert("counters".to_owned(), counters(&device));
                drop(device);
                // The capture is likely to be looked at next.
                if let Some(pcap) = &self.pcap {
                    pcap.lock().unwrap_or_else(PoisonError::into_inner).flush();
                }
            }
            Request::ResetCounters => device.reset_counters(),
            Request::State => {
                answer.insert("state".to_owned(), state(&device));
            }
            Request::Link { up } => {
                device.set_link(up);
                log::info!("cable {}", if up { "plugged in" } else { "pulled" });
                answer.insert("link".to_owned(), device.chip.phy().cable().into());
            }
            Request::Partner { modes } => {
                let partner: Partner = modes.parse()?;
                device.set_partner(partner);
                log::info!("the link partner has {partner}");
                answer.insert("partner".to_owned(), partner.to_string().into());
            }
            Request::Faults => {
                let all =
                    FaultKind::all().map(|kind| (kind.name().to_owned(), fault(&device, kind)));
                answer.insert("faults".to_owned(), Value::Object(all.collect()));
            }
            Request::Fault(request) => {
                let order = order(&request)?;
                log::info!("fault ordered: {order:?}");
                device.fault(order);
                answer.insert(order.kind.name().to_owned(), fault(&device, order.kind));
            }
        }
        Ok(answer)
    }
}

/// What is asked for, filled up with what is usual.
fn order(request: &FaultRequest) -> Result<FaultConfig, String> {
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

fn fault(device: &Device, kind: FaultKind) -> Value {
    let faults = device.faults(kind);
    let mut value = json!({"on": faults.on(kind), "struck": faults.hits(kind)});
    if let Some(order) = faults.settings(kind) {
        value["seed"] = order.seed.into();
        value["rate"] = order.rate.into();
        value["millis"] = order.millis.into();
        value["count"] = order.count.into();
        value["until_reset"] = order.until_reset.into();
    }
    value
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

fn counters(device: &Device) -> Value {
    let counters = device.chip.counters();
    let registers: Map<String, Value> = Reg::all()
        .map(|reg| (reg.name(), counters.register(reg)))
        .filter(|(_, access)| access.reads + access.writes > 0)
        .map(|(name, access)| {
            (
                name.to_owned(),
                json!({"reads": access.reads, "writes": access.writes}),
            )
        })
        .collect();
    let unmodelled: Map<String, Value> = counters
        .unmodelled
        .iter()
        .map(|(&offset, &count)| (unmodelled_name(offset), count.into()))
        .collect();
    json!({
        "mmio_reads": counters.mmio_reads,
        "mmio_writes": counters.mmio_writes,
        "by_register": registers,
        "unmodelled": unmodelled,
        "doorbells": counters.doorbells,
        "doorbells_empty": counters.doorbells_empty,
        "interrupts_raised": counters.interrupts_raised,
        "interrupts_spurious": counters.interrupts_spurious,
        "tx_frames": counters.tx_frames,
        "tx_bytes": counters.tx_bytes,
        "tx_dropped": counters.tx_dropped,
        "rx_frames": counters.rx_frames,
        "rx_bytes": counters.rx_bytes,
        "rx_dropped": counters.rx_dropped,
        "rx_filtered": counters.rx_filtered,
        "rx_ignored": counters.rx_ignored,
        "rx_waits": counters.rx_waits,
        "wakes": counters.wakes,
        "looped": counters.looped,
        "dma_faults": counters.dma_faults,
        "violations": counters.violations,
        "violation_log": counters.violation_log().collect::<Vec<_>>(),
        "wire_dropped": device.wire_dropped(),
        "events_sent": device.events_sent(),
    })
}

fn ring(ring: RingState) -> Value {
    json!({
        "base": ring.base.map(|base| format!("{base:#x}")),
        "index": ring.index,
        "busy": ring.busy,
    })
}

fn state(device: &Device) -> Value {
    let state = device.chip.state();
    let phy = device.chip.phy();
    let (pme_status, pme_enabled, pme_raised) = device.pme();
    let registers: Map<String, Value> = state
        .registers
        .iter()
        .map(|&(name, value)| (name.to_owned(), format!("{value:#x}").into()))
        .collect();
    let page: Vec<String> = (0..32).map(|r| format!("{:#06x}", phy.peek(r))).collect();
    let incidental: Vec<&str> = Reg::all()
        .filter(|reg| reg.is_incidental())
        .map(Reg::name)
        .collect();
    json!({
        "registers": registers,
        "incidental": incidental,
        "tx": ring(state.tx),
        "tx_high": ring(state.tx_high),
        "rx": ring(state.rx),
        "interrupt": state.interrupt,
        "phy": {
            "cable": phy.cable(),
            "partner": phy.partner().to_string(),
            "speed": phy.speed().map(|speed| speed.mbits()),
            "full_duplex": phy.full_duplex(),
            "page": phy.page(),
            "registers": page,
        },
        "power": format!("{:?}", device.power()),
        "pme": {"status": pme_status, "enabled": pme_enabled, "raised": pme_raised},
        "memory_ranges": device.memory_ranges(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_modelled_is_told_by_name_where_there_is_one() {
        assert_eq!(unmodelled_name(0x68), "0x68 CSIAR");
        assert_eq!(unmodelled_name(0x81), "0x81 EPHYAR");
        assert_eq!(unmodelled_name(0x90), "0x90");
    }
}
