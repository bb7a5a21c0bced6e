// SPDX-License-Identifier: GPL-2.0

//! The guest's memory as the device may reach it.
//!
//! vfio-user announces memory in ranges and takes it away in other ranges: one unmap may cover many
//! maps, a part of one, or nothing, and may end at 2^64. `vm-memory` maps files and makes accesses
//! safe; this layer keeps account of which address belongs to what.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::sync::Weak;

use thiserror::Error;
use vm_memory::mmap::MmapRegion;
use vm_memory::mmap::MmapRegionError;
use vm_memory::Bytes;
use vm_memory::FileOffset;
use vm_memory::VolatileMemory;
use vm_memory::VolatileSlice;

/// The most ranges that are kept: what the protocol guarantees a client that was not given another
/// number (`max_dma_maps`). A guest with an IOMMU of its own may map as many pages as it likes,
/// each as a range.
const RANGES: usize = 65_535;

/// The most ranges that are kept of what came without a file. Beyond them an access fails as if
/// nothing were mapped there.
const WITHOUT_FILE: usize = 1024;

/// The rights of the device on a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Read it.
    pub read: bool,
    /// Write it.
    pub write: bool,
}

/// The reason why an access was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DmaError {
    /// Nothing is mapped at (some of) the range.
    #[error("no memory is mapped there")]
    Unmapped,
    /// The guest has memory there, which came without a file.
    #[error("the guest's memory there came without a file")]
    NoFile,
    /// It is mapped for the other direction only.
    #[error("the mapping does not permit this direction")]
    Forbidden,
    /// An ownership word that is not aligned cannot be read or written in one piece.
    #[error("an ownership word must be aligned to its size")]
    Unaligned,
}

/// The reason why a range was not mapped.
#[derive(Debug, Error)]
pub enum MapError {
    /// An empty range, or one that ends beyond 2^64.
    #[error("the range of {size:#x} bytes at {address:#x} is not one")]
    Range {
        /// The address at which it should begin.
        address: u64,
        /// Its size.
        size: u64,
    },
    /// The file is shorter than what is to be mapped: touching the rest would kill the process.
    #[error("cannot map {size:#x} bytes at {address:#x}: the file ends before")]
    File {
        /// The address at which it should begin.
        address: u64,
        /// Its size.
        size: u64,
    },
    /// There are as many ranges as are kept.
    #[error("cannot map {size:#x} bytes at {address:#x}: {RANGES} ranges are mapped already")]
    Many {
        /// The address at which it should begin.
        address: u64,
        /// Its size.
        size: u64,
    },
    /// The host refused.
    #[error("cannot map {size:#x} bytes at {address:#x}: {source}")]
    Host {
        /// The address at which it should begin.
        address: u64,
        /// Its size.
        size: u64,
        /// The reason.
        source: MmapRegionError,
    },
}

/// A range of addresses and the memory behind it. Its first address is the key it is kept under.
#[derive(Clone, Debug)]
struct Range {
    /// Last address, so that a range may end at 2^64.
    last: u64,
    memory: Arc<MmapRegion>,
    /// The place of the first address in the memory.
    offset: u64,
    rights: Rights,
}

/// The file behind a range, so that all ranges of one file hold one descriptor. With an IOMMU each
/// page that a driver maps is a range, and each comes with a descriptor of its own: a process may
/// have 1024 of them.
#[derive(Debug)]
struct Backing {
    device: u64,
    inode: u64,
    /// The descriptor may be mapped for writing.
    writable: bool,
    file: Weak<File>,
}

/// All ranges, none overlapping.
#[derive(Debug, Default)]
pub struct DmaMap {
    ranges: BTreeMap<u64, Range>,
    backings: Vec<Backing>,
    /// First and last address of memory that came without a file.
    without_file: Vec<(u64, u64)>,
}

impl DmaMap {
    /// An empty map.
    pub fn new() -> Self {
        DmaMap::default()
    }

    /// Returns how many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Makes `size` bytes of `file` from `offset` on reachable at `address`. What was mapped there
    /// before is replaced.
    pub fn map(
        &mut self,
        address: u64,
        size: u64,
        file: File,
        offset: u64,
        rights: Rights,
    ) -> Result<(), MapError> {
        let bad = || MapError::Range { address, size };
        let last = size
            .checked_sub(1)
            .and_then(|more| address.checked_add(more))
            .ok_or_else(bad)?;
        let length = usize::try_from(size).map_err(|_| bad())?;
        let holds = match file.metadata() {
            Ok(meta) if meta.is_file() => offset
                .checked_add(size)
                .is_some_and(|end| end <= meta.len()),
            _ => true,
        };
        if !holds {
            return Err(MapError::File { address, size });
        }
        // A page that may only be read is not even mapped for writing.
        let protection = match rights {
            Rights { write: true, .. } => libc::PROT_READ | libc::PROT_WRITE,
            _ => libc::PROT_READ,
        };
        let file = self.share(file, rights.write);
        let memory = MmapRegion::build(
            Some(FileOffset::from_arc(file, offset)),
            length,
            protection,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
        )
        .map_err(|source| MapError::Host {
            address,
            size,
            source,
        })?;
        self.remove(address, last);
        if self.ranges.len() >= RANGES {
            return Err(MapError::Many { address, size });
        }
        let range = Range {
            last,
            memory: Arc::new(memory),
            offset: 0,
            rights,
        };
        self.ranges.insert(address, range);
        Ok(())
    }

