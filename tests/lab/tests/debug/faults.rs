// SPDX-License-Identifier: GPL-2.0

//! Memory runs out in the middle of everything: errors must be clean, and traffic must come back.

use std::time::Duration;

use lab::bench::{Bench, Loaded};
use lab::case::{progress, Case};
use lab::debug::{keep_enabled, Faults};
use lab::drive;
use lab::frame::request;
use lab::setup::{Network, Setup};
use lab::traffic::{echo_returns, guest_address, peer, start_echo};
use lab::{guest_test, require, Error, Result};

/// The time that a sweep over all allocations of an operation may take.
const SWEEP: Duration = Duration::from_secs(2400);

/// The number of times that the module is loaded while memory is short.
const INSERTIONS: u32 = 25;

/// Frames a second that leave time for checks.
const FLOOD_RATE: u32 = 2_000;

/// The number of times that the interface goes down and up while memory is short and frames arrive.
const REOPENINGS: u32 = 15;

/// Lets each allocation that the driver makes in `operation` fail in its turn, one at a time,
/// undoing what succeeds by `undo`; both are shell commands that the shell executes itself.
///
/// Returns how many allocations there are, and how many of them the operation can do without.
fn sweep(bench: &mut Bench, operation: &str, undo: &str) -> Result<(u32, u32)> {
    let name = bench.driver().name();
    Faults::below(&mut bench.guest, name)?.arm(&mut bench.guest, 0, 1, false)?;
    let script = format!(
        "nth=0; spared=0; left=0
        while [ $left = 0 ]; do
            nth=$((nth + 1))
            echo $nth >/proc/self/fail-nth
            {operation} 2>/run/error; status=$?
            read -r left </proc/self/fail-nth
            echo 0 >/proc/self/fail-nth
            if [ $status = 0 ]; then
                [ $left != 0 ] || spared=$((spared + 1))
                {undo} || exit 1
            elif [ $left != 0 ]; then
                echo \"with no failure: $(cat /run/error)\"; exit 1
            fi
        done
        echo $((nth - 1)) $spared"
    );
    println!(
        "  each allocation below `{operation}` fails in its turn: at most {} minutes",
        SWEEP.as_secs() / 60
    );
    let text = bench.guest.check_within(&script, SWEEP)?;
    let mut numbers = text.split_whitespace().map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(all)), Some(Ok(spared))) => Ok((all, spared)),
        _ => Err(Error::Unmet(format!(
            "found {text:?} at the end of a sweep, expected two numbers"
        ))),
    }
}

/// Every allocation of the probe, of opening the interface and of changing the MTU fails once.
#[guest_test(ours(b300), r8169 = b380, debug)]
fn survives_the_failure_of_each_allocation(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().open()?;
    let name = bench.driver().name();
    let address = bench.device().address.clone();
    let bus = format!("/sys/bus/pci/drivers/{name}");

    let mtu = format!("/sys/class/net/{interface}/mtu");
    let (all, spared) = sweep(
        &mut bench,
        &format!("echo 4000 >{mtu}"),
        &format!("echo 1500 >{mtu}"),
    )?;
    println!("{name} changes its MTU with {all} allocations, and without {spared} of them");

    bench
        .guest
        .check(&format!("ip link set {interface} down"))?;
    let flags = format!("/sys/class/net/{interface}/flags");
    let (all, spared) = sweep(
        &mut bench,
        &format!("echo 0x1003 >{flags}"),
        &format!("echo 0x1002 >{flags}"),
    )?;
    println!("{name} opens with {all} allocations, and without {spared} of them");
    require!(all > 10, "opening made {all} allocations, expected more");

    bench
        .guest
        .check(&format!("echo {address} >{bus}/unbind"))?;
    keep_enabled(&mut bench.guest, &address)?;
    let (all, spared) = sweep(
        &mut bench,
        &format!("echo {address} >{bus}/bind"),
        &format!("echo {address} >{bus}/unbind"),
    )?;
    println!("{name} probes with {all} allocations, and without {spared} of them");
    require!(all > 10, "the probe made {all} allocations, expected more");

    bench.guest.check(&format!("echo {address} >{bus}/bind"))?;
    comes_back(&mut bench)?;
    bench.finish()
}

/// Lets each allocation that the driver makes for a program that the shell executes fail in its
/// turn, one at a time, until so many in a row change nothing: there are no more then. `undo`
/// undoes what succeeds.
///
/// Returns how many failures had the program fail.
fn sweep_program(bench: &mut Bench, program: &str, undo: &str) -> Result<u32> {
    const IN_A_ROW: u32 = 10;
    let name = bench.driver().name();
    Faults::below(&mut bench.guest, name)?.arm(&mut bench.guest, 0, 1, false)?;
    let script = format!(
        "nth=0; row=0; refused=0
        while [ $row -lt {IN_A_ROW} ]; do
            nth=$((nth + 1))
            if sh -c \"echo $nth >/proc/self/fail-nth; exec {program}\" >/run/error 2>&1; then
                row=$((row + 1)); {undo} || exit 1
            else
                row=0; refused=$((refused + 1))
                grep -qi memory /run/error || {{ cat /run/error; exit 1; }}
            fi
        done
        echo $refused"
    );
    println!(
        "  each allocation below `{program}` fails in its turn: at most {} minutes",
        SWEEP.as_secs() / 60
    );
    let text = bench.guest.check_within(&script, SWEEP)?;
    text.trim().parse().map_err(|_| {
        Error::Unmet(format!(
            "found {text:?} at the end of a sweep of `{program}`, expected how often it failed"
        ))
    })
}

