// SPDX-License-Identifier: GPL-2.0

//! The device model: its process and its control socket.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use rtl8111b_control::{self as control, Answer, Client, FaultRequest, Request, State};

use crate::process::Process;
use crate::{Error, Result};

/// The model's log among the artifacts.
pub const LOG: &str = "model.log";
/// The capture of the wire among the artifacts.
pub const CAPTURE: &str = "wire.pcap";
/// The last that happened to the chip, among the artifacts.
pub const TRACE: &str = "model.trace";
/// The part before that, once [`TRACE`] has reached its limit.
pub const TRACE_BEFORE: &str = "model.trace.before";
/// The size in MiB at which the model puts [`TRACE`] aside as [`TRACE_BEFORE`], in the place of an
/// earlier one: there may be two files of 128 MiB, the second one still growing.
const TRACE_LIMIT: &str = "128";
/// Its last counters and state, among the artifacts of a run that failed.
pub const STATE: &str = "model-state.json";

const READY: Duration = Duration::from_secs(20);

/// The chip that is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chip {
    /// RTL8111B revision A, XID 0x300.
    B300,
    /// RTL8111B revision B/E/F, XID 0x380.
    B380,
}

impl Chip {
    /// The name that the model knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Chip::B300 => "b300",
            Chip::B380 => "b380",
        }
    }

    /// Its identification in TxConfig.
    pub fn xid(self) -> u32 {
        match self {
            Chip::B300 => 0x300,
            Chip::B380 => 0x380,
        }
    }
}

impl fmt::Display for Chip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Chip::B300 => "RTL8111B rev A (b300)",
            Chip::B380 => "RTL8111B rev B/E/F (b380)",
        })
    }
}

impl FromStr for Chip {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "b300" => Ok(Chip::B300),
            "b380" => Ok(Chip::B380),
            other => Err(format!("found {other:?}, expected b300 or b380")),
        }
    }
}

