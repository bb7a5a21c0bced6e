// SPDX-License-Identifier: GPL-2.0

//! `lab run` and `lab shell`: one guest, for people.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use lab::bench::{Bench, Loaded};
use lab::drive;
use lab::kernel::Kernel;
use lab::model::Chip;
use lab::record::Record;
use lab::report::{Outcome, Report};
use lab::setup::{Card, Driver, Setup};

use crate::{existing, Progress};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverName {
    #[value(name = "r8168_rust")]
    R8168Rust,
    #[value(name = "r8169")]
    R8169,
    #[value(name = "r8168")]
    R8168,
    #[value(name = "e1000e", hide = true)]
    E1000e,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The chip to emulate: b300 (XID 300) or b380 (XID 380)
    #[arg(long, default_value = "b300")]
    pub(crate) chip: Chip,
    /// The driver: r8168_rust is ours, r8169 the kernel's own
    #[arg(long, value_enum, default_value = "r8168_rust")]
    pub(crate) driver: DriverName,
    /// The kernel's version, as in the name of its directory of modules
    #[arg(long, value_name = "VERSION")]
    pub(crate) kver: String,
    /// The directory in which the kernel's packages are unpacked
    #[arg(long, value_name = "DIR")]
    pub(crate) kernel_dir: PathBuf,
    /// r8168_rust.ko, built for that kernel
    #[arg(long, value_name = "FILE", required_if_eq("driver", "r8168_rust"))]
    pub(crate) module: Option<PathBuf>,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE", required_unless_present = "card")]
    pub(crate) model: Option<PathBuf>,
    /// A card of this machine, bound to vfio-pci, in place of the emulated chip; see
    /// scripts/passthrough
    #[arg(long, value_name = "PCI-ADDRESS")]
    pub(crate) card: Option<String>,
    /// This machine's own address on the card's wire, to transfer to and from; without it nothing
    /// is transferred
    #[arg(long, value_name = "IP-ADDRESS", requires = "card")]
    pub(crate) reach: Option<Ipv4Addr>,
    /// Keep the logs here, and a capture of the wire if the run fails
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,
    /// The directory in which initramfs images are kept [default: $LAB_CACHE or a temporary
    /// directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// The amount to transfer each way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) megabytes: u32,
    /// Count the instructions of the guest's kernel by this plugin of QEMU, count.so; the table by
    /// function is left among the logs
    #[arg(long, value_name = "FILE", requires = "artifacts")]
    pub(crate) count: Option<PathBuf>,
    /// Write what was measured to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// The files that the options name, checked.
pub(crate) struct Inputs {
    pub(crate) kernel: Kernel,
    pub(crate) model: PathBuf,
    pub(crate) card: Option<Card>,
    pub(crate) driver: Driver,
    pub(crate) cache: PathBuf,
    pub(crate) artifacts: PathBuf,
    // Removed with its content unless the option was given.
    _scratch: tempfile::TempDir,
}

impl Options {
    pub(crate) fn check(&self) -> Result<Inputs> {
        let kernel = Kernel::find(&self.kernel_dir, &self.kver)?;
        let module = || {
            let module = self.module.clone().context("--module is missing")?;
            existing(&module, "--module", "build the module first")?;
            Ok::<_, anyhow::Error>(module)
        };
        let driver = match self.driver {
            DriverName::R8168Rust => Driver::R8168Rust(module()?),
            DriverName::R8168 => Driver::R8168(module()?),
            DriverName::R8169 => Driver::R8169,
            DriverName::E1000e => Driver::E1000e,
        };
        let model = self.model.clone().unwrap_or_default();
        if self.driver != DriverName::E1000e && self.card.is_none() {
            existing(&model, "--model", "build the device model first")?;
        }
        let scratch = tempfile::Builder::new().prefix("lab-run-").tempdir()?;
        let cache = self
            .cache
            .clone()
            .or_else(|| std::env::var_os("LAB_CACHE").map(PathBuf::from))
            .unwrap_or_else(|| scratch.path().join("cache"));
        let artifacts = match &self.artifacts {
            Some(dir) => dir.clone(),
            None => scratch.path().join("artifacts"),
        };
        Ok(Inputs {
            kernel,
            model,
            card: self.card.clone().map(|address| Card {
                address,
                reach: self.reach,
            }),
            driver,
            cache,
            artifacts,
            _scratch: scratch,
        })
    }
}

impl Inputs {
    fn setup<'a>(&'a self, options: &'a Options) -> Setup<'a> {
        Setup {
            megabytes: options.megabytes,
            card: self.card.as_ref(),
            // Beside a plugin there is nothing to be looked into, and writing the frames takes
            // time.
            pcap: options.artifacts.is_some() && options.count.is_none(),
            plugin: options.count.as_deref(),
            ..Setup::new(
                &self.kernel,
                &self.model,
                options.chip,
                self.driver.clone(),
                &self.cache,
                &self.artifacts,
            )
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<bool> {
    let inputs = options.check()?;
    let progress = Progress {
        start: Instant::now(),
    };
    let mut report = Report::default();
    let outcome = match measure(options, &inputs, &progress, &mut report) {
        Ok(outcome) => outcome,
        Err(error) => {
            let console = lab::process::tail(&inputs.artifacts.join("console.log"), 15);
            if !console.is_empty() {
                println!("The end of the guest's console:\n{console}\n");
            }
            Outcome::Failed(error.to_string())
        }
    };
    print!("{}", report.render(inputs.driver.name(), &outcome));
    let failed = matches!(outcome, Outcome::Failed(_));
    if let Some(dir) = &options.artifacts {
        let capture = dir.join(lab::model::CAPTURE);
        if !failed && capture.exists() {
            // Twice as long as what was transferred, and there is nothing to find in it.
            std::fs::remove_file(&capture)?;
        }
        println!("Console and logs are in {}", dir.display());
    }
    Ok(!failed)
}

fn measure(
    options: &Options,
    inputs: &Inputs,
    progress: &Progress,
    report: &mut Report,
) -> lab::Result<Outcome> {
    let started = match &inputs.card {
        Some(card) => format!("giving the card {} to a guest", card.address),
        None => format!(
            "starting the device model ({}) and passt",
            options.chip.name()
        ),
    };
    progress.say(format_args!(
        "{started}, booting kernel {}: waiting for the guest's control channel, at most 180 s",
        inputs.kernel.version()
    ));
    let mut bench = Bench::start(&inputs.setup(options))?;
    let name = inputs.driver.name();
    report.add("kernel", inputs.kernel.version());
    match bench.device().xid {
        Some(xid) if inputs.card.is_some() => {
            report.add("chip", format_args!("a real one, XID {xid:03x}"));
        }
        Some(xid) => report.add("chip", format_args!("{}, XID {xid:03x}", options.chip)),
        None => report.add("chip", "QEMU's e1000e"),
    }

    progress.say(format_args!("loading {name}"));
    let mut record = Record::new(&mut bench)?;
    let interface = match bench.load()? {
        Loaded::Interface(interface) => interface,
        Loaded::Refused => return refused(bench, options, report),
    };
    let about = bench
        .guest
        .check(&format!("ethtool -i {interface} | sed -n 's/^[a-z]*: //p'"))?;
    let mut about = about.lines();
    report.add(
        "driver",
        format_args!(
            "{} {}, interface {interface}",
            about.next().unwrap_or(name),
            about.next().unwrap_or_default()
        ),
    );

    record.step(&mut bench, "probe")?;

    progress.say(format_args!(
        "opening {interface}: waiting for its carrier, at most 20 s"
    ));
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    record.step(&mut bench, "open")?;
    let link = bench.guest.check(&format!(
        "ethtool {interface} | sed -n 's/^[ \\t]*\\(Speed\\|Duplex\\): //p'"
    ))?;
    report.add("link", format_args!("up, {}", link.replace('\n', " ")));

    progress.say("asking for a DHCP lease, at most 20 s");
    let lease = drive::lease(&mut bench, &interface)?;
    report.add("DHCP lease", lease);

    progress.say("pinging the gateway 50 times");
    let ping = drive::ping(&mut bench, 50)?;
    report.add("ping", &ping);

    if bench.url("").is_err() {
        report.add(
            "transfers",
            "not tried: no address of this machine to reach",
        );
        finish(bench, progress, report)?;
        return Ok(Outcome::Passed);
    }
    let megabytes = options.megabytes;
    progress.say(format_args!("fetching {megabytes} MiB over HTTP"));
    let fetched = drive::fetch(&mut bench)?;
    report.add_transfer("fetched", &fetched);
    progress.say(format_args!("sending {megabytes} MiB over HTTP"));
    let sent = drive::send(&mut bench)?;
    report.add_transfer("sent", &sent);
    report.add_cost("MMIO, fetching", &fetched);
    report.add_cost("MMIO, sending", &sent);
    report.add_model_cpu(&fetched, &sent);
    record.transfer("fetching", &fetched);
    record.transfer("sending", &sent);
    if let Some(artifacts) = options
        .artifacts
        .as_ref()
        .filter(|_| options.count.is_some())
    {
        let table = drive::instructions(&mut bench, &fetched, &sent)?;
        let path = artifacts.join("instructions.tsv");
        std::fs::write(&path, table.to_string()).map_err(lab::Error::file(&path, "writing"))?;
        report.add("instructions", table.summary());
        record.add("instructions", table.to_json());
    }
    if let Some(path) = &options.json {
        record.add("kernel", inputs.kernel.version());
        record.add("driver", name);
        record.add("chip", options.chip.name());
        record.write(path)?;
    }

    finish(bench, progress, report)?;
    Ok(Outcome::Passed)
}

fn refused(mut bench: Bench, options: &Options, report: &mut Report) -> lab::Result<Outcome> {
    let messages = bench.driver_messages()?;
    let line = messages
        .iter()
        .find(|line| line.contains("unknown chip XID 300"));
    report.add("driver", "loaded, has left the device alone");
    let expected = options.driver == DriverName::R8169 && options.chip == Chip::B300;
    match line {
        Some(line) if expected => {
            let line = line.clone();
            bench.finish()?;
            report.add("kernel messages", "none need attention");
            Ok(Outcome::Refused(line))
        }
        _ => Err(lab::Error::Unmet(format!(
            "the driver has left the device alone; the kernel says: {}",
            messages.join(" | ")
        ))),
    }
}

fn finish(mut bench: Bench, progress: &Progress, report: &mut Report) -> lab::Result<()> {
    if let Some(counters) = bench.counters()? {
        report.add_totals(&counters);
    }
    let problems = bench.kernel_problems()?;
    let label = "kernel messages";
    if problems.is_empty() {
        report.add(label, "none need attention");
    }
    for problem in problems.iter().take(10) {
        report.add(label, &problem.line);
    }
    progress.say("powering off");
    bench.finish()
}

pub(crate) fn shell(options: &Options) -> Result<()> {
    let inputs = options.check()?;
    let progress = Progress {
        start: Instant::now(),
    };
    progress.say(format_args!(
        "booting kernel {} with {}: waiting for the guest's control channel, at most 180 s",
        inputs.kernel.version(),
        inputs.driver.name()
    ));
    let mut bench = Bench::start(&Setup {
        interactive: true,
        ..inputs.setup(options)
    })?;
    let about = match bench.load()? {
        Loaded::Interface(interface) => {
            bench.guest.check(&format!("ip link set {interface} up"))?;
            bench.wait_carrier(&interface, true)?;
            let lease = drive::lease(&mut bench, &interface)?;
            format!(
                "{} drives {interface}, leased {lease}",
                inputs.driver.name()
            )
        }
        Loaded::Refused => format!(
            "{} has left the device alone; see dmesg",
            inputs.driver.name()
        ),
    };
    let url = bench.url("body")?;
    let banner = format!(
        "\n{about}\n{} MiB to fetch: {url}\nLeave by `exit` (or Ctrl-a x, which ends the machine at once).\n\n",
        options.megabytes
    );
    println!("{banner}");
    let script =
        "setsid sh -c 'cd /root; ENV=/etc/prelude exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1'";
    let day = Duration::from_secs(24 * 60 * 60);
    match bench.guest.run_within(script, day) {
        Ok(_) => bench.power_off()?,
        // The user ended the machine from its monitor or by a power-off.
        Err(lab::Error::GuestGone { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