    /// Notes that `size` bytes at `address` came without a file, and cannot be reached.
    pub fn note_without_file(&mut self, address: u64, size: u64) {
        let last = address.saturating_add(size.saturating_sub(1));
        self.remove(address, last);
        if self.without_file.len() < WITHOUT_FILE {
            self.without_file.push((address, last));
        }
    }

    /// Returns the descriptor that is held already for the same file and the same rights, or else
    /// this one.
    fn share(&mut self, file: File, writable: bool) -> Arc<File> {
        self.backings
            .retain(|backing| backing.file.strong_count() > 0);
        let Ok(meta) = file.metadata() else {
            return Arc::new(file);
        };
        let (device, inode) = (meta.dev(), meta.ino());
        let held = self.backings.iter().find(|backing| {
            (backing.device, backing.inode, backing.writable) == (device, inode, writable)
        });
        if let Some(held) = held.and_then(|backing| backing.file.upgrade()) {
            return held;
        }
        let file = Arc::new(file);
        self.backings.push(Backing {
            device,
            inode,
            writable,
            file: Arc::downgrade(&file),
        });
        file
    }

    /// Takes `size` bytes at `address` away, whatever ranges they are parts of.
    pub fn unmap(&mut self, address: u64, size: u64) {
        if let Some(more) = size.checked_sub(1) {
            self.remove(address, address.saturating_add(more));
        }
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.without_file.clear();
    }

    fn remove(&mut self, first: u64, last: u64) {
        self.without_file
            .retain(|range| range.1 < first || range.0 > last);
        // The range that begins before `first` may reach into it, or even beyond `last`.
        let before = self.ranges.range(..first).next_back();
        if let Some((&start, range)) = before.filter(|(_, range)| range.last >= first) {
            let mut head = range.clone();
            let tail = range.clone();
            head.last = first - 1;
            self.ranges.insert(start, head);
            self.keep_tail(start, tail, last);
        }
        let inside: Vec<u64> = self
            .ranges
            .range(first..=last)
            .map(|(&start, _)| start)
            .collect();
        for start in inside {
            if let Some(range) = self.ranges.remove(&start) {
                self.keep_tail(start, range, last);
            }
        }
    }

    /// Keeps what of `range`, which began at `start`, lies beyond `last`, if there is room: to have
    /// less is safe.
    fn keep_tail(&mut self, start: u64, mut range: Range, last: u64) {
        if range.last > last && self.ranges.len() < RANGES {
            range.offset += last + 1 - start;
            self.ranges.insert(last + 1, range);
        }
    }

    /// The memory from `address` on, `len` bytes of it at most.
    fn find(&self, address: u64, len: usize, write: bool) -> Result<VolatileSlice<'_>, DmaError> {
        let (&start, range) = self
            .ranges
            .range(..=address)
            .next_back()
            .filter(|(_, range)| range.last >= address)
            .ok_or_else(|| {
                let mut ranges = self.without_file.iter();
                match ranges.any(|range| (range.0..=range.1).contains(&address)) {
                    true => DmaError::NoFile,
                    false => DmaError::Unmapped,
                }
            })?;
        let permitted = if write {
            range.rights.write
        } else {
            range.rights.read
        };
        if !permitted {
            return Err(DmaError::Forbidden);
        }
        let there = (range.last - address).saturating_add(1);
        let count = usize::try_from(there).unwrap_or(usize::MAX).min(len);
        let offset = range.offset + (address - start);
        usize::try_from(offset)
            .ok()
            .and_then(|offset| range.memory.get_slice(offset, count).ok())
            .ok_or(DmaError::Unmapped)
    }

    /// Reads; may go across ranges that lie side by side.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), DmaError> {
        let mut done = 0;
        while done < into.len() {
            let at = address.checked_add(done as u64).ok_or(DmaError::Unmapped)?;
            let memory = self.find(at, into.len() - done, false)?;
            let count = memory.len();
            memory
                .read_slice(&mut into[done..done + count], 0)
                .map_err(|_| DmaError::Unmapped)?;
            done += count;
        }
        Ok(())
    }

    /// Writes; may go across ranges that lie side by side.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), DmaError> {
        let mut done = 0;
        while done < from.len() {
            let at = address.checked_add(done as u64).ok_or(DmaError::Unmapped)?;
            let memory = self.find(at, from.len() - done, true)?;
            let count = memory.len();
            memory
                .write_slice(&from[done..done + count], 0)
                .map_err(|_| DmaError::Unmapped)?;
            done += count;
        }
        Ok(())
    }

    fn word(&self, address: u64, write: bool) -> Result<VolatileSlice<'_>, DmaError> {
        if address % 4 != 0 {
            return Err(DmaError::Unaligned);
        }
        let memory = self.find(address, 4, write)?;
        if memory.len() == 4 {
            Ok(memory)
        } else {
            Err(DmaError::Unmapped)
        }
    }

    /// Reads a little-endian word in one piece, before anything that follows.
    pub fn load(&self, address: u64) -> Result<u32, DmaError> {
        self.word(address, false)?
            .load::<u32>(0, Ordering::Acquire)
            .map(u32::from_le)
            .map_err(|_| DmaError::Unaligned)
    }

    /// Writes a little-endian word in one piece, after everything before.
    pub fn store(&self, address: u64, value: u32) -> Result<(), DmaError> {
        self.word(address, true)?
            .store(value.to_le(), 0, Ordering::Release)
            .map_err(|_| DmaError::Unaligned)
    }
}

#[cfg(test)]
mod tests;
