// SPDX-License-Identifier: GPL-2.0

//! The kernel's messages leave by the card (netconsole), in any context and with interrupts off,
//! while its rings are replaced.

use std::time::Duration;

use lab::bench::Bench;
use lab::case::Case;
use lab::drive;
use lab::model::CAPTURE;
use lab::passt;
use lab::pcap;
use lab::setup::{Driver, Setup};
use lab::traffic::{end_tcp, guest_address, start_tcp, wait_tcp};
use lab::{guest_test, require, Result};

/// The number of messages that are written while the rings change, and afterwards.
const MESSAGES: usize = 600;
const LAST: usize = 20;

/// The time that writing them may take: on a host with nothing else to do 10 s, on a busy one more
/// than a minute was seen.
const WRITING: Duration = Duration::from_secs(300);

/// The time that a round of changes may take, of which one is a self-test.
const CHANGE: Duration = Duration::from_secs(30);

/// The port that netconsole sends to by default.
const PORT: u16 = 6666;

/// Commands that replace the rings or change what is in them. r8169 has buffers of one size, and
/// rings of one size.
fn changes(driver: &Driver, interface: &str) -> String {
    let features = [
        format!("ethtool -K {interface} sg on tso on"),
        format!("ethtool -K {interface} sg off tso off"),
    ];
    let rings = [
        format!("ethtool -G {interface} rx 64 tx 64"),
        format!("ip link set {interface} mtu 2000"),
        format!("ethtool -G {interface} rx 256 tx 256"),
        format!("ip link set {interface} mtu 1500"),
        format!("ethtool -t {interface} offline"),
    ];
    match driver {
        Driver::R8168Rust(_) => [&features[..], &rings].concat().join("; "),
        _ => features.join("; "),
    }
}

/// Returns which messages are on the wire, and how often.
fn on_the_wire(capture: &std::path::Path) -> Result<Vec<usize>> {
    let own = guest_address()?;
    let mut times = vec![0; MESSAGES + LAST + 1];
    for frame in pcap::frames(capture)? {
        let Some(packet) = pcap::packet(&frame) else {
            continue;
        };
        if packet.from != own || packet.to_port != PORT {
            continue;
        }
        let text = String::from_utf8_lossy(packet.payload).into_owned();
        let number = text.split_once("lab: message ").map(|(_, rest)| rest);
        let number = number.and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        if let Some(time) = number.and_then(|number| times.get_mut(number)) {
            *time += 1;
            require!(
                text.contains(&"x".repeat(64)) && packet.payload_right,
                "a message is damaged on the wire: {text:?}"
            );
        }
    }
    Ok(times)
}

#[guest_test(ours(b300, b380), r8169 = b380, debug)]
fn carries_the_console(case: &Case) -> Result<()> {
    let setup = Setup {
        more_modules: &["netconsole"],
        ..case.setup()
    };
    let mut bench = Bench::start(&setup)?;
    let interface = bench.load_and_open()?;
    drive::lease(&mut bench, &interface)?;
    drive::ping(&mut bench, 1)?;
    bench.insert("netconsole")?;
    let (own, gateway) = (passt::GUEST, passt::GATEWAY);
    bench.guest.check(&format!(
        "echo on >/proc/sys/kernel/printk_devkmsg
        mount -t configfs configfs /sys/kernel/config; mkdir /sys/kernel/config/netconsole/lab; cd /sys/kernel/config/netconsole/lab
        echo {interface} >dev_name; echo {own} >local_ip; echo {gateway} >remote_ip
        ip neigh show {gateway} | sed 's/.*lladdr \\([^ ]*\\).*/\\1/' >remote_mac; echo 1 >enabled; test $(cat enabled) = 1"
    ))?;
    start_tcp(&mut bench)?;
    wait_tcp(&mut bench, "beside netconsole")?;
    let changes = changes(&case.driver, &interface);
    let write = format!(
        "(while test ! -e /run/enough; do {changes}; done; touch /run/quiet) >/run/changes.log 2>&1 &
        x=$(printf x%.0s $(seq 64))
        for i in $(seq {MESSAGES}); do echo \"lab: message $i $x\" >/dev/kmsg; sleep 0.01; done"
    );
    bench.guest.check_within(&write, WRITING)?;
    end_tcp(&mut bench)?;
    let quiet = "test -e /run/quiet";
    bench
        .guest
        .wait_until("the changes to end", quiet, CHANGE)?;
    bench.wait_carrier(&interface, true)?;
    drive::ping(&mut bench, 3)?;
    let total = MESSAGES + LAST;
    bench.guest.check(&format!(
        "x=$(printf x%.0s $(seq 64))
        for i in $(seq {} {total}); do echo \"lab: message $i $x\" >/dev/kmsg; done",
        MESSAGES + 1
    ))?;
    let dropped = bench.guest.check(&format!(
        "sleep 1; cat /sys/class/net/{interface}/statistics/tx_dropped"
    ))?;
    let dropped: usize = dropped.parse().unwrap_or(0);
    drive::fetch(&mut bench)?;
    bench
        .guest
        .check("echo 0 >/sys/kernel/config/netconsole/lab/enabled")?;
    bench.unload()?;
    bench.finish()?;

    let times = on_the_wire(&setup.artifacts.join(CAPTURE))?;
    let lost: Vec<usize> = (1..=total).filter(|&number| times[number] == 0).collect();
    let late = lost.iter().filter(|&&number| number > MESSAGES).count();
    println!(
        "{} of {total} messages lost, {dropped} frames dropped",
        lost.len()
    );
    require!(
        times.iter().all(|&time| time <= 1) && late == 0 && lost.len() <= dropped,
        "of {total} messages {} did not leave ({late} of them when nothing changed any more), and {dropped} frames were counted \
         as dropped; expected no more than those: {lost:?}",
        lost.len()
    );
    Ok(())
}
