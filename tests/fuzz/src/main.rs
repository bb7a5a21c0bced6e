// SPDX-License-Identifier: GPL-2.0

//! `fuzz-driver`: a driver in a guest, whose device does what the bytes of an input say.

mod coverage;
mod engine;
mod find;
mod input;
mod target;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use clap::Parser;
use lab::kernel::Kernel;
use lab::model::Chip;
use lab::setup::Driver;

use crate::find::{signature, Find};
use crate::input::ITEM;
use crate::target::{Outcome, Parts, Return, Target};

/// Fuzzes a network driver through an emulated chip that lies.
///
/// To be run inside the toolbox, in a network namespace of its own, by scripts/fuzz-driver.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The chip to emulate: b300 or b380
    #[arg(long, default_value = "b300")]
    chip: Chip,
    /// r8168_rust.ko, built for that kernel; without it the driver is r8169
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The kernel's version
    #[arg(long)]
    kver: String,
    /// The directory in which the kernel's packages are unpacked
    #[arg(long, value_name = "DIR")]
    kernel_dir: PathBuf,
    /// The device model, rtl8111b
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The plugin of QEMU, count.so
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,
    /// The program guest-echo
    #[arg(long, value_name = "FILE")]
    echo: PathBuf,
    /// The directory in which initramfs images are kept
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// The directory for logs, finds, and the inputs that are kept
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Does without an IOMMU between card and memory
    #[arg(long)]
    no_iommu: bool,
    /// The factor by which all limits of time are longer, on a machine that has other work to do
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..100))]
    slow: u32,
    /// The time to fuzz, in seconds, from the end of the first execution on
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The number of executions after which to end, whatever the time
    #[arg(long)]
    executions: Option<u64>,
    /// The number of finds after which to end
    #[arg(long, default_value_t = 20)]
    finds: u64,
    /// The seed of the choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Try random inputs, blind to what they reach
    #[arg(long)]
    blind: bool,
    /// Try what the file of a find says, in place of fuzzing
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Make the find of --replay shorter as well: FILE.min
    #[arg(long, requires = "replay")]
    minimise: bool,
}

/// The file of inputs after which traffic did not come back by itself.
const RETURNS: &str = "returns.txt";

/// The counts of a run, and what goes into its files.
struct Run<'a> {
    options: &'a Options,
    begin: Instant,
    said: Instant,
    executions: u64,
    returns: [u64; Return::Rescanned as usize + 1],
    /// The finds by their signature.
    finds: BTreeMap<String, u64>,
}

impl Run<'_> {
    /// Notes an outcome; returns whether there is to be another execution.
    fn note(
        &mut self,
        target: &Target,
        before: &[Vec<u8>],
        input: &[u8],
        outcome: &Outcome,
    ) -> bool {
        if self.executions == 0 {
            // Until now a guest has booted, which on some machines takes longer than a short run.
            self.begin = Instant::now();
        }
        self.executions += 1;
        match outcome {
            Outcome::Fine(back) => {
                self.returns[*back as usize] += 1;
                if *back > Return::Routine {
                    self.note_return(*back, input);
                }
            }
            Outcome::Found(what) => self.found(what, before, input),
        }
        if self.said.elapsed() >= Duration::from_secs(10) {
            self.said = Instant::now();
            self.say(target);
        }
        let options = self.options;
        let found: u64 = self.finds.values().sum();
        self.begin.elapsed() < Duration::from_secs(options.seconds)
            && options.executions.is_none_or(|most| self.executions < most)
            && found < options.finds
    }

    /// Notes an input after which traffic did not come back by itself, for people.
    fn note_return(&self, back: Return, input: &[u8]) {
        let path = self.options.out.join(RETURNS);
        let line = format!("{back:?} {}\n", hex::encode(input));
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            println!("{RETURNS} cannot be written: {error}");
        }
    }

    fn found(&mut self, what: &str, before: &[Vec<u8>], input: &[u8]) {
        let signature = signature(what);
        let times = self.finds.entry(signature.clone()).or_default();
        *times += 1;
        // More of the same say nothing new.
        if *times > 3 {
            return;
        }
        let find = Find {
            what: what.to_owned(),
            with: self.options.with(),
            before: before.to_vec(),
            input: input.to_vec(),
        };
        let path = self.options.out.join(format!("find-{signature}-{times}"));
        println!("FOUND {what}\n  {}", path.display());
        let console = self.options.out.join(lab::guest::CONSOLE);
        let log = path.with_extension("log");
        let saved = fs::write(&path, find.text()).and_then(|()| fs::copy(console, log));
        if let Err(error) = saved {
            println!("  it cannot be written: {error}");
        }
    }

    fn say(&self, target: &Target) {
        let time = self.begin.elapsed().as_secs_f64();
        let [alone, routine, reopened, rebound, rescanned] = self.returns;
        println!(
            "{time:6.0} s: {} executions, {:.1} a second; {} blocks; {} lies in {} executions; traffic back: \
             {alone} alone, {routine} bound anew in between, {reopened} reopened, {rebound} rebound, {rescanned} rescanned; \
             {} finds; {} boots",
            self.executions,
            self.executions as f64 / time.max(1.0),
            target.coverage.blocks(),
            target.lies(),
            target.lied,
            self.finds.values().sum::<u64>(),
            target.boots,
        );
    }
}

