// SPDX-License-Identifier: GPL-2.0

//! Runtime power management under concurrent requests.

use std::thread::sleep;
use std::time::{Duration, Instant};

use lab::bench::Bench;
use lab::case::Case;
use lab::drive;
use lab::{guest_test, require, Result};

/// The time for which the cable comes and goes.
const TIME: Duration = Duration::from_secs(30);

/// The cable comes and goes, and others open, close and ask, while the card is suspended at once
/// when it can be.
#[guest_test(ours = b300, debug)]
fn runtime_suspends_under_requests(case: &Case) -> Result<()> {
    let (mut bench, interface) = case.setup().lease()?;
    let power = format!("/sys/bus/pci/devices/{}/power", bench.device().address);
    bench.guest.check(&format!(
        "cd {power}; echo 0 >autosuspend_delay_ms; echo auto >control; cd /
        loop() {{ while test ! -e /run/enough; do \"$@\" >/dev/null 2>&1; sleep 0.2; done; }}
        again() {{ ip link set {interface} down; sleep 0.7; ip link set {interface} up; sleep 1; }}
        loop ethtool -S {interface} &
        loop ethtool -G {interface} rx 128 &
        loop ip -s link show {interface} &
        loop ip maddr add 33:33:00:00:68:68 dev {interface} &
        loop again &"
    ))?;
    let suspended = |bench: &mut Bench| -> Result<u64> {
        let time = bench
            .guest
            .check(&format!("cat {power}/runtime_suspended_time"))?;
        Ok(time.parse().unwrap_or(0))
    };
    let (start, before) = (Instant::now(), suspended(&mut bench)?);
    let mut up = true;
    while start.elapsed() < TIME {
        up = !up;
        bench.model()?.set_link(up)?;
        sleep(Duration::from_millis(if up { 300 } else { 900 }));
    }
    let slept = suspended(&mut bench)? - before;
    println!("it slept for {slept} of {} ms", TIME.as_millis());
    require!(
        slept > 1000,
        "it slept for {slept} ms, expected some seconds"
    );
    bench.guest.check("touch /run/enough; sleep 3")?;
    bench.model()?.set_link(true)?;
    bench.guest.check(&format!("ip link set {interface} up"))?;
    bench.wait_carrier(&interface, true)?;
    drive::lease(&mut bench, &interface)?;
    drive::fetch(&mut bench)?;
    drive::send(&mut bench)?;
    bench.finish()
}
