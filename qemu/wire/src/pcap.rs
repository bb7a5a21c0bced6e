// SPDX-License-Identifier: GPL-2.0

//! A capture file of what goes over the cable, both ways, in the classic pcap format.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::WireError;

/// Microseconds, host order: readers see the order by it.
const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;
/// The most that readers take for a frame's length.
const SNAPLEN: u32 = 0x4_0000;
/// The size of the write buffer: as much may be missing from the file while the model runs.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// A capture file.
#[derive(Debug)]
pub struct Pcap {
    file: BufWriter<File>,
    /// The most bytes that are kept of each frame.
    snaplen: u32,
    flushed: Instant,
    broken: bool,
}

impl Pcap {
    /// Begins a new file, in which of each frame the first `snaplen` bytes are kept: all without
    /// it.
    pub fn create(path: &Path, snaplen: Option<u32>) -> Result<Pcap, WireError> {
        let snaplen = snaplen.map_or(SNAPLEN, |snaplen| snaplen.min(SNAPLEN));
        let fail = |source| WireError::Pcap {
            path: path.to_owned(),
            source,
        };
        let mut file = BufWriter::with_capacity(0x1_0000, File::create(path).map_err(fail)?);
        let mut head = Vec::with_capacity(24);
        head.extend_from_slice(&MAGIC.to_ne_bytes());
        head.extend_from_slice(&2u16.to_ne_bytes());
        head.extend_from_slice(&4u16.to_ne_bytes());
        for word in [0, 0, snaplen, ETHERNET] {
            head.extend_from_slice(&u32::to_ne_bytes(word));
        }
        file.write_all(&head)
            .and_then(|()| file.flush())
            .map_err(fail)?;
        Ok(Pcap {
            file,
            snaplen,
            flushed: Instant::now(),
            broken: false,
        })
    }

    /// Adds a frame. A disk that is full ends the capture, not the model.
    pub fn frame(&mut self, frame: &[u8]) {
        if self.broken {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let len = frame.len() as u32;
        let kept = &frame[..len.min(self.snaplen) as usize];
        let mut head = [0; 16];
        head[0..4].copy_from_slice(&(now.as_secs() as u32).to_ne_bytes());
        head[4..8].copy_from_slice(&now.subsec_micros().to_ne_bytes());
        head[8..12].copy_from_slice(&(kept.len() as u32).to_ne_bytes());
        head[12..16].copy_from_slice(&len.to_ne_bytes());
        let written = self
            .file
            .write_all(&head)
            .and_then(|()| self.file.write_all(kept));
        self.check(written);
        if self.flushed.elapsed() > FLUSH_EVERY {
            self.flush();
        }
    }

    /// Writes out what is still kept back.
    pub fn flush(&mut self) {
        let flushed = self.file.flush();
        self.check(flushed);
        self.flushed = Instant::now();
    }

    fn check(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            if !self.broken {
                log::error!("the capture ends here: {error}");
            }
            self.broken = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that comes of two frames.
    fn capture(name: &str, snaplen: Option<u32>) -> Vec<u8> {
        let path = std::env::temp_dir().join(format!("rtl8111b-{name}-{}", std::process::id()));
        let mut pcap = Pcap::create(&path, snaplen).unwrap();
        pcap.frame(&[7; 60]);
        pcap.frame(&[8; 61]);
        pcap.flush();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    }

    #[test]
    fn a_file_that_others_read() {
        let bytes = capture("pcap", None);
        assert_eq!(bytes.len(), 24 + 16 + 60 + 16 + 61);
        assert_eq!(bytes[0..4], MAGIC.to_ne_bytes());
        assert_eq!(bytes[20..24], ETHERNET.to_ne_bytes());
        assert_eq!(bytes[32..36], 60u32.to_ne_bytes());
        assert_eq!(bytes[40..100], [7; 60]);
    }

    #[test]
    fn a_short_capture_tells_how_long_the_frames_were() {
        let bytes = capture("pcap-short", Some(14));
        assert_eq!(bytes.len(), 24 + 2 * (16 + 14));
        assert_eq!(bytes[16..20], 14u32.to_ne_bytes());
        assert_eq!(bytes[32..36], 14u32.to_ne_bytes());
        assert_eq!(bytes[36..40], 60u32.to_ne_bytes());
        assert_eq!(bytes[40..54], [7; 14]);
    }
}
