// SPDX-License-Identifier: GPL-2.0

//! The lab's network namespace: private, with a loopback on which the guest's gateway ends.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::output_of;
use crate::{Error, Result};

/// Makes sure that nothing of the machine's own network can be touched, then prepares the loopback
/// and allows the ping sockets that `passt` answers pings with.
pub fn prepare() -> Result<()> {
    let table = Path::new("/proc/net/dev");
    let text = fs::read_to_string(table).map_err(Error::file(table, "reading"))?;
    if let Some(foreign) = interfaces(&text).find(|name| *name != "lo") {
        return Err(Error::Input(format!(
            "found network interface {foreign}: the lab runs only in a network namespace of its own; start it by `scripts/toolbox run --net none -- lab ...`"
        )));
    }
    output_of(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    allow_ping_sockets()
}

fn interfaces(table: &str) -> impl Iterator<Item = &str> {
    table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
}

fn allow_ping_sockets() -> Result<()> {
    let path = Path::new("/proc/sys/net/ipv4/ping_group_range");
    // The second form is for a user namespace in which group 0 is the only one.
    fs::write(path, "0 2147483647\n")
        .or_else(|_| fs::write(path, "0 0\n"))
        .map_err(Error::file(path, "allowing ping sockets"))
}

#[cfg(test)]
mod tests {
    use super::interfaces;

    #[test]
    fn interfaces_are_read_from_the_table_of_proc() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n    lo: 0 0 0\n  eth0: 1 2 3\n";
        assert_eq!(interfaces(table).collect::<Vec<_>>(), ["lo", "eth0"]);
    }
}
