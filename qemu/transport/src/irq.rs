// SPDX-License-Identifier: GPL-2.0

//! Interrupts as vfio has them: eventfds, and for INTx a mask that closes by itself.

use std::fs::File;
use std::io::Write;

use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_ACTION_MASK;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_ACTION_TRIGGER;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_ACTION_UNMASK;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_DATA_EVENTFD;
use vfio_bindings::bindings::vfio::VFIO_IRQ_SET_DATA_NONE;

pub(crate) const INTX: u32 = 0;
pub(crate) const MSI: u32 = 1;

/// The device's interrupt lines towards the client.
#[derive(Debug, Default)]
pub struct Lines {
    intx: Option<File>,
    /// INTx closes its mask with each event and opens it when the client says so.
    masked: bool,
    msi: Option<File>,
    level: bool,
    sent: u64,
}

impl Lines {
    /// No client yet.
    pub fn new() -> Self {
        Lines::default()
    }

    /// Returns how many events were sent to the client.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns whether the client has set up messages.
    pub fn msi(&self) -> bool {
        self.msi.is_some()
    }

    /// The client is gone.
    pub fn disconnect(&mut self) {
        *self = Lines {
            sent: self.sent,
            ..Lines::default()
        };
    }

    /// The device's level is now `level`: a message for a rising edge; an INTx event for a level
    /// that is not masked.
    pub fn set(&mut self, level: bool) {
        let rising = level && !self.level;
        self.level = level;
        if let Some(msi) = &self.msi {
            if rising {
                signal(msi);
                self.sent += 1;
            }
            return;
        }
        self.offer();
    }

    fn offer(&mut self) {
        if !self.level || self.masked {
            return;
        }
        if let Some(intx) = &self.intx {
            signal(intx);
            self.masked = true;
            self.sent += 1;
        }
    }

    /// Carries out SET_IRQS of the client. An eventfd of -1 arrives as EVENTFD without a file and
    /// takes the line away, as does a count of zero.
    pub fn configure(&mut self, index: u32, flags: u32, count: u32, files: Vec<File>) {
        let data_none = flags & VFIO_IRQ_SET_DATA_NONE != 0;
        let file = if flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 && count > 0 {
            files.into_iter().next()
        } else {
            None
        };
        if flags & VFIO_IRQ_SET_ACTION_TRIGGER != 0 {
            if data_none && count > 0 {
                // "Fire now", for tests of the client's.
                self.fire(index);
                return;
            }
            match index {
                INTX => {
                    self.intx = file;
                    self.masked = false;
                    self.offer();
                }
                MSI => {
                    // What is pending when messages are switched on is sent at once, or it would
                    // never be.
                    if let Some(msi) = file.as_ref().filter(|_| self.level) {
                        signal(msi);
                        self.sent += 1;
                    }
                    self.msi = file;
                }
                _ => {}
            }
        } else if index == INTX && count > 0 {
            if flags & VFIO_IRQ_SET_ACTION_MASK != 0 {
                self.masked = true;
            } else if flags & VFIO_IRQ_SET_ACTION_UNMASK != 0 {
                self.masked = false;
                self.offer();
            }
        }
    }

    fn fire(&mut self, index: u32) {
        let file = match index {
            INTX => self.intx.as_ref(),
            MSI => self.msi.as_ref(),
            _ => None,
        };
        if let Some(file) = file {
            signal(file);
            self.sent += 1;
        }
    }
}