/// A model's end of the wire.
#[derive(Debug, Clone, Copy)]
pub enum Wire<'a> {
    /// A wire as `rtl8111b serve --wire` takes it.
    Spec(&'a str),
    /// The model connects to the socket that another program listens on.
    Connect(&'a Path),
    /// Another model connects to this one.
    Listen(&'a Path),
}

/// The differences of one model from the others.
#[derive(Debug, Clone)]
pub struct Identity {
    mac: String,
    /// The prefix of the names of its files.
    prefix: String,
}

impl Identity {
    /// The model of one of a guest's ports, counted from 0; the first one, which is mostly the only
    /// one, has no number in the names of its files.
    pub fn port(port: u8) -> Self {
        Self {
            mac: format!("52:54:00:81:11:{:02x}", 0x0b + port),
            prefix: if port == 0 {
                String::new()
            } else {
                format!("{port}-")
            },
        }
    }

    /// The same with another station address, if there is one, in the chip and in its EEPROM.
    pub fn with_mac(self, mac: Option<&str>) -> Self {
        match mac {
            Some(mac) => Self {
                mac: mac.to_owned(),
                ..self
            },
            None => self,
        }
    }

    /// A model with this address, the names of whose files begin with `name` and a hyphen.
    pub fn named(name: &str, mac: &str) -> Self {
        Self {
            mac: mac.to_owned(),
            prefix: format!("{name}-"),
        }
    }

    /// The name of one of its files.
    fn file(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// The settings with which the model is started.
#[derive(Debug)]
pub struct Options<'a> {
    /// The program.
    pub program: &'a Path,
    /// The chip.
    pub chip: Chip,
    /// Another XID than the chip's own.
    pub xid: Option<u32>,
    /// Another identity of the PHY than the chip's own, its second half.
    pub phy_id: Option<u16>,
    /// Its end of the wire.
    pub wire: Wire<'a>,
    /// Its address, and the suffix of its files beside those of other models.
    pub identity: Identity,
    /// Says whether frames are kept in a pcap file.
    pub pcap: bool,
    /// The number of bytes of each that are kept there; without a number, all.
    pub snaplen: Option<u32>,
    /// Says whether frames wait for acknowledgements; if not the model runs with --late-acks, see
    /// `rtl8111b serve --help`.
    pub prompt_acks: bool,
    /// Says whether the last that happened to the chip is kept.
    pub trace: bool,
    /// Says whether a frame that finds no descriptor is lost at once (`--rx-mode drop`); if not the
    /// model does what it does for its users.
    pub drop_when_full: bool,
    /// The time that a negotiation of the link takes, in milliseconds; the model's default if there
    /// is none here.
    pub negotiation: Option<u32>,
    /// The time that a reset and an access to the PHY take each, in microseconds; the model's
    /// default if there is none here.
    pub command_time: Option<u32>,
    /// The directory in which its log and the pcap are written.
    pub artifacts: &'a Path,
    /// The directory in which sockets may be made; the path must be short.
    pub sockets: &'a Path,
}

/// A running device model.
#[derive(Debug)]
pub struct Model {
    process: Process,
    socket: PathBuf,
    control_socket: PathBuf,
    control: Client,
    state: PathBuf,
    log: PathBuf,
    stopped: bool,
}

impl Model {
    /// The station address that the model of the first port is given.
    pub const MAC: &'static str = "52:54:00:81:11:0b";

    /// Starts the model and waits until it serves.
    pub fn start(options: &Options<'_>) -> Result<Self> {
        let file = |name| options.identity.file(name);
        let socket = options.sockets.join(file("nic"));
        let control = options.sockets.join(file("model"));
        let wire = match options.wire {
            Wire::Spec(spec) => spec.to_owned(),
            Wire::Connect(path) => format!("stream:connect:{}", path.display()),
            Wire::Listen(path) => format!("stream:listen:{}", path.display()),
        };
        let mut command = Command::new(options.program);
        command
            .arg("serve")
            .arg("--socket")
            .arg(&socket)
            .args(["--chip", options.chip.name()])
            .args(["--mac", &options.identity.mac])
            .args(["--wire", &wire])
            .arg("--control")
            .arg(&control)
            .arg("--log")
            .arg(options.artifacts.join(file(LOG)));
        if options.drop_when_full {
            command.args(["--rx-mode", "drop"]);
        }
        if !options.prompt_acks {
            command.arg("--late-acks");
        }
        if let Some(time) = options.negotiation {
            command.args(["--negotiation", &time.to_string()]);
        }
        if let Some(time) = options.command_time {
            command.args(["--command-time", &time.to_string()]);
        }
        if options.pcap {
            command
                .arg("--pcap")
                .arg(options.artifacts.join(file(CAPTURE)));
        }
        if let Some(bytes) = options.snaplen {
            command.args(["--pcap-snaplen", &bytes.to_string()]);
        }
        if options.trace {
            command
                .arg("--trace")
                .arg(options.artifacts.join(file(TRACE)))
                .args(["--trace-limit", TRACE_LIMIT]);
        }
        if let Some(xid) = options.xid {
            command.args(["--xid", &format!("{xid:#x}")]);
        }
        if let Some(id) = options.phy_id {
            command.args(["--phy-id", &format!("{id:#x}")]);
        }
        let output = options.artifacts.join(file("model.out"));
        let mut process = Process::start("the device model", &mut command, &output)?;
        process.wait_for_line("ready:", READY)?;
        let client = Client::connect(&control).map_err(protocol)?;
        Ok(Self {
            process,
            socket,
            control_socket: control,
            control: client,
            state: options.artifacts.join(file(STATE)),
            log: options.artifacts.join(file(LOG)),
            stopped: false,
        })
    }

    /// The vfio-user socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The socket that others may talk to it by.
    pub fn control_socket(&self) -> &Path {
        &self.control_socket
    }

    /// Fails if the model has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.check_alive()
    }

    /// Asks for the counters since the start of the model.
    pub fn counters(&mut self) -> Result<Counters> {
        Ok(Counters {
            counted: self.control.counters().map_err(protocol)?,
            cpu: self.process.cpu_time()?,
        })
    }

    /// Has it count from zero again.
    pub fn reset_counters(&mut self) -> Result<()> {
        self.ask(&Request::ResetCounters)
    }

    /// Plugs the cable in or out.
    pub fn set_link(&mut self, up: bool) -> Result<()> {
        self.ask(&Request::Link { up })
    }

    /// Plugs the cable into a partner that has these modes; see `rtl8111b serve --help`.
    pub fn set_partner(&mut self, modes: &str) -> Result<()> {
        let modes = modes.to_owned();
        self.ask(&Request::Partner { modes })
    }

    /// Has the chip fail in the way of that name, or no longer; see `rtl8111b ctl fault --help`.
    pub fn fault(&mut self, name: &str, on: bool) -> Result<()> {
        self.ask(&Request::fault(name, on).into())
    }

    /// Has the chip fail in the way of that name, at one opportunity in `rate`, until it is reset.
    pub fn fault_until_reset(&mut self, name: &str, rate: u32) -> Result<()> {
        self.ask(&Request::Fault(FaultRequest {
            rate: Some(rate),
            until_reset: true,
            ..Request::fault(name, true)
        }))
    }

    /// Has the chip fail in the way of that name at one opportunity in `rate`.
    pub fn fault_at(&mut self, name: &str, rate: u32) -> Result<()> {
        self.ask(&Request::Fault(FaultRequest {
            rate: Some(rate),
            ..Request::fault(name, true)
        }))
    }

    /// Returns whether that fault is on.
    pub fn has_fault(&mut self, name: &str) -> Result<bool> {
        let fault = self.control.fault(name).map_err(protocol)?;
        fault
            .map(|fault| fault.on)
            .ok_or_else(|| protocol(format!("it has no fault {name}")))
    }

    /// Returns how often that fault has had an effect.
    pub fn hits(&mut self, name: &str) -> Result<u64> {
        let fault = self.control.fault(name).map_err(protocol)?;
        fault
            .map(|fault| fault.hits)
            .ok_or_else(|| protocol(format!("it has no fault {name}")))
    }

    /// Has the chip lie about everything, from a seed.
    pub fn lie(&mut self, seed: u64) -> Result<()> {
        self.ask(&Request::Fault(FaultRequest {
            seed: Some(seed),
            ..Request::fault("lie", true)
        }))
    }

    /// Has the chip tell single lies from now on: eight bytes for each, in hexadecimal.
    pub fn script(&mut self, lies: &str) -> Result<()> {
        let lies = lies.to_owned();
        self.ask(&Request::Script { lies })
    }

    /// Turns all faults off, and ends the lies; returns how often these have fired so far.
    pub fn behave(&mut self) -> Result<u64> {
        match self.control.ask(&Request::Behave).map_err(protocol)? {
            Some(Answer::Lies(lies)) => Ok(lies),
            answer => Err(protocol(format!("it answered {answer:?}"))),
        }
    }

    /// The chip's registers, rings and PHY, and what the card is in.
    pub fn state(&mut self) -> Result<State> {
        self.control.state().map_err(protocol)
    }

    /// A register of the chip's.
    pub fn register(&mut self, name: &str) -> Result<u32> {
        let register = self.state()?.register(name);
        register.ok_or_else(|| protocol(format!("it has no register {name}")))
    }

    /// Asks the model to end and requires that it does so cleanly.
    pub fn stop(mut self) -> Result<()> {
        self.stopped = true;
        self.process.terminate(Duration::from_secs(10))
    }

    /// Returns how often the machine has reset the card.
    pub fn resets(&self) -> Result<usize> {
        let log = fs::read_to_string(&self.log).map_err(Error::file(&self.log, "reading"))?;
        Ok(log.matches("reset by the machine").count())
    }

    /// The processor time that the model has used.
    pub fn cpu_time(&self) -> Result<Duration> {
        self.process.cpu_time()
    }

    /// Passes on a request whose answer does not matter.
    pub fn tell(&mut self, request: &Request) -> Result<()> {
        self.ask(request)
    }

    /// Passes a request on; returns the whole answer.
    pub fn request(&mut self, request: &Request) -> Result<serde_json::Value> {
        self.control.ask_json(request).map_err(protocol)
    }

    fn ask(&mut self, request: &Request) -> Result<()> {
        self.control.ask(request).map_err(protocol).map(drop)
    }
}

impl Drop for Model {
    /// Saves the state of the model after a run that failed, and has it end its capture.
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        let mut text = String::new();
        for question in [Request::Counters, Request::State] {
            if let Ok(answer) = self.request(&question) {
                text.push_str(&format!("{answer:#}\n"));
            }
        }
        // This is evidence of another failure, which is the one to be reported.
        let _ = fs::write(&self.state, text);
        let _ = self.process.terminate(Duration::from_secs(5));
    }
}

fn protocol(what: impl ToString) -> Error {
    Error::Protocol {
        peer: "the device model",
        what: what.to_string(),
    }
}

/// The counters of the model, and its processor time.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    counted: control::Counters,
    /// CPU time of the model's process, to a hundredth of a second.
    pub cpu: Duration,
}

