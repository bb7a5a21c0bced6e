// SPDX-License-Identifier: GPL-2.0

//! A buffer for one line of text.

use core::fmt;

/// A line of text that is cut, between two characters, where it gets longer than `SIZE` bytes.
pub(crate) struct Line<const SIZE: usize> {
    text: [u8; SIZE],
    length: usize,
}

impl<const SIZE: usize> Line<SIZE> {
    /// Makes an empty line.
    pub(crate) const fn new() -> Self {
        Self {
            text: [0; SIZE],
            length: 0,
        }
    }

    /// Returns what has been written.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        // Not an index: that would bring the panic it is used for.
        self.text.get(..self.length).unwrap_or(&[])
    }
}

impl<const SIZE: usize> fmt::Write for Line<SIZE> {
    /// Appends `more`, or as much of it as fits.
    ///
    /// # Errors
    ///
    /// If it was cut; the formatter writes nothing more then.
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for character in more.chars() {
            let end = self.length + character.len_utf8();
            let place = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
            character.encode_utf8(place);
            self.length = end;
        }
        Ok(())
    }
}
