// SPDX-License-Identifier: GPL-2.0

//! The guest that inputs are tried on, and the judgement of what it did.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::bench::{Bench, Loaded};
use lab::dmesg;
use lab::frame::{self, Address};
use lab::guest;
use lab::kernel::Kernel;
use lab::model::Chip;
use lab::setup::{Driver, Network, Setup};
use lab::traffic::{exchange, guest_address, peer};
use lab::{require, Error, Result};
use rtl8111b_control::Request;

use crate::coverage::{self, Coverage, Table};
use crate::input::{items, Item};

/// The time after which an operation that has not ended is a hang.
const HANG: Duration = Duration::from_secs(10);

/// The time within which traffic must be back, by each means.
const RETURN: Duration = Duration::from_secs(5);

/// The time that traffic has to come back by itself, which is not required.
const GLIMPSE: Duration = Duration::from_millis(250);

/// The time between two frames that ask for an echo.
const ECHO: Duration = Duration::from_millis(50);

/// The executions after which the driver is given the device anew in any case.
const REBIND: u32 = 64;

/// Messages that a device that lies may cause: it has not sent, or its interrupts have no reason.
const EXPECTED: [&str; 3] = [dmesg::TIMED_OUT, "nobody cared", "Disabling IRQ"];

/// The lines that follow "nobody cared", which the kernel writes with a call trace.
const TRACE_OF_EXPECTED: &str = "__report_bad_irq";

/// The line before a warning.
const CUT_HERE: &str = "[ cut here ]";

/// The words for a transfer outside of what is mapped for the card.
const OUTSIDE: [&str; 2] = ["no guest memory is mapped", "does not permit"];

/// The bytes of operations for the guest, in hexadecimal.
const STOP: &str = "02000000000000";
const OPEN: &str = "00000000000000";
const NO_XDP: &str = "15000000000000";
const AWAKE: &str = "18010000000000";
const REBIND_IT: &str = "17000000000000";
const RESCAN: &str = "1a000000000000";
const RESTORE: &str = "1c000000000000";

/// The parts that it is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) kernel: Kernel,
    pub(crate) model: PathBuf,
    pub(crate) chip: Chip,
    pub(crate) driver: Driver,
    pub(crate) plugin: PathBuf,
    pub(crate) echo: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) artifacts: PathBuf,
    pub(crate) iommu: bool,
    /// The factor by which all times are longer, on a machine that has other work to do.
    pub(crate) slow: u32,
}

/// The means by which traffic came back once the device behaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Return {
    /// It needed none.
    Alone,
    /// It was not looked at: the driver was given the device anew, as it is now and then.
    Routine,
    /// The interface was stopped and opened.
    Reopened,
    /// The driver was given the device anew.
    Rebound,
    /// The device was found on its bus anew.
    Rescanned,
}

/// The outcome of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing that should not be.
    Fine(Return),
    /// Something that should not be, in words; the guest is not used any further.
    Found(String),
}

/// A guest in use.
struct Running {
    bench: Bench,
    table: Table,
    console: File,
    violations: u64,
    slow: u32,
    since_rebind: u32,
    spent: Spent,
}

/// The parts of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A guest boots.
    Boot,
    /// The input: lies, faults, frames, and what the guest does.
    Input,
    /// The settings are restored.
    Restore,
    /// A frame comes back, or not.
    Echo,
    /// The interface is stopped and opened.
    Reopen,
    /// The driver is given the device anew.
    Rebind,
    /// The device is found on its bus anew.
    Rescan,
    /// The counts of the model and of the plugin are looked at.
    Judge,
}

/// The time that the parts of all executions took.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    times: [Duration; Phase::Judge as usize + 1],
    last: Option<Instant>,
    /// The number and the time of the operations that begin with that byte.
    operations: BTreeMap<u8, (u32, Duration)>,
}

impl Spent {
    fn begin(&mut self) {
        self.last = Some(Instant::now());
    }

