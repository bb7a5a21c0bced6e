// SPDX-License-Identifier: GPL-2.0

//! The blocks of the module that an execution has run, out of the table of the plugin
//! `tests/lab/plugin/count.c`, which counts while the guest runs. Nothing in the guest takes part:
//! interrupts and polls are seen as much as system calls, on any kernel and with any driver.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lab::{Error, Result};

/// The number of blocks that the map has room for; the driver has some 4000.
pub(crate) const MAP: usize = 1 << 14;

/// A `struct block` of the plugin: address, instructions, executions.
const BLOCK: usize = 24;

/// The blocks of one module, over all boots of the guest.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// The number in the map of a block, by its offset in the module's code and its instructions.
    numbers: HashMap<(u64, u64), usize>,
    /// The executions of each so far, in all boots.
    executions: Vec<u64>,
}

/// The table of one boot.
#[derive(Debug)]
pub(crate) struct Table {
    file: File,
    code: Range<u64>,
    bytes: Vec<u8>,
    /// The executions of each block when they were last looked at, by its place in the table.
    before: Vec<u64>,
}

impl Table {
    /// Opens the plugin's file; `code` is where the module is.
    pub(crate) fn open(path: &Path, code: Range<u64>) -> Result<Self> {
        let failed = || Error::file(path, "reading the counts");
        let file = File::open(path).map_err(failed())?;
        let length = file.metadata().map_err(failed())?.len() as usize;
        Ok(Self {
            file,
            code,
            bytes: vec![0; length],
            before: vec![0; length / BLOCK],
        })
    }
}

impl Coverage {
    /// Writes into `map` how often each block was run since the last call, at most 255 times.
    pub(crate) fn take(&mut self, table: &mut Table, map: &mut [u8]) -> std::io::Result<()> {
        map.fill(0);
        table.file.read_exact_at(&mut table.bytes, 0)?;
        for (at, block) in table.bytes.chunks_exact(BLOCK).enumerate() {
            let word = |at: usize| {
                let bytes = block[at..at + 8].try_into().unwrap_or_default();
                u64::from_ne_bytes(bytes)
            };
            let (address, executions) = (word(0), word(16));
            if !table.code.contains(&address) || executions == table.before[at] {
                continue;
            }
            let new = executions - std::mem::replace(&mut table.before[at], executions);
            let next = self.numbers.len();
            let block = (address - table.code.start, word(8));
            let number = *self.numbers.entry(block).or_insert(next);
            if number == self.executions.len() {
                self.executions.push(0);
            }
            self.executions[number] += new;
            if let Some(count) = map.get_mut(number) {
                *count = u8::try_from(new).unwrap_or(u8::MAX);
            }
        }
        Ok(())
    }

    /// The number of blocks that were run so far.
    pub(crate) fn blocks(&self) -> usize {
        self.numbers.len()
    }

    /// A line for each block that was run: offset in the module's code, instructions, executions.
    pub(crate) fn rows(&self) -> String {
        let mut blocks: Vec<_> = self.numbers.iter().collect();
        blocks.sort();
        let row = |(block, number): &(&(u64, u64), &usize)| {
            let executions = self.executions.get(**number).copied().unwrap_or_default();
            format!("{:#x}\t{}\t{executions}\n", block.0, block.1)
        };
        blocks.iter().map(row).collect()
    }
}

/// Returns where a module's code is: from its section .text, whose address is the first line, to
/// the end of the page of its last function among the others, which are those of /proc/kallsyms.
pub(crate) fn code(symbols: &str, module: &str) -> Option<Range<u64>> {
    let suffix = format!("[{module}]");
    let mut lines = symbols.lines();
    let first = u64::from_str_radix(lines.next()?.strip_prefix("0x")?, 16).ok()?;
    let address = |line: &str| u64::from_str_radix(line.split_whitespace().next()?, 16).ok();
    let last = lines
        .filter(|line| line.ends_with(&suffix))
        .filter_map(address)
        .max()?;
    (first <= last).then_some(first..(last | 0xfff) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &File, place: u64, block: [u64; 3]) {
        let bytes: Vec<u8> = block.iter().flat_map(|word| word.to_ne_bytes()).collect();
        file.write_all_at(&bytes, place * BLOCK as u64).unwrap();
    }

    #[test]
    fn executions_are_counted_from_one_look_to_the_next() {
        let path = std::env::temp_dir().join(format!("coverage-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        file.set_len(4 * BLOCK as u64).unwrap();
        write(&file, 1, [0x1010, 3, 2]);
        write(&file, 2, [0x9000, 3, 2]);
        let mut table = Table::open(&path, 0x1000..0x2000).unwrap();
        let mut coverage = Coverage::default();
        let mut map = [9; 3];
        coverage.take(&mut table, &mut map).unwrap();
        assert_eq!(map, [2, 0, 0]);
        write(&file, 1, [0x1010, 3, 1000]);
        write(&file, 3, [0x1020, 1, 7]);
        coverage.take(&mut table, &mut map).unwrap();
        assert_eq!(map, [255, 7, 0]);
        coverage.take(&mut table, &mut map).unwrap();
        assert_eq!(map, [0, 0, 0]);
        // Another boot, with the module elsewhere.
        write(&file, 1, [0x5020, 1, 4]);
        let mut table = Table::open(&path, 0x5000..0x6000).unwrap();
        coverage.take(&mut table, &mut map).unwrap();
        assert_eq!(map, [0, 4, 0]);
        assert_eq!(coverage.rows(), "0x10\t3\t1000\n0x20\t1\t11\n");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_module_is_found_by_its_symbols() {
        let symbols = "0xffffffffc0201000\n\
            ffffffffc0201010 t one\t[r8168_rust]\n\
            ffffffffc0301010 t other\t[realtek]\n\
            ffffffffc0203010 t two\t[r8168_rust]\n";
        let expected = 0xffff_ffff_c020_1000..0xffff_ffff_c020_4000;
        assert_eq!(code(symbols, "r8168_rust"), Some(expected));
        assert_eq!(code(symbols, "r8169"), None);
    }
}
