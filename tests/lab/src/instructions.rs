// SPDX-License-Identifier: GPL-2.0

//! Instructions of the guest's kernel, by function, as the plugin `tests/lab/plugin/count.c` counts
//! them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{json, Map, Value};

use crate::process::output_of;
use crate::{Error, Result};

/// A `struct block` of the plugin: three words.
const BLOCK: usize = 24;

/// The executions of the code at one address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Executed {
    instructions: u64,
    entries: u64,
}

/// The executions, by the address where a block of code begins.
#[derive(Debug, Clone, Default)]
pub struct Counts(HashMap<u64, Executed>);

impl Counts {
    /// Reads the file of the plugin.
    pub fn read(path: &Path) -> Result<Self> {
        let table = fs::read(path).map_err(Error::file(path, "reading the counts"))?;
        Ok(Self::parse(&table))
    }

    fn parse(table: &[u8]) -> Self {
        let mut counts = HashMap::<u64, Executed>::new();
        for block in table.chunks_exact(BLOCK) {
            let mut words = block.chunks_exact(8).map(|word| {
                let bytes = word.try_into().unwrap_or_default();
                u64::from_ne_bytes(bytes)
            });
            let mut next = || words.next().unwrap_or_default();
            let (address, instructions, entries) = (next(), next(), next());
            if entries > 0 {
                let executed = counts.entry(address).or_default();
                executed.instructions += instructions * entries;
                executed.entries += entries;
            }
        }
        Self(counts)
    }

    /// Returns the executions since `before`.
    pub fn since(mut self, before: &Self) -> Self {
        for (address, earlier) in &before.0 {
            if let Some(executed) = self.0.get_mut(address) {
                executed.instructions -= earlier.instructions;
                executed.entries -= earlier.entries;
            }
        }
        self
    }
}

/// The functions of all modules, in the order of their addresses.
#[derive(Debug)]
pub struct Symbols(BTreeMap<u64, Symbol>);

#[derive(Debug)]
struct Symbol {
    name: String,
    module: String,
}

impl Symbols {
    /// The command that prints what [`Symbols::parse`] takes.
    pub const COMMAND: &'static str = "grep -i ' t .*]$' /proc/kallsyms";

    /// Reads lines such as `ffffffffc0001000 t start_xmit [r8168_rust]`.
    pub fn parse(kallsyms: &str) -> Self {
        let symbol = |line: &str| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let name = words.nth(1)?.to_owned();
            let module = words.next()?.trim_matches(['[', ']']).to_owned();
            Some((address, Symbol { name, module }))
        };
        Self(kallsyms.lines().filter_map(symbol).collect())
    }

    /// The function of `module` that an address is in, and whether it begins there.
    fn function(&self, module: &str, address: u64) -> Option<(&str, bool)> {
        let (start, symbol) = self.0.range(..=address).next_back()?;
        (symbol.module == module).then_some((symbol.name.as_str(), *start == address))
    }
}

/// The executions in a time, and the number of frames of that time.
#[derive(Debug)]
pub struct Phase<'a> {
    /// Its name.
    pub name: &'static str,
    /// The executions.
    pub counts: &'a Counts,
    /// The number of frames that went either way.
    pub frames: u64,
}

/// Instructions for a frame: in each phase, and in all together.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The instructions in each phase, in total.
    phases: Vec<u64>,
    calls: u64,
}