impl Deref for Counters {
    type Target = control::Counters;

    fn deref(&self) -> &control::Counters {
        &self.counted
    }
}

impl From<control::Counters> for Counters {
    fn from(counted: control::Counters) -> Self {
        let cpu = Duration::ZERO;
        Self { counted, cpu }
    }
}

impl Counters {
    /// Returns what was counted between `earlier` and now.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            counted: self.counted.since(&earlier.counted),
            cpu: self.cpu - earlier.cpu,
        }
    }

    /// Returns them without the DMA faults, for a test that has transfers fail.
    pub fn without_dma_faults(mut self) -> Self {
        self.counted.dma_faults = 0;
        self
    }

    /// Requires that the driver did nothing that silicon would refuse or do wrong.
    pub fn check_clean(&self) -> Result<()> {
        self.check_clean_but(&[])
    }

    /// The same, but for violations that have one of `known` in their text.
    pub fn check_clean_but(&self, known: &[&str]) -> Result<()> {
        let mut kinds = BTreeMap::new();
        let mut forgiven = 0;
        for entry in &self.violation_log {
            if known.iter().any(|known| entry.contains(known)) {
                forgiven += 1;
            } else {
                *kinds.entry(entry).or_insert(0) += 1;
            }
        }
        let log: Vec<String> = kinds
            .iter()
            .take(5)
            .map(|(entry, times)| format!("{entry} ({times} times)"))
            .collect();
        crate::require!(
            self.violations == forgiven && self.dma_faults == 0,
            "the model counted {} violations and {} DMA faults, expected none: {}",
            self.violations,
            self.dma_faults,
            log.join("; ")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_are_parsed_by_name() {
        assert_eq!("b300".parse(), Ok(Chip::B300));
        assert_eq!("b380".parse(), Ok(Chip::B380));
        let error = "b381".parse::<Chip>().unwrap_err();
        assert_eq!(error, "found \"b381\", expected b300 or b380");
    }

    #[test]
    fn the_first_port_has_no_number_and_what_has_a_name_has_it_in_its_files() {
        let file = |identity: Identity| (identity.file("nic"), identity.mac);
        assert_eq!(
            file(Identity::port(0)),
            ("nic".to_owned(), Model::MAC.to_owned())
        );
        let mac = "52:54:00:81:11:0d".to_owned();
        assert_eq!(file(Identity::port(2)), ("2-nic".to_owned(), mac));
        assert_eq!(
            file(Identity::named("install", "02:00:00:00:00:01")),
            ("install-nic".to_owned(), "02:00:00:00:00:01".to_owned())
        );
    }

    #[test]
    fn violations_and_faults_are_failures() {
        let clean = Counters::default();
        assert!(clean.check_clean().is_ok());
        let violated = Counters::from(control::Counters {
            violations: 1,
            violation_log: vec!["TX ring not aligned".to_owned()],
            ..control::Counters::default()
        });
        let error = violated.check_clean().unwrap_err().to_string();
        assert!(error.contains("TX ring not aligned"), "{error}");
        assert!(violated
            .check_clean_but(&["another", "not aligned"])
            .is_ok());
        assert!(violated.check_clean_but(&["another"]).is_err());
        let faulted = Counters::from(control::Counters {
            dma_faults: 2,
            ..control::Counters::default()
        });
        assert!(faulted.check_clean().is_err());
        assert!(faulted.without_dma_faults().check_clean().is_ok());
    }
}