/// Every allocation of exchanging the rings fails once: by ethtool, and for an XDP program that
/// comes and goes.
#[guest_test(ours(b380), debug)]
fn survives_failures_of_exchanging_its_rings(case: &Case) -> Result<()> {
    let (mut bench, interface) = Setup {
        network: Network::Internet,
        megabytes: 16,
        ..case.frames()
    }
    .open()?;
    for (program, undo) in [
        (
            format!("ethtool -G {interface} rx 16 tx 32"),
            format!("ethtool -G {interface} rx 64 tx 64"),
        ),
        (
            format!("guest-echo xdp-once {interface} drop"),
            "true".to_owned(),
        ),
    ] {
        let refused = sweep_program(&mut bench, &program, &undo)?;
        println!("{refused} failures had `{program}` fail");
        require!(
            refused > 4,
            "{refused} failures had `{program}` fail, expected more"
        );
    }
    Faults::disarm(&mut bench.guest)?;
    comes_back(&mut bench)?;
    bench.finish()
}

/// All that is to work again: the interface, an address, traffic both ways.
fn comes_back(bench: &mut Bench) -> Result<()> {
    let interface = match bench.bound_interface()? {
        Loaded::Interface(interface) => interface,
        Loaded::Refused => {
            return Err(Error::Unmet(format!(
                "no interface when there is memory again; the kernel says: {:?}",
                bench.driver_messages()?
            )))
        }
    };
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    drive::lease(bench, &interface)?;
    drive::ping(bench, 5)?;
    drive::fetch(bench)?;
    drive::send(bench).map(|_| ())
}

/// The module is loaded again and again while allocations fail at random.
#[guest_test(ours(b380), r8169 = b380, debug)]
fn is_loaded_while_memory_is_short(case: &Case) -> Result<()> {
    let mut bench = Bench::start(&case.setup())?;
    bench.load_and_open()?;
    bench.unload()?;
    let (name, address) = (bench.driver().name(), bench.device().address.clone());
    keep_enabled(&mut bench.guest, &address)?;
    // What comes before the module's own code is the loader's, which does complain.
    // About one insertion in four comes through.
    Faults::below_function(&mut bench.guest, "do_init_module")?.arm(
        &mut bench.guest,
        1,
        2,
        false,
    )?;
    let (mut refused, mut without) = (0, 0);
    for time in 1..=INSERTIONS {
        progress("insertions", time, INSERTIONS);
        let loaded = bench.guest.run(&format!(
            "echo 1 >/proc/self/make-it-fail; exec insmod /modules/{name}.ko"
        ))?;
        if loaded.status != 0 {
            refused += 1;
            continue;
        }
        if bench.bound_interface()? == Loaded::Refused {
            without += 1;
        }
        bench.unload()?;
    }
    Faults::disarm(&mut bench.guest)?;
    println!(
        "{INSERTIONS} insertions of {name}: {refused} refused, {without} came without an interface"
    );
    require!(
        refused + without > 0 && refused + without < INSERTIONS,
        "of {INSERTIONS} insertions {refused} were refused and {without} had no interface: expected some"
    );
    bench.insert(name)?;
    comes_back(&mut bench)?;
    bench.finish()
}

/// Frames arrive at a rate, the interface goes down and up, and the driver's allocations fail, in
/// the poll too.
#[guest_test(ours(b380), r8169 = b380, debug)]
fn gets_through_shortages_in_the_rain(case: &Case) -> Result<()> {
    let guest = guest_address()?;
    let (mut bench, interface) = Setup {
        // Without memory the guest cannot take as many.
        drop_when_full: true,
        pcap: false,
        ..case.frames()
    }
    .open()?;
    start_echo(&mut bench, &interface)?;
    let name = bench.driver().name();
    let flood = peer(&mut bench)?.flood(request(guest, 700, 1), FLOOD_RATE);
    let faults = Faults::below(&mut bench.guest, name)?;
    let mut refused = 0;
    for time in 1..=REOPENINGS {
        progress("reopenings", time, REOPENINGS);
        // Now and then nearly nothing is left.
        let percent = if time % 5 == 0 { 90 } else { 20 };
        faults.arm(&mut bench.guest, percent, 2, true)?;
        bench.guest.check("sleep 0.4")?;
        let script = format!("ip link set {interface} down; ip link set {interface} up");
        refused += u32::from(bench.guest.run(&script)?.status != 0);
        bench.guest.check("sleep 0.4")?;
        Faults::disarm(&mut bench.guest)?;
        bench.guest.check(&format!("ip link set {interface} up"))?;
        bench.wait_carrier(&interface, true)?;
        echo_returns(&mut bench, time)?;
    }
    flood.stop()?;
    let dropped = drive::statistic(&mut bench, &interface, "rx_dropped")?;
    println!("{name}: {refused} of {REOPENINGS} openings refused, {dropped} frames dropped");
    require!(
        refused > 0 && dropped > 0,
        "{refused} openings were refused and {dropped} frames dropped: nothing was short"
    );
    bench.finish()
}
