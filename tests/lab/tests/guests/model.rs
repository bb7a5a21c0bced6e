// SPDX-License-Identifier: GPL-2.0

//! The device model itself, as a program among others on the host.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use lab::bare::{self, Machine};
use lab::case::{Case, Inputs};
use lab::drive::{self, Transfer};
use lab::model::Chip;
use lab::process::output_of;
use lab::setup::Setup;
use lab::{guest_test, ipxe, namespace, require, Error, Result};

/// CPU time that one large frame may cost, in microseconds.
const FRAME: f64 = 10.0;

/// The time for which the card is watched doing nothing.
const IDLE: Duration = Duration::from_secs(4);

/// Requires that one large frame of `transfer` was cheap for the model.
fn cost(way: &str, transfer: &Transfer) -> Result<()> {
    let cost = transfer
        .model_cpu()
        .ok_or_else(|| Error::Input("this bench has no device model".to_owned()))?;
    println!("{cost:.1} us of CPU a frame {way}");
    require!(
        cost < FRAME,
        "the model takes {cost:.1} us of CPU for a frame {way}, expected less than {FRAME}"
    );
    Ok(())
}

#[guest_test(name = "the_model_is_quick_and_idle", r8169 = b380, alone)]
fn is_quick_and_idle(case: &Case) -> Result<()> {
    let (mut bench, _) = Setup {
        pcap: false,
        megabytes: 64,
        ..case.setup()
    }
    .lease()?;
    cost("fetched", &drive::fetch(&mut bench)?)?;
    cost("sent", &drive::send(&mut bench)?)?;

    let before = bench.model()?.counters()?;
    sleep(IDLE);
    let used = bench.model()?.counters()?.since(&before).cpu;
    println!("{used:?} of CPU in {IDLE:?} of nothing");
    require!(
        used < IDLE / 100,
        "the model used {used:?} of CPU in {IDLE:?} of nothing, expected less than 1 %"
    );
    bench.finish()
}

/// The time that firmware and iPXE may take to use the card, on a busy machine.
const FIRMWARE: Duration = Duration::from_secs(90);

/// Requires that the model reports, in one line, a machine whose memory the card cannot reach.
fn names_memory(inputs: &Inputs, memory: &str, line: &str) -> Result<()> {
    namespace::prepare()?;
    let model = inputs.model()?;
    let mut machine = Machine::start(&bare::Options {
        model: &model,
        chip: Chip::B300,
        memory,
        rom: Some(Path::new(ipxe::ROM)),
        uefi: None,
        artifacts: &inputs.artifacts,
    })?;
    let lines = machine.wait_log(line, FIRMWARE)?;
    // QEMU goes on trying; the model is to report that once.
    sleep(Duration::from_secs(2));
    let later = machine.wait_log(line, FIRMWARE)?;
    require!(
        lines.len() == 1 && later.len() == 1 && lines[0].contains("share=on"),
        "the log of the model has {later:?}, expected one line that ends with what to do"
    );
    machine.stop()
}

#[guest_test]
fn the_model_names_memory_that_is_not_shared(inputs: &Inputs) -> Result<()> {
    let memory = "memory-backend-memfd,share=off";
    names_memory(inputs, memory, "the transmit ring reads as zeroes")
}

#[guest_test]
fn the_model_names_memory_without_a_file(inputs: &Inputs) -> Result<()> {
    let memory = "memory-backend-ram,share=off";
    names_memory(inputs, memory, "come without a file")
}

/// Checks the names of interfaces in a network namespace of its own: the others' is to have no
/// interfaces but the loopback.
fn names_interfaces(inputs: &Inputs) -> Result<()> {
    let artifacts = &inputs.artifacts;
    fs::create_dir_all(artifacts).map_err(Error::file(artifacts, "creating"))?;
    let script = "model=$1; cd \"$2\"
        serve() {
            \"$model\" serve --socket nic --log \"$1.log\" --wire \"tap:$1\" >\"$1.out\" 2>&1 &
            for i in $(seq 200); do grep -q ^ready: \"$1.out\" && break; sleep 0.1; done
        }
        ip tuntap add there mode tap; ip link set there up
        serve there; ip link del there
        for i in $(seq 100); do grep -q gone there.log && break; sleep 0.1; done
        ip tuntap add there mode tap; ip link set there up
        for i in $(seq 100); do grep -q 'a peer is there' there.log && break; sleep 0.1; done
        kill $!; wait
        ip tuntap add down mode tap
        serve down; kill $!; wait
        serve mistyped; kill $!; wait";
    output_of(
        Command::new("unshare")
            .args(["--net", "sh", "-euc", script, "sh"])
            .arg(inputs.model()?)
            .arg(artifacts),
    )?;
    for (name, line) in [
        ("there", "wire: interface there is gone: frames are lost"),
        ("down", "wire: interface down is down: nothing goes over it until `ip link set down up`"),
        (
            "mistyped",
            "wire: found no interface mistyped, and made one; it is down, so that nothing goes over it until `ip link set mistyped up`",
        ),
    ] {
        let path = artifacts.join(format!("{name}.log"));
        let log = fs::read_to_string(&path).map_err(Error::file(&path, "reading"))?;
        let is_complaint = |line: &&str| line.contains("] warn: ") || line.contains("] error: ");
        let lines: Vec<&str> = log.lines().filter(is_complaint).collect();
        require!(
            lines.len() == 1 && lines[0].contains(line),
            "about the interface {name} the log of the model has {lines:?}, expected one line with {line:?}"
        );
        require!(
            name != "there" || log.contains("wire: a peer is there"),
            "an interface that is back is not used again: {log}"
        );
    }
    Ok(())
}

#[guest_test]
fn the_model_names_interfaces_that_lead_nowhere(inputs: &Inputs) -> Result<()> {
    if fs::File::open("/dev/net/tun").is_err() {
        return Err(Error::Unavailable(
            "/dev/net/tun cannot be opened".to_owned(),
        ));
    }
    names_interfaces(inputs)
}
