// SPDX-License-Identifier: GPL-2.0

//! Exercises for a bench with a network behind it: lease, ping, verified transfers.

use std::fmt;
use std::time::Duration;

use crate::bench::Bench;
use crate::http::Received;
use crate::instructions::{Counts, Phase, Symbols, Table};
use crate::model::Counters;
use crate::passt;
use crate::process::wait_for;
use crate::{require, Error, Result};

/// A bulk transfer must at least be this fast or is given up.
const SLOWEST_MIB_PER_S: u64 = 1;

/// The figures of `ping`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ping {
    /// Requests sent.
    pub sent: u32,
    /// Replies received.
    pub received: u32,
    /// The round trip in milliseconds: shortest, mean, longest.
    pub rtt_ms: (f64, f64, f64),
}

impl fmt::Display for Ping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.sent.saturating_sub(self.received);
        let percent = 100.0 * f64::from(lost) / f64::from(self.sent.max(1));
        let (min, mean, max) = self.rtt_ms;
        write!(
            out,
            "{} sent, {} received, {percent:.0} % lost, round trip {min:.1}/{mean:.1}/{max:.1} ms (min/avg/max)",
            self.sent, self.received
        )
    }
}

/// A verified transfer.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// The body's length and hash, on which both ends agree.
    pub body: Received,
    /// The time that it took by the guest's clock.
    pub seconds: f64,
    /// The counters of the device model for that time, if there is one.
    pub counters: Option<Counters>,
    /// The instructions of the guest's kernel in that time, if they are counted.
    pub executed: Option<Counts>,
}

impl Transfer {
    /// Megabits (10^6) a second.
    pub fn mbit_per_s(&self) -> f64 {
        self.body.length as f64 * 8.0 / 1e6 / self.seconds.max(1e-9)
    }

    /// CPU time of the device model for each frame of the direction that carries the data, in
    /// microseconds. The acknowledgements that come the other way are in it.
    pub fn model_cpu(&self) -> Option<f64> {
        let counters = self.counters.as_ref()?;
        let frames = counters.rx_frames.max(counters.tx_frames);
        Some(counters.cpu.as_secs_f64() * 1e6 / frames.max(1) as f64)
    }

    /// Frames that went either way.
    pub fn frames(&self) -> u64 {
        let counters = self.counters.as_ref();
        counters.map_or(0, |counters| counters.rx_frames + counters.tx_frames)
    }

    /// Mebibytes transferred.
    pub fn mib(&self) -> f64 {
        self.body.length as f64 / f64::from(1 << 20)
    }
}

/// Asks for a lease and returns what was leased; the interface must be up. On a real wire the
/// router of the lease becomes the bench's gateway.
pub fn lease(bench: &mut Bench, interface: &str) -> Result<String> {
    bench.guest.check(&format!(
        "rm -f /run/lease; udhcpc -i {interface} -n -q -f -t 10 -T 2 -s /etc/udhcpc 2>/run/udhcpc.log \
         || {{ cat /run/udhcpc.log; exit 1; }}"
    ))?;
    let lease = bench.guest.check("cat /run/lease")?;
    if bench.passt.is_none() {
        let router = lease
            .split_whitespace()
            .skip_while(|word| *word != "router")
            .nth(1)
            .ok_or_else(|| Error::Unmet(format!("leased {lease:?}, expected a router in it")))?;
        bench.gateway = router.to_owned();
        return Ok(lease);
    }
    let expected = format!("{}/24 router {}", passt::GUEST, passt::GATEWAY);
    require!(
        lease.starts_with(&expected),
        "leased {lease:?}, expected {expected:?}"
    );
    Ok(lease)
}

/// Pings the gateway at leisure and requires that nothing is lost.
pub fn ping(bench: &mut Bench, count: u32) -> Result<Ping> {
    all_answered(ping_with(bench, count, "-i 0.1")?, count)
}

/// The same without a pause: each ping goes out when the one before has been answered.
///
/// Several under way would not do: busybox gives its socket room for six replies or so, and loses
/// what comes while it is not scheduled.
pub fn ping_at_once(bench: &mut Bench, count: u32) -> Result<Ping> {
    all_answered(ping_with(bench, count, "-A")?, count)
}

