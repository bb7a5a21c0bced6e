//! `lab run` and `lab shell`: a stock kernel on the emulated chip, for people.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};

use lab::bench::{Bench, Card, Driver, Loaded, Setup};
use lab::boots::{self, Ending, Machine};
use lab::drive;
use lab::kernel::Kernel;
use lab::model::Chip;
use lab::node;
use lab::record::Record;
use lab::report::{Outcome, Report};
use lab::selftests::{self, Event, Kept, Plan, Results, Verdict};

/// Boots a stock Debian kernel on the emulated RTL8111B and drives it.
///
/// To be run inside the toolbox, in a network namespace of its own.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot, load the driver, ping and transfer, report; the exit status is 0 when all checks passed
    Run(Options),
    /// Boot, load the driver, get a lease, then give an interactive console in the guest
    Shell(Options),
    /// Boot the same guest again and again; the exit status is 0 when all boots reached their first program
    Boots(BootOptions),
    /// Switch a node of a cluster on, do what the lines of the standard input ask for, switch it off at their end; see
    /// lab::node
    Node(NodeOptions),
    /// Run the kernel's own selftests, and r8169 on b380 beside it; the exit status is 0 when all failures are explained
    Selftests(SelftestOptions),
}

#[derive(Debug, Args)]
struct NodeOptions {
    /// The node's name
    #[arg(long)]
    name: String,
    /// The address of its card
    #[arg(long)]
    mac: String,
    /// What its card is plugged into, as `rtl8111b serve --wire` takes it
    #[arg(long, value_name = "SPEC")]
    wire: String,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// iPXE as an option ROM, for a card of Realtek's
    #[arg(long, value_name = "FILE", default_value = lab::ipxe::ROM)]
    rom: PathBuf,
    /// Main memory
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// Its disk, a raw image; without one it has none
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Boot from the disk first, and not from the network
    #[arg(long, requires = "disk")]
    disk_first: bool,
    /// An image that it boots from before all else
    #[arg(long, value_name = "FILE")]
    stick: Option<PathBuf>,
    /// What that is to the machine
    #[arg(long, value_enum, default_value = "usb", requires = "stick")]
    slot: node::Slot,
    /// UEFI in place of the BIOS: the file of its code
    #[arg(long, value_name = "FILE", requires = "variables")]
    firmware: Option<PathBuf>,
    /// The file of its variables, which is written to
    #[arg(long, value_name = "FILE", requires = "firmware")]
    variables: Option<PathBuf>,
    /// Give it a screen and a keyboard
    #[arg(long)]
    screen: bool,
    /// What the names of this run's files begin with
    #[arg(long, value_name = "NAME")]
    run: String,
    /// Where these are written: console, logs, a capture of the wire
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Debug, Args)]
struct SelftestOptions {
    #[command(flatten)]
    common: Options,
    /// The Debian environment that the tests run in
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The selftests, installed by their own Makefile
    #[arg(long, value_name = "DIR")]
    tests: PathBuf,
    /// Tests of our own
    #[arg(long, value_name = "DIR")]
    ours: PathBuf,
    /// Which tests, and what is known of them
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Where to keep what r8169 gets, which takes as long as ours
    #[arg(long, value_name = "DIR")]
    witness_cache: PathBuf,
    /// Only tests whose file contains one of these
    words: Vec<String>,
}

