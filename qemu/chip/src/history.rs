// SPDX-License-Identifier: GPL-2.0

//! The last accesses of the guest, shown with each violation.

use std::fmt::Write;

use crate::config::Width;
use crate::regs::Reg;

const KEPT: usize = 6;

#[derive(Clone, Copy, Debug)]
struct Access {
    write: bool,
    offset: u16,
    width: Width,
    value: u32,
}

/// The last accesses.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    last: [Option<Access>; KEPT],
    next: usize,
}

impl History {
    pub(crate) fn add(&mut self, write: bool, offset: u16, width: Width, value: u32) {
        self.last[self.next] = Some(Access {
            write,
            offset,
            width,
            value,
        });
        self.next = (self.next + 1) % KEPT;
    }

    /// Oldest first.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for i in 0..KEPT {
            let Some(access) = self.last[(self.next + i) % KEPT] else {
                continue;
            };
            if !text.is_empty() {
                text.push_str(", ");
            }
            let name = Reg::at(access.offset).map_or("?", Reg::name);
            let digits = 2 * usize::from(access.width.bytes());
            let arrow = if access.write { "<-" } else { "->" };
            let (offset, value) = (access.offset, access.value);
            let _ = write!(text, "{name} {offset:#04x} {arrow} {value:0digits$x}");
        }
        if text.is_empty() {
            text.push_str("none");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::regs::Reg;
    use crate::testing::Bench;

    #[test]
    fn violations_report_what_was_done_before() {
        let mut bench = Bench::new();
        for i in 0..8 {
            bench.w8(Reg::Config3, i);
            bench.r16(Reg::IntrStatus);
        }
        let text = bench.last_violation().to_owned();
        assert!(
            text.ends_with(
                "(last accesses: IntrStatus 0x3e -> 0000, Config3 0x54 <- 05, IntrStatus 0x3e -> 0000, \
                 Config3 0x54 <- 06, IntrStatus 0x3e -> 0000, Config3 0x54 <- 07)"
            ),
            "{text}"
        );
    }
}