/// Instructions by function.
#[derive(Debug)]
pub struct Table {
    phases: Vec<(&'static str, u64)>,
    module: String,
    in_kernel: Row,
    in_module: Row,
    functions: Vec<(String, Row)>,
}

impl Row {
    fn add(&mut self, phase: usize, executed: Executed, calls: u64) {
        self.phases[phase] += executed.instructions;
        self.calls += calls;
    }
}

impl Table {
    /// Makes the table for a module, which must be loaded.
    pub fn new(symbols: &Symbols, module: &str, phases: &[Phase<'_>]) -> Self {
        let empty = Row {
            phases: vec![0; phases.len()],
            calls: 0,
        };
        let mut table = Self {
            phases: phases
                .iter()
                .map(|phase| (phase.name, phase.frames.max(1)))
                .collect(),
            module: module.to_owned(),
            in_kernel: empty.clone(),
            in_module: empty.clone(),
            functions: Vec::new(),
        };
        let mut functions = HashMap::new();
        for (number, phase) in phases.iter().enumerate() {
            for (address, executed) in &phase.counts.0 {
                table.in_kernel.add(number, *executed, 0);
                if let Some((name, begins)) = symbols.function(module, *address) {
                    let calls = if begins { executed.entries } else { 0 };
                    table.in_module.add(number, *executed, 0);
                    let row: &mut Row = functions.entry(name).or_insert_with(|| empty.clone());
                    row.add(number, *executed, calls);
                }
            }
        }
        table.functions = functions
            .into_iter()
            .map(|(name, row)| (name.to_owned(), row))
            .collect();
        table.functions.sort_by_key(|(name, row)| {
            (
                std::cmp::Reverse(row.phases.iter().sum::<u64>()),
                name.clone(),
            )
        });
        table
    }

    /// Gives functions the names that they have in the source.
    pub fn demangle(&mut self) -> Result<()> {
        if self.functions.is_empty() {
            return Ok(());
        }
        let names = self.functions.iter().map(|(name, _)| name);
        let names = output_of(Command::new("c++filt").args(names))?;
        let names = String::from_utf8_lossy(&names).into_owned();
        for ((old, _), new) in self.functions.iter_mut().zip(names.lines()) {
            *old = without_hashes(new);
        }
        Ok(())
    }

    fn frames(&self) -> u64 {
        self.phases.iter().map(|(_, frames)| frames).sum()
    }

    /// Instructions for a frame in a row: in each phase, then in all.
    fn per_frame(&self, row: &Row) -> Vec<f64> {
        let each = row.phases.iter().zip(&self.phases);
        let mut values: Vec<f64> = each
            .map(|(count, (_, frames))| *count as f64 / *frames as f64)
            .collect();
        values.push(row.phases.iter().sum::<u64>() as f64 / self.frames() as f64);
        values
    }

    /// Instructions of the module for a frame, in all phases together.
    pub fn in_module(&self) -> f64 {
        self.per_frame(&self.in_module).pop().unwrap_or_default()
    }

    /// Instructions for a frame, with the phases by name and `all`: in the whole kernel, in the
    /// module, and in each of its functions.
    pub fn to_json(&self) -> Value {
        let names = self.phases.iter().map(|(name, _)| *name).chain(["all"]);
        let object = |row: &Row| -> Map<String, Value> {
            let values = self.per_frame(row).into_iter().map(Value::from);
            names.clone().map(str::to_owned).zip(values).collect()
        };
        let functions: Map<String, Value> = self
            .functions
            .iter()
            .map(|(name, row)| (name.clone(), object(row).into()))
            .collect();
        json!({
            "kernel": object(&self.in_kernel),
            "module": object(&self.in_module),
            "functions": functions,
        })
    }

    /// The totals in one line.
    pub fn summary(&self) -> String {
        let in_kernel = self.per_frame(&self.in_kernel).pop().unwrap_or_default();
        let each: Vec<String> = self
            .per_frame(&self.in_module)
            .iter()
            .zip(&self.phases)
            .map(|(value, (phase, _))| format!("{value:.1} {phase}"))
            .collect();
        format!(
            "{:.1} a frame in {} ({}), {:.0} in the whole kernel",
            self.in_module(),
            self.module,
            each.join(", "),
            in_kernel
        )
    }
}

impl std::fmt::Display for Table {
    /// Columns separated by tabs: instructions for a frame in each phase and in all, calls for a
    /// frame, and the function.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (phase, _) in &self.phases {
            write!(out, "{phase}\t")?;
        }
        writeln!(out, "all\tcalls\tfunction")?;
        let kernel = ("(whole kernel)", &self.in_kernel);
        let module = ("(module)", &self.in_module);
        let functions = self
            .functions
            .iter()
            .map(|(name, row)| (name.as_str(), row));
        for (name, row) in [kernel, module].into_iter().chain(functions) {
            let mut line = String::new();
            for value in self.per_frame(row) {
                write!(line, "{value:.2}\t")?;
            }
            let calls = row.calls as f64 / self.frames() as f64;
            writeln!(out, "{line}{calls:.3}\t{name}")?;
        }
        Ok(())
    }
}

/// Leaves the hash out that follows the name of each crate: `core[1b6169c1cdb4b588]::ptr` is
/// `core::ptr`.
fn without_hashes(name: &str) -> String {
    let mut parts = name.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if u64::from_str_radix(hash, 16).is_ok() => plain.push_str(rest),
            _ => {
                plain.push('[');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(blocks: &[[u64; 3]]) -> Counts {
        let words = blocks.iter().flatten();
        let table: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
        Counts::parse(&table)
    }

    #[test]
    fn names_are_without_hashes() {
        let name = "<r8168_rust[75f848710a54c270]::Ring<[u8; 4]> as core[1b61]::fmt::Debug>::fmt";
        let plain = "<r8168_rust::Ring<[u8; 4]> as core::fmt::Debug>::fmt";
        assert_eq!(without_hashes(name), plain);
    }

    #[test]
    fn instructions_are_counted_by_function_and_frame() {
        let symbols = Symbols::parse(
            "0000000000001000 t one [r8168_rust]\n\
             0000000000001010 T two [r8168_rust]\n\
             0000000000002000 t other [realtek]\n",
        );
        let before = counts(&[[0x1000, 4, 10], [0x1004, 2, 1]]);
        // The block at 0x1000 was translated once more, with another end.
        let after = [
            [0x1000, 4, 20],
            [0x1000, 5, 2],
            [0x1004, 2, 1],
            [0, 0, 0],
            [0x1018, 3, 4],
            [0x2000, 100, 1],
            [0x500, 8, 1],
        ];
        let fetched = counts(&after).since(&before);
        let sent = counts(&[[0x1010, 6, 2]]);
        let phases = [("fetching", &fetched, 10), ("sending", &sent, 6)];
        let phases = phases.map(|(name, counts, frames)| Phase {
            name,
            counts,
            frames,
        });
        let table = Table::new(&symbols, "r8168_rust", &phases);
        assert_eq!(
            table.to_string(),
            "fetching\tsending\tall\tcalls\tfunction\n\
             17.00\t2.00\t11.38\t0.000\t(whole kernel)\n\
             6.20\t2.00\t4.62\t0.000\t(module)\n\
             5.00\t0.00\t3.12\t0.750\tone\n\
             1.20\t2.00\t1.50\t0.125\ttwo\n"
        );
        assert_eq!(
            table.summary(),
            "4.6 a frame in r8168_rust (6.2 fetching, 2.0 sending), 11 in the whole kernel"
        );
        let json = table.to_json();
        assert_eq!(json["module"]["sending"], 2.0);
        assert_eq!(json["functions"]["one"]["fetching"], 5.0);
        assert_eq!(json["kernel"]["all"], 11.375);
    }
}