/// The same for a driver that leaves a frame unseen until the next one interrupts: after a second
/// without a reply ping sends once more, so that more may be sent than the `count` that are
/// answered.
pub fn ping_with_late_replies(bench: &mut Bench, count: u32) -> Result<Ping> {
    let ping = ping_with(bench, count, "-A")?;
    require!(
        ping.received == count,
        "ping: {ping}; expected {count} replies"
    );
    Ok(ping)
}

fn all_answered(ping: Ping, count: u32) -> Result<Ping> {
    require!(
        ping.sent == count && ping.received == count,
        "ping: {ping}; expected {count} of {count} replies"
    );
    Ok(ping)
}

fn ping_with(bench: &mut Bench, count: u32, pace: &str) -> Result<Ping> {
    // Duplicates and late replies end in another status than 0; the figures below are what counts.
    let script = format!("ping -c {count} {pace} -W 5 {}", bench.gateway);
    let limit = Duration::from_secs(60 + u64::from(count));
    let text = bench.guest.run_within(&script, limit)?.text;
    parse_ping(&text)
        .ok_or_else(|| Error::Unmet(format!("cannot read the output of ping: {text:?}")))
}

/// Fetches the server's body into the guest and compares the hashes of both ends.
pub fn fetch(bench: &mut Bench) -> Result<Transfer> {
    let expected = bench.http.body().clone();
    let url = bench.url("body")?;
    let script = format!("curl -sS -f -o /tmp/fetched -w '%{{time_total}}' {url}");
    let limit = transfer_limit(expected.length);
    let timed = timed(bench, &script, limit)?;
    let received = guest_file(bench, "/tmp/fetched")?;
    require!(
        received == expected,
        "the guest fetched {received:?}, the server sent {expected:?}"
    );
    bench.guest.check("rm /tmp/fetched")?;
    Ok(timed.of(received))
}

/// Sends as many random bytes from the guest to the server and compares the hashes of both ends.
pub fn send(bench: &mut Bench) -> Result<Transfer> {
    let length = bench.http.body().length;
    let limit = transfer_limit(length);
    let make = format!("head -c {length} /dev/urandom >/tmp/sent");
    bench.guest.check_within(&make, limit)?;
    let sent = guest_file(bench, "/tmp/sent")?;
    require!(
        sent.length == length,
        "the guest made {} random bytes, expected {length}",
        sent.length
    );
    let url = bench.url("sent")?;
    let script =
        format!("curl -sS -f -H Expect: -T /tmp/sent -o /dev/null -w '%{{time_total}}' {url}");
    bench.http.forget("sent");
    let timed = timed(bench, &script, limit)?;
    // The server answers before it has hashed what it got.
    let hashed = Duration::from_secs(30);
    let received = wait_for("the server to hash the upload", hashed, || {
        Ok(bench.http.received("sent"))
    })?;
    require!(
        received == sent,
        "the server received {received:?}, the guest sent {sent:?}"
    );
    bench.guest.check("rm /tmp/sent")?;
    Ok(timed.of(received))
}

/// The instructions of the guest's kernel for the frames of two transfers, if they were counted.
pub fn instructions(bench: &mut Bench, fetched: &Transfer, sent: &Transfer) -> Result<Table> {
    let symbols = Symbols::parse(&bench.guest.check(Symbols::COMMAND)?);
    let phases = [("fetching", fetched), ("sending", sent)].map(|(name, transfer)| {
        let counts = transfer.executed.as_ref();
        counts.map(|counts| Phase {
            name,
            counts,
            frames: transfer.frames(),
        })
    });
    let phases: Vec<Phase<'_>> = phases.into_iter().flatten().collect();
    let mut table = Table::new(&symbols, bench.driver().name(), &phases);
    table.demangle()?;
    Ok(table)
}

/// The interface's own counters, as sysfs has them.
pub fn statistic(bench: &mut Bench, interface: &str, name: &str) -> Result<u64> {
    let path = format!("/sys/class/net/{interface}/statistics/{name}");
    let text = bench.guest.check(&format!("cat {path}"))?;
    text.parse()
        .map_err(|_| Error::Unmet(format!("{path} says {text:?}, expected a number")))
}

/// The figures of a transfer.
struct Timed {
    seconds: f64,
    counters: Option<Counters>,
    executed: Option<Counts>,
}