#[derive(Debug, Args)]
struct BootOptions {
    /// The chip to emulate: b300 (XID 300) or b380 (XID 380)
    #[arg(long, default_value = "b300")]
    chip: Chip,
    /// The kernel's version, as in the name of its directory of modules
    #[arg(long, value_name = "VERSION")]
    kver: String,
    /// Where the kernel's packages are unpacked
    #[arg(long, value_name = "DIR")]
    kernel_dir: PathBuf,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Where the logs of boots that failed are kept
    #[arg(long, value_name = "DIR")]
    artifacts: PathBuf,
    /// Where initramfs images are kept
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// How often each machine is booted
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// How many guests run at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    guests: u16,
    /// Let each guest have only one of the host's processors, as on a busy host
    #[arg(long)]
    pin: bool,
    /// How many seconds a boot may take
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Another machine, booted in turn with the lab's: NAME=QEMU-ARGUMENTS -- KERNEL-ARGUMENTS
    #[arg(long, value_name = "MACHINE", value_parser = Machine::parse)]
    also: Vec<Machine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DriverName {
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
struct Options {
    /// The chip to emulate: b300 (XID 300) or b380 (XID 380)
    #[arg(long, default_value = "b300")]
    chip: Chip,
    /// The driver: r8168_rust is ours, r8169 the kernel's own
    #[arg(long, value_enum, default_value = "r8168_rust")]
    driver: DriverName,
    /// The kernel's version, as in the name of its directory of modules
    #[arg(long, value_name = "VERSION")]
    kver: String,
    /// Where the kernel's packages are unpacked
    #[arg(long, value_name = "DIR")]
    kernel_dir: PathBuf,
    /// r8168_rust.ko, built for that kernel
    #[arg(long, value_name = "FILE", required_if_eq("driver", "r8168_rust"))]
    module: Option<PathBuf>,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE", required_unless_present = "card")]
    model: Option<PathBuf>,
    /// A card of this machine, bound to vfio-pci, in place of the emulated chip; see scripts/passthrough
    #[arg(long, value_name = "PCI-ADDRESS")]
    card: Option<String>,
    /// This machine's own address on the card's wire, to transfer to and from; without it nothing is transferred
    #[arg(long, value_name = "IP-ADDRESS", requires = "card")]
    reach: Option<Ipv4Addr>,
    /// Keep the logs here, and a capture of the wire if the run fails
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Where initramfs images are kept [default: $LAB_CACHE or a temporary directory]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// How much to transfer each way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=512))]
    megabytes: u32,
    /// Count the instructions of the guest's kernel by this plugin of QEMU, count.so; the table by function is left among the logs
    #[arg(long, value_name = "FILE", requires = "artifacts")]
    count: Option<PathBuf>,
    /// Write what was measured to this file as well, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the options name, checked.
struct Inputs {
    kernel: Kernel,
    model: PathBuf,
    card: Option<Card>,
    driver: Driver,
    cache: PathBuf,
    artifacts: PathBuf,
    // Removed with what is in it when nobody has asked for it.
    _scratch: tempfile::TempDir,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let held = match &cli.command {
        Command::Run(options) => run(options),
        Command::Shell(options) => shell(options).map(|()| true),
        Command::Boots(options) => boot(options),
        Command::Node(options) => node(options).map(|()| true),
        Command::Selftests(options) => selftests(options),
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Options {
    fn check(&self) -> Result<Inputs> {
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

fn existing(path: &Path, option: &str, advice: &str) -> Result<()> {
    if !path.is_file() {
        bail!("{option}: found no file {}; {advice}", path.display());
    }
    Ok(())
}

impl Inputs {
    fn setup<'a>(&'a self, options: &'a Options) -> Setup<'a> {
        Setup {
            megabytes: options.megabytes,
            card: self.card.as_ref(),
            // Beside a plugin there is nothing to be looked into, and writing the frames takes time.
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

/// Progress lines with the time since the start.
struct Progress {
    start: Instant,
}

impl Progress {
    fn say(&self, text: impl Display) {
        println!("[{:6.1} s] {text}", self.start.elapsed().as_secs_f64());
    }
}

fn run(options: &Options) -> Result<bool> {
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
        return Ok(Outcome::Held);
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
    Ok(Outcome::Held)
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

fn shell(options: &Options) -> Result<()> {
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

fn boot(options: &BootOptions) -> Result<bool> {
    existing(&options.model, "--model", "build the device model first")?;
    let kernel = Kernel::find(&options.kernel_dir, &options.kver)?;
    let mut machines = vec![Machine::of_the_lab()];
    machines.extend_from_slice(&options.also);
    let progress = Progress {
        start: Instant::now(),
    };
    progress.say(format_args!(
        "booting kernel {}, {} machine(s) {} times each, {} at once; a boot may take {} s",
        kernel.version(),
        machines.len(),
        options.count,
        options.guests,
        options.limit
    ));
    let total = machines.len() * usize::try_from(options.count)?;
    let done = AtomicUsize::new(0);
    let found = boots::run(
        &boots::Setup {
            kernel: &kernel,
            model: &options.model,
            chip: options.chip,
            machines: &machines,
            count: usize::try_from(options.count)?,
            guests: usize::from(options.guests),
            pin: options.pin,
            limit: Duration::from_secs(options.limit),
            cache: &options.cache,
            artifacts: &options.artifacts,
        },
        |boot| {
            let machine = &machines[boot.machine];
            let logs = boots::logs(&options.artifacts, machine, boot);
            let number = boot.number + 1;
            match &boot.ending {
                Ending::Init(_) => {}
                Ending::Hang => progress.say(format_args!(
                    "{}, boot {number}: hangs; its logs are in {}",
                    machine.name,
                    logs.display()
                )),
                Ending::Failure(why) => progress.say(format_args!(
                    "{}, boot {number}: {why}\nIts logs are in {}",
                    machine.name,
                    logs.display()
                )),
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done % 50 == 0 || done == total {
                progress.say(format_args!("{done} of {total} boots"));
            }
        },
    )?;
    print!("\n{}", boots::table(&machines, &found));
    Ok(found
        .iter()
        .filter(|boot| boot.machine == 0)
        .all(|boot| matches!(boot.ending, Ending::Init(_))))
}

fn node(options: &NodeOptions) -> Result<()> {
    existing(&options.model, "--model", "build the device model first")?;
    let node = node::Options {
        name: &options.name,
        mac: &options.mac,
        wire: &options.wire,
        model: &options.model,
        rom: &options.rom,
        memory_mib: options.memory,
        disk: options.disk.as_deref(),
        disk_first: options.disk_first,
        stick: options.stick.as_deref().map(|image| (image, options.slot)),
        firmware: options
            .firmware
            .as_deref()
            .zip(options.variables.as_deref())
            .map(|(code, variables)| node::Firmware { code, variables }),
        screen: options.screen,
        run: &options.run,
        directory: &options.directory,
    };
    let input = std::io::stdin().lock();
    let output = std::io::stdout().lock();
    node::serve(&node, input, output).map_err(anyhow::Error::from_boxed)
}

fn selftests(options: &SelftestOptions) -> Result<bool> {
    let inputs = options.common.check()?;
    let progress = Progress {
        start: Instant::now(),
    };
    let text = std::fs::read_to_string(&options.plan)
        .with_context(|| format!("{}: reading the list", options.plan.display()))?;
    let mut plan = Plan::parse(&options.plan.display().to_string(), &text)?;
    plan.keep(&options.words)?;
    let setup = |name: &str, chip, driver| selftests::Setup {
        kernel: &inputs.kernel,
        model: &inputs.model,
        root: &options.root,
        tests: &options.tests,
        ours: &options.ours,
        cache: &inputs.cache,
        artifacts: inputs.artifacts.join(name),
        chip,
        driver,
    };
    let reference = setup("r8169", Chip::B380, Driver::R8169);
    let witness = witness(&reference, &plan, &options.witness_cache, &progress)?;
    let chip = options.common.chip;
    progress.say(format_args!(
        "ours on {}, r8169 on b380 beside it; kernel {}; {} tests, at most {} minutes",
        chip.name(),
        inputs.kernel.version(),
        plan.tests.len(),
        plan.limit().as_secs().div_ceil(60)
    ));
    let mut count = BTreeMap::new();
    let mut bad = 0;
    let mut begun = 0;
    selftests::run(
        &setup("ours", chip, inputs.driver.clone()),
        &plan,
        |event| {
            let (test, cases) = match event {
                Event::Begins(test) => {
                    begun += 1;
                    progress.say(format_args!(
                        "{begun} of {}: {} begins, at most {} s",
                        plan.tests.len(),
                        test.file,
                        test.limit.as_secs()
                    ));
                    return Ok(());
                }
                Event::Ended(test, cases) => (test, cases),
            };
            println!("{}", test.file);
            for case in cases {
                let beside = witness
                    .get(&test.file)
                    .and_then(|cases| cases.iter().find(|other| other.name == case.name));
                let verdict = selftests::judge(&plan, &test.file, case, beside);
                bad += usize::from(matches!(verdict, Verdict::Unexplained(_)));
                *count.entry(case.outcome.name()).or_insert(0) += 1;
                println!("{}", selftests::line(case, beside, &verdict));
            }
            Ok(())
        },
    )?;
    let counted: Vec<String> = count
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    println!();
    progress.say(format_args!(
        "{}; {bad} of the failures unexplained",
        counted.join(", ")
    ));
    println!("What the tests wrote is in {}", inputs.artifacts.display());
    Ok(bad == 0)
}

/// What r8169 gets in the same tests; those whose outcome is not known yet are run.
fn witness(
    setup: &selftests::Setup<'_>,
    plan: &Plan,
    cache: &Path,
    progress: &Progress,
) -> Result<Results> {
    let kept = Kept::open(cache, setup)?;
    let mut results = Results::new();
    let mut missing = plan.clone();
    missing.tests.retain(|test| match kept.get(plan, test) {
        Some(cases) => {
            results.insert(test.file.clone(), cases);
            false
        }
        None => true,
    });
    if missing.tests.is_empty() {
        return Ok(results);
    }
    progress.say(format_args!(
        "first r8169 on b380, to have something to compare with: {} tests, at most {} minutes; kept for the next time",
        missing.tests.len(),
        missing.limit().as_secs().div_ceil(60)
    ));
    selftests::run(setup, &missing, |event| {
        match event {
            Event::Begins(test) => progress.say(&test.file),
            Event::Ended(test, cases) => {
                if selftests::is_complete(cases) {
                    kept.put(plan, test, cases)?;
                }
                results.insert(test.file.clone(), cases.to_vec());
            }
        }
        Ok(())
    })?;
    Ok(results)
}
