// SPDX-License-Identifier: GPL-2.0

//! docs/chip-facts.md grades all that the model knows.

use std::path::Path;

use rtl8111b_chip::Reg;

const GRADES: [&str; 5] = [
    "seen on silicon",
    "data sheet",
    "several drivers",
    "one driver",
    "guess",
];

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The rows of the table below a heading, without its head.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text
        .split(&format!("\n## {heading}\n"))
        .nth(1)
        .unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    rows.map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// The constants of regs.rs, with the module that they are in.
fn bits() -> Vec<String> {
    let source = text("src/regs.rs");
    let mut module = String::new();
    let mut found = Vec::new();
    for line in source
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
    {
        if let Some(name) = line.strip_prefix("pub(crate) mod ") {
            module = format!("{}::", name.trim_end_matches(" {"));
        } else if line == "}" {
            module.clear();
        }
        let name = line.trim_start().strip_prefix("pub(crate) const ");
        if let Some((name, rest)) = name.and_then(|rest| rest.split_once(": ")) {
            if rest.starts_with("u16") || rest.starts_with("u32") {
                found.push(format!("`{module}{name}`"));
            }
        }
    }
    found
}

#[test]
fn every_register_and_bit_has_a_grade() {
    let facts = text("../../docs/chip-facts.md");
    let registers = table(&facts, "Registers");
    let known: Vec<[String; 2]> = Reg::all()
        .map(|reg| [format!("{:#04x}", reg.offset()), reg.name().to_owned()])
        .collect();
    assert_eq!(registers.len(), known.len());
    for (row, reg) in registers.iter().zip(&known) {
        assert_eq!(row[..2], reg[..]);
        assert!(GRADES.contains(&row[2].as_str()), "{row:?}");
    }
    let graded = table(&facts, "Bits");
    let names: Vec<&String> = graded.iter().map(|row| &row[0]).collect();
    assert_eq!(names, bits().iter().collect::<Vec<_>>());
    for row in &graded {
        assert!(GRADES.contains(&row[1].as_str()), "{row:?}");
    }
}

#[test]
fn guesses_are_counted() {
    let facts = text("../../docs/chip-facts.md");
    let behaviour = table(&facts, "Behaviour");
    for row in &behaviour {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(GRADES.contains(&row[1].as_str()), "{row:?}");
        assert!(
            row[1] == "guess" || !row[2].is_empty(),
            "no evidence: {row:?}"
        );
    }
    let guesses = behaviour.iter().filter(|row| row[1] == "guess").count();
    let expected = format!("**{guesses} behaviours are guesses.**");
    assert!(
        facts.contains(&expected),
        "the text says otherwise than: {expected}"
    );
}

/// The sources of the model, by path below qemu, that mark guesses, and how many each marks.
fn marks(folder: &Path, found: &mut Vec<(String, usize)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            marks(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            let count = source.matches("[guess").count();
            assert_eq!(
                source.matches("**guess**").count(),
                0,
                "{path:?}: a mark is in brackets"
            );
            if count > 0 {
                let name = path.strip_prefix(&root).unwrap_or(&path);
                found.push((name.display().to_string(), count));
            }
        }
    }
}

#[test]
fn marks_in_the_source_are_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for krate in ["chip", "pci", "rtl8111b", "transport", "wire"] {
        marks(&root.join(krate).join("src"), &mut found);
    }
    let facts = text("../../docs/chip-facts.md");
    let stated: Vec<(String, usize)> = table(&facts, "Guesses in the source")
        .iter()
        .map(|row| (row[0].clone(), row[1].parse().unwrap_or(0)))
        .collect();
    assert_eq!(stated, found);
    let total: usize = found.iter().map(|(_, count)| count).sum();
    let expected = format!("**{total} places are marked.**");
    assert!(
        facts.contains(&expected),
        "the text says otherwise than: {expected}"
    );
}