impl Options {
    fn with(&self) -> String {
        let driver = if self.module.is_some() {
            "r8168_rust"
        } else {
            "r8169"
        };
        let iommu = if self.no_iommu { "no IOMMU" } else { "IOMMU" };
        format!(
            "{} {driver} {} {iommu} seed {}, limits of time times {}",
            self.chip.name(),
            self.kver,
            self.seed,
            self.slow
        )
    }

    fn parts(&self) -> Result<Parts> {
        for (option, file) in [
            ("--model", &self.model),
            ("--plugin", &self.plugin),
            ("--echo", &self.echo),
        ] {
            if !file.is_file() {
                bail!(
                    "{option}: found no file {}, expected what scripts/fuzz-driver builds",
                    file.display()
                );
            }
        }
        fs::create_dir_all(&self.out).context("the directory for logs cannot be made")?;
        Ok(Parts {
            kernel: Kernel::find(&self.kernel_dir, &self.kver)?,
            model: self.model.clone(),
            chip: self.chip,
            driver: match &self.module {
                Some(module) => Driver::R8168Rust(module.clone()),
                None => Driver::R8169,
            },
            plugin: self.plugin.clone(),
            echo: self.echo.clone(),
            cache: self.cache.clone(),
            artifacts: self.out.clone(),
            iommu: !self.no_iommu,
            slow: self.slow,
        })
    }
}

/// Reads the inputs that earlier runs have kept.
fn kept(dir: &Path) -> Result<Vec<Vec<u8>>> {
    fs::create_dir_all(dir).context("the directory for inputs cannot be made")?;
    let mut inputs = Vec::new();
    for entry in fs::read_dir(dir)? {
        inputs.push(fs::read(entry?.path())?);
    }
    inputs.sort();
    Ok(inputs)
}

fn fuzz(options: &Options) -> Result<bool> {
    let mut target = Target::new(options.parts()?)?;
    let _ = fs::remove_file(options.out.join(RETURNS));
    let corpus = options.out.join("corpus");
    let mut seeds = kept(&corpus)?;
    println!("{}: {} inputs of earlier runs", options.with(), seeds.len());
    seeds.extend(input::seeds());
    let mut run = Run {
        options,
        begin: Instant::now(),
        said: Instant::now(),
        executions: 0,
        returns: [0; Return::Rescanned as usize + 1],
        finds: BTreeMap::new(),
    };
    let mut note = |target: &Target, before: &[Vec<u8>], input: &[u8], outcome: &Outcome| {
        run.note(target, before, input, outcome)
    };
    if options.blind {
        engine::fuzz_blindly(&mut target, options.seed, &mut note)?;
    } else {
        for input in engine::fuzz(&mut target, seeds, options.seed, &mut note)? {
            fs::write(corpus.join(lab::initramfs::sha256(&input)), input)?;
        }
    }
    run.say(&target);
    println!("time: {}", target.spent.text());
    println!("operations by their first byte: {}", target.spent.slowest());
    fs::write(options.out.join("blocks.tsv"), target.coverage.rows())?;
    for (signature, times) in &run.finds {
        println!("{times} times {signature}");
    }
    Ok(run.finds.is_empty())
}

/// Tries the input of a find alone, then after those before it; returns what was found.
fn try_again(target: &mut Target, find: &Find, times: u32) -> Result<Option<String>> {
    let mut map = vec![0; coverage::MAP];
    for _ in 0..times {
        if let Outcome::Found(what) = target.execute(&find.input, &mut map)? {
            return Ok(Some(what));
        }
    }
    for input in find.before.iter().chain([&find.input]) {
        if let Outcome::Found(what) = target.execute(input, &mut map)? {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

fn replay(options: &Options, path: &Path) -> Result<bool> {
    let find = Find::read(path)?;
    let mut target = Target::new(options.parts()?)?;
    println!("{}\n{}", options.with(), find.text());
    let Some(what) = try_again(&mut target, &find, 5)? else {
        println!("not seen again");
        return Ok(true);
    };
    println!("FOUND again: {what}");
    if options.minimise {
        // In the words of now, for the setting of now.
        let find = Find {
            what: what.clone(),
            with: options.with(),
            ..find
        };
        let shorter = minimise(&mut target, find, &what)?;
        let path = path.with_extension("min");
        fs::write(&path, shorter.text())?;
        println!("{}\n{}", path.display(), shorter.text());
    }
    Ok(false)
}

/// Leaves out what the find does not need: inputs before, then items, most of them at once first.
fn minimise(target: &mut Target, find: Find, what: &str) -> Result<Find> {
    let expected = signature(what);
    let mut same = |find: &Find| -> Result<bool> {
        let found = try_again(target, find, 3)?;
        Ok(found.is_some_and(|what| signature(&what) == expected))
    };
    let alone = Find {
        before: Vec::new(),
        ..find.clone()
    };
    let mut find = if same(&alone)? { alone } else { find };
    let mut size = find.input.len() / ITEM / 2;
    while size > 0 {
        let mut at = 0;
        while at < find.input.len() {
            let mut input = find.input.clone();
            input.drain(at..(at + size * ITEM).min(find.input.len()));
            let shorter = Find {
                input,
                ..find.clone()
            };
            if !shorter.input.is_empty() && same(&shorter)? {
                println!(
                    "{} bytes: {}",
                    shorter.input.len(),
                    hex::encode(&shorter.input)
                );
                find = shorter;
            } else {
                at += size * ITEM;
            }
        }
        size /= 2;
    }
    Ok(find)
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.replay {
        Some(path) => replay(&options, path),
        None => fuzz(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz-driver: {error:#}");
            ExitCode::from(2)
        }
    }
}
