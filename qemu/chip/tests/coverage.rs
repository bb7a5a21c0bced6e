// SPDX-License-Identifier: GPL-2.0

//! The table of registers in docs/model.md is the model's own.

use std::path::Path;

use rtl8111b_chip::Reg;

#[test]
fn the_documented_registers_are_those_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/model.md");
    let text = std::fs::read_to_string(path).unwrap();
    let documented: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| 0x"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let known: Vec<[String; 3]> = Reg::all()
        .map(|reg| {
            [
                format!("{:#04x}", reg.offset()),
                reg.size().to_string(),
                reg.name().to_owned(),
            ]
        })
        .collect();
    assert_eq!(documented.len(), known.len());
    for (row, reg) in documented.iter().zip(&known) {
        assert_eq!(row[..3], reg[..]);
        assert!(
            row.len() == 4 && !row[3].is_empty(),
            "{}: what of it?",
            row[2]
        );
    }
}