impl Timed {
    fn of(self, body: Received) -> Transfer {
        Transfer {
            body,
            seconds: self.seconds,
            counters: self.counters,
            executed: self.executed,
        }
    }
}

fn timed(bench: &mut Bench, script: &str, limit: Duration) -> Result<Timed> {
    let before = bench.counters()?;
    let executed_before = bench.executed()?;
    let text = bench.guest.check_within(script, limit)?;
    let executed = bench.executed()?;
    let after = bench.counters()?;
    let counters = after
        .zip(before)
        .map(|(after, before)| after.since(&before));
    let seconds = text
        .trim()
        .parse()
        .map_err(|_| Error::Unmet(format!("curl reported {text:?}, expected seconds")))?;
    let executed = executed
        .zip(executed_before)
        .map(|(after, before)| after.since(&before));
    Ok(Timed {
        seconds,
        counters,
        executed,
    })
}

fn guest_file(bench: &mut Bench, path: &str) -> Result<Received> {
    let script = format!("stat -c %s {path}; sha256sum {path}");
    let text = bench
        .guest
        .check_within(&script, Duration::from_secs(300))?;
    let mut words = text.split_whitespace();
    let length = words.next().and_then(|word| word.parse().ok());
    let sha256 = words.next().map(str::to_owned);
    match (length, sha256) {
        (Some(length), Some(sha256)) => Ok(Received { length, sha256 }),
        _ => Err(Error::Unmet(format!(
            "cannot read the hash of {path}: {text:?}"
        ))),
    }
}

fn transfer_limit(bytes: usize) -> Duration {
    let mib = u64::try_from(bytes >> 20).unwrap_or(u64::MAX);
    Duration::from_secs(60 + mib / SLOWEST_MIB_PER_S)
}

/// Reads what busybox's ping prints at its end.
fn parse_ping(text: &str) -> Option<Ping> {
    let numbers = |line: &str, separator: char| -> Vec<f64> {
        line.split(separator)
            .filter_map(|part| part.split_whitespace().next()?.parse().ok())
            .collect()
    };
    let totals = text
        .lines()
        .find(|line| line.contains("packets transmitted"))?;
    let &[sent, received, ..] = numbers(totals, ',').as_slice() else {
        return None;
    };
    let times = text
        .lines()
        .find_map(|line| line.strip_prefix("round-trip min/avg/max = "))
        .map(|line| numbers(line, '/'))
        .unwrap_or_default();
    let rtt_ms = match times.as_slice() {
        &[min, mean, max] => (min, mean, max),
        _ => (0.0, 0.0, 0.0),
    };
    Some(Ping {
        sent: sent as u32,
        received: received as u32,
        rtt_ms,
    })
}

/// Waits until `ethtool` shows a link of this speed (`100Mb/s`) and duplex (`Half`, `Full`).
pub fn wait_link(bench: &mut Bench, interface: &str, speed: &str, duplex: &str) -> Result<()> {
    let script = format!(
        "ethtool {interface} >/run/link; grep -q 'Link detected: yes' /run/link &&
         grep -q 'Speed: {speed}' /run/link && grep -q 'Duplex: {duplex}' /run/link"
    );
    let what = format!("a link of {speed}, {duplex} duplex");
    bench
        .guest
        .wait_until(&what, &script, Duration::from_secs(20))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ping_is_read_with_and_without_replies() {
        let text = "PING 10.0.0.1 (10.0.0.1): 56 data bytes\n\
            64 bytes from 10.0.0.1: seq=0 ttl=255 time=1.4 ms\n\n\
            --- 10.0.0.1 ping statistics ---\n\
            2 packets transmitted, 1 packets received, 50% packet loss\n\
            round-trip min/avg/max = 1.400/2.500/3.600 ms\n";
        let ping = parse_ping(text).unwrap();
        assert_eq!((ping.sent, ping.received), (2, 1));
        assert_eq!(ping.rtt_ms, (1.4, 2.5, 3.6));
        assert_eq!(
            ping.to_string(),
            "2 sent, 1 received, 50 % lost, round trip 1.4/2.5/3.6 ms (min/avg/max)"
        );
        let lost = "2 packets transmitted, 0 packets received, 100% packet loss\n";
        assert_eq!(parse_ping(lost).unwrap().received, 0);
        assert_eq!(parse_ping("ping: bad address"), None);
    }
}
