// SPDX-License-Identifier: GPL-2.0

//! `lab node`: a machine that boots by the option ROM of its card, run by another program.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lab::case::Inputs;
use lab::ipxe::BOOT_FILE;
use lab::process::wait_for;
use lab::slirp::Slirp;
use lab::{guest, guest_test, namespace, require, Error, Result};
use serde_json::{json, Value};

const MAC: &str = "52:54:00:81:11:10";

/// The time that firmware and iPXE may take, on a busy machine.
const BOOT: Duration = Duration::from_secs(90);

/// The output of the boot script.
const SAID: &str = "lab: the node has its script";

/// A launcher, as a program in another language sees it.
struct Launcher {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

fn broken(what: impl ToString) -> Error {
    Error::Protocol {
        peer: "the launcher",
        what: what.to_string(),
    }
}

impl Launcher {
    fn start(inputs: &Inputs, wire: &str, directory: &Path, disk: &Path) -> Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["node", "--name", "compute-0-0", "--mac", MAC])
            .args(["--wire", wire, "--memory", "256", "--run", "install"])
            .arg("--model")
            .arg(inputs.model()?)
            .arg("--disk")
            .arg(disk)
            .arg("--directory")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(broken)?;
        let requests = process.stdin.take().ok_or_else(|| broken("no input"))?;
        let answers = process.stdout.take().ok_or_else(|| broken("no output"))?;
        Ok(Self {
            process,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// Reads one answer; an error of the launcher's is one here.
    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(broken)?;
        let mut answer: Value = serde_json::from_str(&line).map_err(broken)?;
        if answer["ok"] == true {
            Ok(answer["value"].take())
        } else {
            Err(broken(answer["error"].take()))
        }
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        writeln!(self.requests, "{request}").map_err(broken)?;
        self.answer()
    }

    /// Ends the input; requires that the launcher ends well.
    fn end(mut self) -> Result<()> {
        drop(self.requests);
        let status = self.process.wait().map_err(broken)?;
        require!(status.success(), "the launcher ended with {status}");
        Ok(())
    }
}

/// The node gets an address and a script over its card, answers requests, and is switched off.
#[guest_test]
fn a_node_boots_over_its_cable(inputs: &Inputs) -> Result<()> {
    namespace::prepare()?;
    let directory = inputs.artifacts.clone();
    let sockets = tempfile::tempdir().map_err(broken)?;
    fs::create_dir_all(&directory).map_err(Error::file(&directory, "creating"))?;
    let script = sockets.path().join(BOOT_FILE);
    let text = format!("#!ipxe\necho {SAID}\nsleep 600\n");
    fs::write(&script, text).map_err(Error::file(&script, "writing"))?;
    let disk = directory.join("disk");
    fs::write(&disk, [0; 1 << 16]).map_err(Error::file(&disk, "writing"))?;

    let world = Slirp::start(&directory, sockets.path(), BOOT_FILE)?;
    let wire = format!("stream:connect:{}", world.socket().display());
    let mut launcher = Launcher::start(inputs, &wire, &directory, &disk)?;
    launcher.answer()?;
    let console = directory.join("install-console.log");
    wait_for("the node to have its script", BOOT, || {
        let state = launcher.ask(&json!({ "do": "state" }))?;
        require!(state["running"] == true, "the node is off");
        let text = fs::read(&console).unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).contains(SAID).then_some(()))
    })?;
    let cpu = launcher.ask(&json!({ "do": "state" }))?["cpu"].as_f64();
    require!(cpu.is_some_and(|cpu| cpu > 0.1), "it has cost {cpu:?} s");

    let request = json!({ "do": "card", "request": { "cmd": "counters" } });
    let answer = launcher.ask(&request)?;
    let count = |name: &str| answer["counters"][name].as_u64();
    require!(
        count("violations") == Some(0) && count("dma_faults") == Some(0),
        "iPXE has done wrong: {answer}"
    );
    require!(count("rx_frames") > Some(2), "no frames: {answer}");
    launcher.ask(&json!({ "do": "registers" }))?;
    let registers = fs::read_to_string(directory.join(guest::REGISTERS)).unwrap_or_default();
    require!(
        registers.matches("CPU#1").count() == 2,
        "the registers are {registers:?}"
    );
    let refused = launcher.ask(&json!({ "do": "dance" }));
    require!(refused.is_err(), "it dances: {refused:?}");

    launcher.ask(&json!({ "do": "pause" }))?;
    let start = Instant::now();
    launcher.end()?;
    let after = start.elapsed();
    require!(after < BOOT / 3, "it took {after:?} to switch it off");
    let capture = directory.join("install-wire.pcap");
    let length = fs::metadata(&capture).map_or(0, |file| file.len());
    require!(length > 24, "{} has {length} bytes", capture.display());
    Ok(())
}

/// An error in starting is reported in the first answer.
#[guest_test]
fn a_node_that_cannot_be_started_is_told(inputs: &Inputs) -> Result<()> {
    let directory = inputs.artifacts.clone();
    let nowhere = directory.join("nowhere");
    let wire = format!("stream:listen:{}", nowhere.join("wire").display());
    let mut launcher = Launcher::start(inputs, &wire, &directory, &nowhere)?;
    match launcher.answer() {
        Err(error) if error.to_string().contains("the device model") => launcher.end(),
        other => Err(broken(format!("{other:?} to a wire that cannot be made"))),
    }
}
