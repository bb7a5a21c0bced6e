// SPDX-License-Identifier: GPL-2.0

//! The file of a find: all that is needed to see it again.

use std::fmt::Write;
use std::path::Path;

use anyhow::{bail, Context, Result};

use crate::input::items;

/// A find: the input, and those that the same guest got before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Find {
    /// The words for it.
    pub(crate) what: String,
    /// The setting in which it was found: chip, driver, kernel and so on, for people.
    pub(crate) with: String,
    /// The inputs before, the oldest first.
    pub(crate) before: Vec<Vec<u8>>,
    /// The input.
    pub(crate) input: Vec<u8>,
}

impl Find {
    /// The text of its file.
    pub(crate) fn text(&self) -> String {
        let what = self.what.replace('\n', " ");
        let mut text = format!("what: {what}\nwith: {}\n", self.with);
        for input in &self.before {
            let _ = writeln!(text, "before: {}", hex::encode(input));
        }
        let _ = writeln!(text, "input: {}", hex::encode(&self.input));
        for item in items(&self.input) {
            let _ = writeln!(text, "# {item:?}");
        }
        text
    }

    /// Reads such a text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut find = Self {
            what: String::new(),
            with: String::new(),
            before: Vec::new(),
            input: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let bytes = |text| hex::decode(text).context("found an input that is not hexadecimal");
            match line.split_once(": ") {
                Some(("what", text)) => find.what = text.to_owned(),
                Some(("with", text)) => find.with = text.to_owned(),
                Some(("before", text)) => find.before.push(bytes(text)?),
                Some(("input", text)) => find.input = bytes(text)?,
                _ => bail!("found the line {line:?}, expected what:, with:, before: or input:"),
            }
        }
        if find.input.is_empty() {
            bail!("found no line that begins with input:, expected a file that scripts/fuzz-driver has written");
        }
        Ok(find)
    }

    /// Reads the file of a find.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }
}

/// Returns what finds of one cause have in common: the words without their numbers.
pub(crate) fn signature(what: &str) -> String {
    let is_number = |word: &str| word.chars().any(|letter| letter.is_ascii_digit());
    let separated = what.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let words: Vec<&str> = separated
        .filter(|word| !word.is_empty() && !is_number(word))
        .take(16)
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find() -> Find {
        Find {
            what: "BUG: a\nb".to_owned(),
            with: "b300".to_owned(),
            before: vec![vec![1; 8], vec![2; 16]],
            input: vec![3, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let text = find().text();
        assert!(text.contains("Open"), "{text}");
        let again = Find::parse(&text).unwrap();
        let what = "BUG: a b".to_owned();
        assert_eq!(again, Find { what, ..find() });
    }

    #[test]
    fn finds_in_the_tree_can_be_read() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("finds");
        let files = std::fs::read_dir(dir).unwrap();
        let finds = files.map(|file| Find::read(&file.unwrap().path()).unwrap());
        assert!(finds.count() > 0);
    }

    #[test]
    fn other_files_are_refused() {
        for (text, expected) in [
            ("", "no line that begins with input:"),
            ("input: 0", "not hexadecimal"),
            ("hello", "found the line \"hello\""),
        ] {
            let error = Find::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_do_not_make_a_difference() {
        assert_eq!(
            signature("BUG: unable to handle page fault for address: ffffa2bc0001"),
            "BUG-unable-to-handle-page-fault-for-address"
        );
        assert_eq!(
            signature("WARNING: CPU: 1 PID: 99 at net/core/dev.c:1234 f+0x1/0x2"),
            signature("WARNING: CPU: 0 PID: 7 at net/core/dev.c:1234 f+0x1/0x2")
        );
    }
}
