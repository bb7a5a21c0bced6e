// SPDX-License-Identifier: GPL-2.0

//! Traffic in the background of a test: marked frames that the guest echoes, and TCP both ways.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::frame::{self, expected_echo, request, Address};
use crate::model::Model;
use crate::peer::Peer;
use crate::process::wait_for;
use crate::{require, Error, Result};

/// The time that an echo may take on a busy machine.
pub const ECHO: Duration = Duration::from_secs(10);

/// The guest's station address, as bytes.
pub fn guest_address() -> Result<Address> {
    frame::parse_address(Model::MAC)
        .ok_or_else(|| Error::Input(format!("{} is no address", Model::MAC)))
}

/// The far end of a bench whose network is frames.
pub fn peer(bench: &mut Bench) -> Result<&mut Peer> {
    let peer = bench.peer.as_mut();
    peer.ok_or_else(|| Error::Input("this bench has no peer".to_owned()))
}

/// Starts the echo in the guest, to last as long as the guest.
pub fn start_echo(bench: &mut Bench, interface: &str) -> Result<()> {
    let script = format!("guest-echo {interface} >/run/echo.log 2>&1 &");
    bench.guest.check(&script)?;
    bench
        .guest
        .wait_until("the echo to begin", "grep -q echoing /run/echo.log", ECHO)
        .map(|_| ())
}

/// Sends `frame` and returns the echo of just that length and sender, or none in time.
pub fn exchange(bench: &mut Bench, frame: &[u8], limit: Duration) -> Result<Option<Vec<u8>>> {
    let peer = peer(bench)?;
    peer.send(frame)?;
    let end = Instant::now() + limit;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match peer.receive(left)? {
            Some(echo) if echo.get(..6) == frame.get(6..12) => return Ok(Some(echo)),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

/// Requires that one marked frame is echoed despite the background flood; it is sent again when it
/// is lost.
pub fn echo_returns(bench: &mut Bench, time: u32) -> Result<()> {
    let guest = guest_address()?;
    // Late echoes of the one before have another length.
    let frame = request(guest, 1000 + time as usize % 500, time);
    for _ in 0..20 {
        if let Some(echo) = exchange(bench, &frame, ECHO / 10)? {
            require!(
                echo == expected_echo(&frame, guest),
                "frame {time} came back changed"
            );
            return Ok(());
        }
    }
    Err(Error::Timeout {
        what: format!("the echo of frame {time}"),
        after: ECHO * 2,
        detail: String::new(),
    })
}

/// The time that TCP may take to recover from an interruption.
const TRAFFIC: Duration = Duration::from_secs(30);

/// Starts TCP both ways, as much as there is room for, until [`end_tcp`]; an interruption does not
/// end it.
pub fn start_tcp(bench: &mut Bench) -> Result<()> {
    let url = bench.url("")?;
    // Without a limit one direction starves the other for seconds.
    bench
        .guest
        .check(&format!(
            "head -c 4194304 /dev/urandom >/tmp/upload
            loop() {{ while test ! -e /run/enough; do \"$@\" >/dev/null 2>&1 || sleep 0.1; done; }}
            loop curl -sf -m 2 --limit-rate 5M -o /dev/null {url}body &
            loop curl -sf -m 2 --limit-rate 5M -T /tmp/upload {url}storm &"
        ))
        .map(|_| ())
}

/// Waits until TCP flows both ways, which it does when its timers allow.
pub fn wait_tcp(bench: &mut Bench, when: &str) -> Result<()> {
    let is_bulk = |bytes: u64, frames: u64| frames > 100 && bytes > 200 * frames;
    let before = bench.model()?.counters()?;
    let what = format!("TCP to flow both ways {when}");
    wait_for(&what, TRAFFIC, || {
        let seen = bench.model()?.counters()?.since(&before);
        let flows =
            is_bulk(seen.tx_bytes, seen.tx_frames) && is_bulk(seen.rx_bytes, seen.rx_frames);
        Ok(flows.then_some(()))
    })
}

/// Ends what [`start_tcp`] began.
pub fn end_tcp(bench: &mut Bench) -> Result<()> {
    bench
        .guest
        .check("touch /run/enough; killall curl 2>/dev/null; sleep 0.5")
        .map(|_| ())
}
