// SPDX-License-Identifier: GPL-2.0

//! The table of reference drivers by chip: passed, or the reason.

use std::path::Path;

use crate::Error;

use super::scenario::Outcome;

/// The outcome of one reference driver on one chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// All passed; with what is to be said besides.
    Passed(Vec<String>),
    /// It does not drive this chip, as it must not; the line that it logs.
    Refused(String),
    /// A check failed.
    Failed(String),
    /// It was not asked for.
    NotRun,
}

impl Cell {
    /// All passed, and this is to be said besides.
    pub fn passed(note: &str) -> Self {
        Cell::Passed(vec![note.to_owned()])
    }

    /// The outcome of a scenario that was finished.
    pub fn of(outcome: &Outcome) -> Self {
        match &outcome.refusal {
            Some(refusal) => Cell::Refused(refusal.clone()),
            None => Cell::Passed(outcome.notes.clone()),
        }
    }

    /// The outcome of one that was not.
    pub fn failed(error: &Error, artifacts: &Path) -> Self {
        Cell::Failed(format!("{error}; its logs are in {}", artifacts.display()))
    }

    /// One word for the table.
    pub fn verdict(&self) -> &'static str {
        match self {
            Cell::Passed(_) => "passed",
            Cell::Refused(_) => "refused",
            Cell::Failed(_) => "FAILED",
            Cell::NotRun => "not run",
        }
    }

    fn remarks(&self) -> &[String] {
        match self {
            Cell::Passed(notes) => notes,
            Cell::Refused(why) | Cell::Failed(why) => std::slice::from_ref(why),
            Cell::NotRun => &[],
        }
    }
}

/// The table, with remarks below it.
#[derive(Debug)]
pub struct Table<const COLUMNS: usize> {
    columns: [&'static str; COLUMNS],
    rows: Vec<(String, [Cell; COLUMNS])>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub fn new(columns: [&'static str; COLUMNS]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn add(&mut self, title: &str, cells: [Cell; COLUMNS]) {
        self.rows.push((title.to_owned(), cells));
    }

    /// Returns whether no run failed.
    pub fn passed(&self) -> bool {
        let mut cells = self.rows.iter().flat_map(|(_, cells)| cells);
        !cells.any(|cell| matches!(cell, Cell::Failed(_)))
    }

    /// The table for people.
    pub fn render(&self) -> String {
        let heading = "driver";
        let titles = self.rows.iter().map(|(title, _)| title.len());
        let width = titles.fold(heading.len(), usize::max);
        let mut text = format!("{heading:width$}");
        for column in self.columns {
            text.push_str(&format!("  {column:7}"));
        }
        text = format!("{}\n", text.trim_end());
        let mut remarks = String::new();
        for (title, cells) in &self.rows {
            let mut line = format!("{title:width$}");
            for (cell, column) in cells.iter().zip(self.columns) {
                line.push_str(&format!("  {:7}", cell.verdict()));
                for remark in cell.remarks() {
                    remarks.push_str(&format!("{title}, {column}: {remark}\n"));
                }
            }
            text.push_str(&format!("{}\n", line.trim_end()));
        }
        if !remarks.is_empty() {
            text.push_str(&format!("\n{remarks}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_every_cell_and_what_there_is_to_say() {
        let mut table = Table::new(["b300", "b380"]);
        table.add("ours", [Cell::Passed(Vec::new()), Cell::passed("a note")]);
        assert!(table.passed());
        table.add("r8169", [Cell::Refused("XID 300".to_owned()), Cell::NotRun]);
        assert!(table.passed());
        table.add("x", [Cell::NotRun, Cell::Failed("why".to_owned())]);
        assert!(!table.passed());
        let expected = "driver  b300     b380\n\
            ours    passed   passed\n\
            r8169   refused  not run\n\
            x       not run  FAILED\n\n\
            ours, b380: a note\nr8169, b300: XID 300\nx, b380: why\n";
        assert_eq!(table.render(), expected);
    }
}