    /// Adds the time since the last call to that of a part.
    fn add(&mut self, phase: Phase) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.times[phase as usize] += now - last;
        }
    }

    /// Adds the times in an answer of the guest's; returns what it says besides.
    fn operations(&mut self, answer: &str) -> String {
        let mut words = answer.split_whitespace();
        let state = words.next().unwrap_or_default();
        for word in words {
            let number = word.split_once('=');
            let number =
                number.and_then(|(code, time)| Some((code.parse().ok()?, time.parse().ok()?)));
            if let Some((code, time)) = number {
                let (count, all) = self.operations.entry(code).or_default();
                *count += 1;
                *all += Duration::from_micros(time);
            }
        }
        state.to_owned()
    }

    /// The operations that took the most time, each with its number, and milliseconds for one.
    pub(crate) fn slowest(&self) -> String {
        let mut all: Vec<_> = self.operations.iter().collect();
        all.sort_by_key(|(_, (_, time))| std::cmp::Reverse(*time));
        let text = |(code, (count, time)): (&u8, &(u32, Duration))| {
            let one = time.as_secs_f64() * 1e3 / f64::from((*count).max(1));
            format!("{code}: {count} times {one:.1} ms")
        };
        all.into_iter()
            .take(12)
            .map(text)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The parts and their shares of all that was spent, in per cent.
    pub(crate) fn text(&self) -> String {
        let all: Duration = self.times.iter().sum();
        let names = [
            "boot", "input", "restore", "echo", "reopen", "rebind", "rescan", "judge",
        ];
        let share = |time: &Duration| 100.0 * time.as_secs_f64() / all.as_secs_f64().max(1e-9);
        let parts = names.iter().zip(&self.times);
        let parts = parts.map(|(name, time)| format!("{name} {:.0} %", share(time)));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// The guest, booted when it is needed.
pub(crate) struct Target {
    parts: Parts,
    running: Option<Running>,
    guest: Address,
    pub(crate) coverage: Coverage,
    pub(crate) boots: u32,
    executions: u32,
    pub(crate) spent: Spent,
    /// The executions in which any has fired.
    pub(crate) lied: u32,
    lies: u64,
    /// The same of guests that are gone.
    lies_before: u64,
}

impl Target {
    pub(crate) fn new(parts: Parts) -> Result<Self> {
        Ok(Self {
            parts,
            running: None,
            guest: guest_address()?,
            coverage: Coverage::default(),
            boots: 0,
            executions: 0,
            spent: Spent::default(),
            lied: 0,
            lies: 0,
            lies_before: 0,
        })
    }

    /// The number of times that a lie ([`Item::Lie`]) has fired.
    pub(crate) fn lies(&self) -> u64 {
        self.lies_before + self.lies
    }

    /// Ends the guest; the next execution boots another.
    pub(crate) fn forget(&mut self) {
        self.running = None;
        self.lies_before += std::mem::take(&mut self.lies);
    }

    fn boot(&mut self) -> Result<Running> {
        let parts = &self.parts;
        let mut bench = Bench::start(&Setup {
            network: Network::Frames,
            megabytes: 1,
            iommu: parts.iommu,
            drop_when_full: true,
            negotiation: Some(1),
            echo: Some(&parts.echo),
            plugin: Some(&parts.plugin),
            modules_only: true,
            append: "net.ifnames=0 ipv6.disable=1",
            ..Setup::new(
                &parts.kernel,
                &parts.model,
                parts.chip,
                parts.driver.clone(),
                &parts.cache,
                &parts.artifacts,
            )
        })?;
        self.boots += 1;
        let name = bench.driver().name();
        let Loaded::Interface(interface) = bench.load()? else {
            return Err(Error::Unmet(format!(
                "{name} has left the device alone, expected an interface"
            )));
        };
        let symbols = bench.guest.check_within(
            &format!("cat /sys/module/{name}/sections/.text; grep -F '[{name}]' /proc/kallsyms"),
            guest::COMMAND * parts.slow,
        )?;
        let code = coverage::code(&symbols, name).ok_or_else(|| {
            Error::Unmet(format!("found no symbols of {name} in the guest's kernel"))
        })?;
        let counts = bench
            .counts_file()
            .ok_or_else(|| Error::Input("no plugin counts what is executed".to_owned()))?;
        let table = Table::open(counts, code)?;
        bench
            .guest
            .hand_over(&format!("guest-echo operate {interface} /dev/ttyS1"))?;
        let path = parts.artifacts.join(guest::CONSOLE);
        let mut console = File::open(&path).map_err(Error::file(&path, "opening"))?;
        console
            .seek(SeekFrom::End(0))
            .map_err(Error::file(&path, "reading"))?;
        let mut running = Running {
            bench,
            table,
            console,
            violations: 0,
            slow: parts.slow,
            since_rebind: 0,
            spent: Spent::default(),
        };
        running.operate(&format!("{OPEN}{RESTORE}"))?;
        require!(
            running.echoes(self.guest, 100, RETURN * 4)?,
            "no frame comes back from a guest whose device has done nothing wrong"
        );
        Ok(running)
    }

    /// Tries an input; `map` gets the blocks that were run.
    pub(crate) fn execute(&mut self, input: &[u8], map: &mut [u8]) -> Result<Outcome> {
        if self.running.is_none() {
            self.spent.begin();
            self.running = Some(self.boot()?);
            self.spent.add(Phase::Boot);
        }
        let fired = self.lies();
        self.executions += 1;
        let Some(running) = &mut self.running else {
            return Err(Error::Input("no guest was booted".to_owned()));
        };
        let path = &self.parts.artifacts;
        let failed = |error| Error::file(path, "reading the counts")(error);
        running.spent = std::mem::take(&mut self.spent);
        running.spent.begin();
        let tried = running.try_input(input, self.guest, self.executions, &mut self.lies);
        self.coverage
            .take(&mut running.table, map)
            .map_err(failed)?;
        running.spent.add(Phase::Judge);
        self.spent = std::mem::take(&mut running.spent);
        let problem = running.problem();
        self.lied += u32::from(self.lies() > fired);
        let outcome = match (tried, problem) {
            (_, Some(problem)) => Outcome::Found(problem),
            (Ok(outcome), None) => outcome,
            (Err(Error::GuestGone { .. }), None) => {
                Outcome::Found("the guest ended without a word".to_owned())
            }
            (Err(Error::Timeout { what, after, .. }), None) => {
                Outcome::Found(format!("hang: {what} has not ended after {after:?}"))
            }
            (Err(error), None) => return Err(error),
        };
        if matches!(outcome, Outcome::Found(_)) {
            self.forget();
        }
        Ok(outcome)
    }
}

impl Running {
    fn operate(&mut self, operations: &str) -> Result<String> {
        let limit = HANG * self.slow;
        let answer = self.bench.guest.run_within(operations, limit)?.text;
        Ok(self.spent.operations(&answer))
    }

    /// Returns whether a frame comes back within `limit`.
    fn echoes(&mut self, guest: Address, length: usize, limit: Duration) -> Result<bool> {
        let frame = frame::request(guest, length, length as u32);
        let end = Instant::now() + limit * self.slow;
        loop {
            if exchange(&mut self.bench, &frame, ECHO * self.slow)?.is_some() {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
        }
    }

    fn try_input(
        &mut self,
        input: &[u8],
        guest: Address,
        number: u32,
        fired: &mut u64,
    ) -> Result<Outcome> {
        let items = items(input);
        let lies: Vec<u8> = items
            .iter()
            .filter_map(|item| match item {
                Item::Lie(bytes) => Some(*bytes),
                _ => None,
            })
            .flatten()
            .collect();
        if !lies.is_empty() {
            self.bench.model()?.script(&hex::encode(&lies))?;
        }
        let mut faulty = false;
        let mut restore = false;
        let mut gone = false;
        let mut sent = None;
        let mut batch = String::new();
        for item in &items {
            if !matches!(item, Item::Operation(..)) {
                // What arrives and fails does so while the guest is at work.
                self.begin(&mut batch, &mut sent)?;
            }
            match item {
                Item::Lie(_) => {}
                Item::Operation(bytes, operation) => {
                    restore |= operation.sets();
                    batch.push_str(&hex::encode(bytes));
                }
                Item::Fault(fault) => {
                    faulty |= ["pci-abort", "dma-fault"].contains(&fault.name.as_str());
                    gone |= fault.name == "gone";
                    self.bench.model()?.tell(&Request::Fault(fault.clone()))?;
                }
                Item::Frames(frames) => {
                    let frame = frames.frame(guest);
                    for _ in 0..frames.count {
                        peer(&mut self.bench)?.send(&frame)?;
                    }
                }
            }
        }
        // All frames are there when that has been done, and what they cause is under way.
        batch.push_str(NO_XDP);
        self.begin(&mut batch, &mut sent)?;
        let mut state = self.end(&mut sent)?;
        self.spent.add(Phase::Input);
        *fired = self.bench.model()?.behave()?;
        let length = 100 + number as usize % 1000;
        self.since_rebind += 1;
        let mut back = None;
        if restore || state != "up" {
            state = self.operate(&format!("{RESTORE}{OPEN}"))?;
        }
        self.spent.add(Phase::Restore);
        if state == "up" && self.since_rebind < REBIND {
            if self.echoes(guest, length, GLIMPSE)? {
                back = Some(Return::Alone);
            } else if !gone {
                // (A card that was away has lost its configuration, and needs more.)
                self.spent.add(Phase::Echo);
                self.operate(&format!("{STOP}{OPEN}"))?;
                if self.echoes(guest, length, RETURN)? {
                    back = Some(Return::Reopened);
                }
                self.spent.add(Phase::Reopen);
            }
        }
        self.spent.add(Phase::Echo);
        if back.is_none() && state != "none" {
            let due = state == "up" && self.since_rebind >= REBIND;
            state = self.operate(&format!("{AWAKE}{REBIND_IT}{OPEN}"))?;
            if state == "up" && self.echoes(guest, length, RETURN)? {
                self.since_rebind = 0;
                back = Some(if due {
                    Return::Routine
                } else {
                    Return::Rebound
                });
            }
            self.spent.add(Phase::Rebind);
        }
        if back.is_none() {
            self.operate(&format!("{RESCAN}{AWAKE}{OPEN}"))?;
            if self.echoes(guest, length, RETURN)? {
                self.since_rebind = 0;
                back = Some(Return::Rescanned);
            }
            self.spent.add(Phase::Rescan);
        }
        let Some(back) = back else {
            return Ok(Outcome::Found(format!(
                "traffic is not back {:?} after the device behaves again",
                RETURN * self.slow
            )));
        };
        let counters = self.bench.model()?.counters()?;
        let new = counters.violations - self.violations;
        self.violations = counters.violations;
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        let outside = counters
            .violation_log
            .iter()
            .rev()
            .take(new)
            .find(|text| OUTSIDE.iter().any(|outside| text.contains(outside)));
        match outside {
            // A chip that reads ones takes them for addresses.
            Some(text) if !faulty => Ok(Outcome::Found(format!("DMA: {text}"))),
            _ => Ok(Outcome::Fine(back)),
        }
    }

    /// Has the guest begin what is in `batch`, after what it is at.
    fn begin(&mut self, batch: &mut String, sent: &mut Option<u32>) -> Result<()> {
        if !batch.is_empty() {
            self.end(sent)?;
            *sent = Some(self.bench.guest.begin(batch)?);
            batch.clear();
        }
        Ok(())
    }

    /// Waits until the guest has done what it began; returns the state of the interface then.
    fn end(&mut self, sent: &mut Option<u32>) -> Result<String> {
        let Some(number) = sent.take() else {
            return Ok(String::new());
        };
        let limit = HANG * self.slow;
        let answer = self.bench.guest.end(number, limit)?.text;
        Ok(self.spent.operations(&answer))
    }

    /// Returns what the kernel has written since the last call that needs attention.
    fn problem(&mut self) -> Option<String> {
        let mut new = Vec::new();
        self.console.read_to_end(&mut new).ok()?;
        problem(&String::from_utf8_lossy(&new))
    }
}

/// Returns the first message that needs attention of a lying device's kernel, without its time.
fn problem(console: &str) -> Option<String> {
    let unexpected = |problem: &dmesg::Problem| {
        let expected = EXPECTED.iter().any(|text| problem.line.contains(text));
        !expected
    };
    let quiet = console.contains(TRACE_OF_EXPECTED);
    let found: Vec<String> = dmesg::problems(console)
        .into_iter()
        .filter(unexpected)
        .map(|problem| problem.line)
        .filter(|line| !(quiet && (line.contains("Call Trace") || line.contains("Tainted:"))))
        .collect();
    // The line that says what it is comes after one that says that it is something.
    let telling = found.iter().find(|line| !line.contains(CUT_HERE));
    telling
        .or(found.first())
        .cloned()
        .map(|line| match line.split_once("] ") {
            Some((_, text)) => text.to_owned(),
            None => line,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_be_silent_or_interrupt_without_a_reason() {
        assert_eq!(
            problem("[    1.0] eth0: NETDEV WATCHDOG: CPU: 1: transmit queue 0 timed out 5000 ms"),
            None
        );
        let irq = "[    1.0] irq 16: nobody cared (try booting with the \"irqpoll\" option)\n\
            [    1.0] CPU: 0 UID: 0 PID: 1 Comm: x Tainted: G OE\n\
            [    1.0] Call Trace:\n[    1.0]  __report_bad_irq+0x35/0xa0\n[    1.0] Disabling IRQ #16";
        assert_eq!(problem(irq), None);
        assert_eq!(
            problem(&format!("{irq}\n[    1.0] WARNING: CPU: 1 PID: 9 at x.c:1")),
            Some("WARNING: CPU: 1 PID: 9 at x.c:1".to_owned())
        );
        let cut = "[    1.0] ------------[ cut here ]------------";
        assert_eq!(
            problem(&format!("{cut}\n[    1.0] WARNING: x.c:1 at f, CPU#1")),
            Some("WARNING: x.c:1 at f, CPU#1".to_owned())
        );
        assert_eq!(
            problem(cut),
            cut.split_once("] ").map(|(_, text)| text.to_owned())
        );
    }

    #[test]
    fn the_operations_of_each_execution_are_what_they_are_called() {
        use lab::operations::{Operation, BYTES};
        let read = |text: &str| {
            let bytes = hex::decode(text).unwrap();
            Operation::from_bytes(<[u8; BYTES]>::try_from(bytes).unwrap()).0
        };
        assert_eq!(read(STOP), Operation::Stop);
        assert_eq!(read(OPEN), Operation::Open);
        assert_eq!(read(NO_XDP), Operation::Xdp(None));
        assert_eq!(read(AWAKE), Operation::RuntimePm(false));
        assert_eq!(read(REBIND_IT), Operation::Rebind);
        assert_eq!(read(RESCAN), Operation::Rescan);
        assert_eq!(read(RESTORE), Operation::Restore);
    }
}
