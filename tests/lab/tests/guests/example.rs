// SPDX-License-Identifier: GPL-2.0

//! The example for rust/net: a driver of QEMU's `edu`, which sends every frame back.

use std::time::Duration;

use lab::bench::{Bench, Loaded};
use lab::case::Inputs;
use lab::model::Chip;
use lab::{guest_test, require, Error, Result};

/// The number of packets that are sent; the device takes 0.2 s for each.
const PACKETS: u32 = 8;

/// The operations of ethtool that the driver has written nothing for.
const ABSENT: [&str; 7] = ["-g", "-c", "-a", "-d", "-e", "-S", "-t"];

fn number(bench: &mut Bench, script: &str) -> Result<u64> {
    let text = bench.guest.check(script)?;
    Ok(text.trim().parse().unwrap_or(u64::MAX))
}

#[guest_test]
fn the_example_sends_frames_back(inputs: &Inputs) -> Result<()> {
    let case = inputs.case(inputs.kernel()?, Chip::B300, inputs.example()?)?;
    let mut bench = Bench::start(&case.setup())?;
    for round in 0..2 {
        let loaded = if round == 0 {
            bench.load()?
        } else {
            bench.reload()?
        };
        let Loaded::Interface(interface) = loaded else {
            return Err(Error::Unmet("the example left the device alone".to_owned()));
        };
        bench.guest.check(&format!(
            "sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=1
             ip addr add 192.0.2.1/24 dev {interface}; ip link set {interface} up
             ip neigh add 192.0.2.2 lladdr $(cat /sys/class/net/{interface}/address) dev {interface}"
        ))?;
        bench.wait_carrier(&interface, true)?;
        let statistic = |name: &str| format!("cat /sys/class/net/{interface}/statistics/{name}");
        let in_ip = "awk '/^Ip: [0-9]/ { print $4 }' /proc/net/snmp";
        let bad_in_ip = "awk '/^Ip: [0-9]/ { print $5 }' /proc/net/snmp";
        let (before, bad) = (number(&mut bench, in_ip)?, number(&mut bench, bad_in_ip)?);
        // No answer comes: what comes back is addressed to another host.
        bench
            .guest
            .run(&format!("ping -c {PACKETS} -i 0.3 -W 1 -s 1000 192.0.2.2"))?;
        let all_back = format!(
            "test $({}) -ge {PACKETS} && test $({}) = $({})",
            statistic("tx_packets"),
            statistic("tx_packets"),
            statistic("rx_packets")
        );
        bench.guest.wait_until(
            "all frames to come back",
            &all_back,
            Duration::from_secs(20),
        )?;
        let (sent, back) = (
            number(&mut bench, &statistic("tx_bytes"))?,
            number(&mut bench, &statistic("rx_bytes"))?,
        );
        require!(
            sent == back && sent >= u64::from(PACKETS) * 1042,
            "{sent} bytes were sent and {back} came back"
        );
        // A header that was changed on its way would fail its checksum.
        let (after, bad_after) = (number(&mut bench, in_ip)?, number(&mut bench, bad_in_ip)?);
        require!(
            after >= before + u64::from(PACKETS) && bad_after == bad,
            "IP got {} packets and {} with a bad header, expected {PACKETS} and none",
            after - before,
            bad_after - bad
        );
        for option in ABSENT {
            let answer = bench
                .guest
                .run(&format!("ethtool {option} {interface} 2>&1"))?;
            require!(
                answer.text.contains("not supported") || answer.text.contains("no stats available"),
                "ethtool {option} says: {}",
                answer.text
            );
        }
        let driver = bench.guest.check(&format!("ethtool -i {interface}"))?;
        require!(
            driver.contains("driver: edu_net"),
            "ethtool -i says: {driver}"
        );
        // With a frame under way.
        bench.guest.check(&format!(
            "ping -c 2 -i 0.1 -W 1 192.0.2.2 >/dev/null; ip link set {interface} down; ip link set {interface} up"
        ))?;
        bench.wait_carrier(&interface, true)?;
    }
    bench.unload()?;
    bench.finish()
}