fn signal(mut event: &File) {
    if let Err(error) = event.write_all(&1u64.to_ne_bytes()) {
        log::warn!("interrupt event not sent: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    const EVENT: u32 = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    const UNMASK: u32 = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;

    /// A socket in an eventfd's place: it keeps writes apart.
    fn event() -> (File, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (File::from(OwnedFd::from(ours)), theirs)
    }

    fn taken(stream: &mut UnixStream) -> usize {
        let mut bytes = [0; 256];
        stream.read(&mut bytes).unwrap_or(0) / 8
    }

    #[test]
    fn intx_masks_itself_and_fires_again_while_asserted() {
        let (file, mut seen) = event();
        let mut lines = Lines::new();
        lines.configure(INTX, EVENT, 1, vec![file]);
        lines.set(true);
        lines.set(true);
        assert_eq!(taken(&mut seen), 1);
        lines.configure(INTX, UNMASK, 1, vec![]);
        assert_eq!(taken(&mut seen), 1);
        lines.set(false);
        lines.configure(INTX, UNMASK, 1, vec![]);
        assert_eq!(taken(&mut seen), 0);
        lines.set(true);
        assert_eq!(taken(&mut seen), 1);
        assert_eq!(lines.sent(), 3);
    }

    #[test]
    fn a_line_set_up_late_hears_of_what_is_pending() {
        let (file, mut seen) = event();
        let mut lines = Lines::new();
        lines.set(true);
        lines.configure(INTX, EVENT, 1, vec![file]);
        assert_eq!(taken(&mut seen), 1);
    }

    #[test]
    fn taking_a_line_away() {
        for (flags, count) in [
            (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0),
            (EVENT, 1),
        ] {
            let (file, mut seen) = event();
            let mut lines = Lines::new();
            lines.configure(INTX, EVENT, 1, vec![file]);
            lines.configure(INTX, flags, count, vec![]);
            lines.set(true);
            assert_eq!(taken(&mut seen), 0);
        }
    }

    #[test]
    fn messages_follow_edges_and_take_the_lines_place() {
        let (line, mut line_seen) = event();
        let (file, mut seen) = event();
        let mut lines = Lines::new();
        lines.configure(INTX, EVENT, 1, vec![line]);
        lines.configure(MSI, EVENT, 1, vec![file]);
        lines.set(true);
        lines.set(true);
        lines.set(false);
        lines.set(true);
        assert_eq!(taken(&mut seen), 2);
        assert_eq!(taken(&mut line_seen), 0);
    }

    /// A message is sent for an edge, and one that came before there were messages would be lost.
    #[test]
    fn messages_switched_on_late_send_what_is_pending() {
        for level in [false, true] {
            let (file, mut seen) = event();
            let mut lines = Lines::new();
            assert!(!lines.msi());
            lines.set(level);
            lines.configure(MSI, EVENT, 1, vec![file]);
            assert!(lines.msi());
            assert_eq!(taken(&mut seen), usize::from(level));
            assert_eq!(lines.sent(), u64::from(level));
        }
    }

    #[test]
    fn a_client_masks_the_line() {
        let mask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK;
        let (file, mut seen) = event();
        let mut lines = Lines::new();
        lines.configure(INTX, EVENT, 1, vec![file]);
        lines.configure(INTX, mask, 1, vec![]);
        lines.set(true);
        assert_eq!(taken(&mut seen), 0);
        // Of no line, and of another one.
        lines.configure(INTX, UNMASK, 0, vec![]);
        lines.configure(MSI, UNMASK, 1, vec![]);
        assert_eq!(taken(&mut seen), 0);
        lines.configure(INTX, UNMASK, 1, vec![]);
        assert_eq!(taken(&mut seen), 1);
        lines.configure(INTX, mask, 0, vec![]);
        lines.set(false);
        lines.configure(INTX, UNMASK, 1, vec![]);
        lines.set(true);
        assert_eq!(taken(&mut seen), 1);
    }

    #[test]
    fn a_client_fires_a_line_itself() {
        let now = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
        let (line, mut line_seen) = event();
        let (file, mut seen) = event();
        let mut lines = Lines::new();
        lines.configure(INTX, EVENT, 1, vec![line]);
        lines.configure(MSI, EVENT, 1, vec![file]);
        for (index, expected) in [(INTX, (1, 0)), (MSI, (0, 1)), (2, (0, 0))] {
            lines.configure(index, now, 1, vec![]);
            assert_eq!((taken(&mut line_seen), taken(&mut seen)), expected);
        }
        assert_eq!(lines.sent(), 2);
    }

    #[test]
    fn a_client_that_goes_leaves_nothing_but_a_count() {
        let (file, mut seen) = event();
        let mut lines = Lines::new();
        lines.configure(INTX, EVENT, 1, vec![file]);
        lines.set(true);
        assert_eq!(taken(&mut seen), 1);
        lines.disconnect();
        assert_eq!(lines.sent(), 1);
        let (file, mut seen) = event();
        lines.configure(INTX, EVENT, 1, vec![file]);
        assert_eq!(taken(&mut seen), 0, "the level was that client's");
        lines.set(true);
        assert_eq!(taken(&mut seen), 1, "and so was the mask");
    }
}
