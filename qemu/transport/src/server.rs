// SPDX-License-Identifier: GPL-2.0

//! The vfio-user server: regions, the protocol's requests, and one connection at a time.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::panic::catch_unwind;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use thiserror::Error;
use vfio_bindings::bindings::vfio::vfio_region_info;
use vfio_bindings::bindings::vfio::VFIO_IRQ_INFO_AUTOMASKED;
use vfio_bindings::bindings::vfio::VFIO_IRQ_INFO_EVENTFD;
use vfio_bindings::bindings::vfio::VFIO_IRQ_INFO_MASKABLE;
use vfio_bindings::bindings::vfio::VFIO_IRQ_INFO_NORESIZE;
use vfio_bindings::bindings::vfio::VFIO_REGION_INFO_FLAG_READ;
use vfio_bindings::bindings::vfio::VFIO_REGION_INFO_FLAG_WRITE;
use vfio_user::DmaMapFlags;
use vfio_user::DmaUnmapFlags;
use vfio_user::IrqInfo;
use vfio_user::ServerBackend;
use vfio_user::ServerRegion;

use crate::dma::DmaMap;
use crate::dma::Rights;
use crate::irq;
use crate::irq::Lines;

/// vfio's numbers of PCI regions: six base addresses, ROM, configuration space, VGA.
const REGIONS: u32 = 9;
const CONFIG_REGION: u32 = 7;
/// vfio's numbers of PCI interrupts: INTx, MSI, MSI-X, error, request.
const INTERRUPTS: u32 = 5;

/// The largest access: a whole window. Longer ones are answered with zeroes, or have no effect.
const LARGEST: usize = 4096;

/// The limit up to which a range without a file is no memory for a device: ROMs, and the memory of
/// graphics cards.
const LARGEST_WINDOW: u64 = 64 << 20;

/// Refused ranges that are logged, so that a guest cannot fill the disk.
const LOGGED: u64 = 100;

/// A window of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// A base address register's window.
    Bar(u8),
    /// Configuration space.
    Config,
}

/// A PCI device as seen from the bus.
pub trait Endpoint: Send {
    /// The guest reads. What the device does not answer is all ones.
    fn read(&mut self, region: Region, offset: u64, into: &mut [u8]);
    /// The guest writes.
    fn write(&mut self, region: Region, offset: u64, from: &[u8]);
    /// The bus is reset.
    fn reset(&mut self);
    /// The guest's memory.
    fn dma(&mut self) -> &mut DmaMap;
    /// The interrupt lines.
    fn lines(&mut self) -> &mut Lines;
    /// The client is gone, and with it the memory and the lines.
    fn disconnected(&mut self);
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A client that had asked for something went away.
    Client,
    /// A client connected and left, as one does that checks for a server.
    Visitor,
}

/// The reason why a connection ended badly.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The protocol went wrong.
    #[error("vfio-user: {0}")]
    Protocol(#[from] vfio_user::Error),
    /// The client sent what the crate cannot bear.
    #[error("vfio-user: the client sent a malformed message")]
    Malformed,
}

/// The server.
pub struct Server {
    inner: vfio_user::Server,
}

impl Server {
    /// A server for a device with these windows (number, bytes).
    pub fn new(listener: UnixListener, bars: &[(u8, u64)], config_size: u64) -> Self {
        let regions = (0..REGIONS)
            .map(|index| {
                let bar = bars.iter().find(|bar| u32::from(bar.0) == index);
                let size = match bar {
                    _ if index == CONFIG_REGION => config_size,
                    Some(&(_, size)) => size,
                    None => 0,
                };
                let flags = if size == 0 {
                    0
                } else {
                    VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE
                };
                ServerRegion {
                    region_info: vfio_region_info {
                        argsz: size_of::<vfio_region_info>() as u32,
                        flags,
                        index,
                        cap_offset: 0,
                        size,
                        offset: 0,
                    },
                    sparse_areas: Vec::new(),
                    mmap_fd: None,
                }
            })
            .collect();
        let interrupts = (0..INTERRUPTS)
            .map(|index| {
                let (count, flags) = match index {
                    irq::INTX => (
                        1,
                        VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED,
                    ),
                    irq::MSI => (2, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE),
                    _ => (0, 0),
                };
                IrqInfo {
                    index,
                    flags,
                    count,
                }
            })
            .collect();
        let inner =
            vfio_user::Server::from_owned_fd(OwnedFd::from(listener), true, interrupts, regions);
        Server { inner }
    }

    /// Serves one connection to its end.
    pub fn serve_one<E: Endpoint>(&self, device: &Mutex<E>) -> Result<Ended, ServeError> {
        let mut backend = Backend {
            device,
            used: false,
            reported: false,
            refused: 0,
        };
        // The device's state is behind a lock that the handlers leave whole; the panics are the
        // crate's own.
        let result = catch_unwind(AssertUnwindSafe(|| self.inner.run(&mut backend)));
        let used = backend.used;
        let mut device = lock(device);
        device.dma().clear();
        device.lines().disconnect();
        device.disconnected();
        match result {
            Ok(Ok(())) if used => Ok(Ended::Client),
            Ok(Ok(())) => Ok(Ended::Visitor),
            // A client that is killed leaves a broken pipe or a reset behind: an end like any
            // other.
            Ok(Err(vfio_user::Error::StreamRead(_) | vfio_user::Error::StreamWrite(_))) if used => {
                Ok(Ended::Client)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(ServeError::Malformed),
        }
    }
}

fn lock<E>(device: &Mutex<E>) -> MutexGuard<'_, E> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Backend<'a, E> {
    device: &'a Mutex<E>,
    used: bool,
    /// Memory without a file was reported: firmware maps it again and again.
    reported: bool,
    /// Ranges that could not be mapped.
    refused: u64,
}

impl<E> Backend<'_, E> {
    fn device(&mut self) -> MutexGuard<'_, E> {
        self.used = true;
        lock(self.device)
    }
}

fn region(index: u32) -> Option<Region> {
    match index {
        0..=5 => Some(Region::Bar(index as u8)),
        CONFIG_REGION => Some(Region::Config),
        _ => None,
    }
}

impl<E: Endpoint> ServerBackend for Backend<'_, E> {
    fn region_read(&mut self, index: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        match region(index) {
            // The memory for it is there already, but it is not touched: that is all that the crate
            // leaves us.
            Some(_) if data.len() > LARGEST => log::error!("a read of {} bytes", data.len()),
            Some(region) => self.device().read(region, offset, data),
            None if data.len() > LARGEST => {}
            None => data.fill(0xff),
        }
        Ok(())
    }

    fn region_write(&mut self, index: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.len() > LARGEST {
            log::error!("a write of {} bytes", data.len());
        } else if let Some(region) = region(index) {
            self.device().write(region, offset, data);
        }
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        let Some(file) = fd else {
            self.device().dma().note_without_file(address, size);
            if size > LARGEST_WINDOW && !self.reported {
                self.reported = true;
                log::warn!(
                    "{} MiB of guest memory at {address:#x} come without a file, and the card cannot reach them: start QEMU with \
                     -machine memory-backend=mem -object memory-backend-memfd,id=mem,size=...,share=on",
                    size >> 20
                );
            } else {
                log::debug!("no file for {size:#x} bytes at {address:#x}: left out");
            }
            return Ok(());
        };
        let rights = Rights {
            read: flags.contains(DmaMapFlags::READ),
            write: flags.contains(DmaMapFlags::WRITE),
        };
        log::debug!("map {size:#x} bytes at {address:#x} {rights:?}");
        let result = self.device().dma().map(address, size, file, offset, rights);
        if let Err(error) = result {
            self.refused += 1;
            match self.refused.cmp(&LOGGED) {
                Ordering::Less => log::error!("{error}"),
                Ordering::Equal => log::error!("{error}; more of this kind are not logged"),
                Ordering::Greater => {}
            }
        }
        Ok(())
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        log::debug!("unmap {size:#x} bytes at {address:#x}");
        let mut device = self.device();
        if flags.contains(DmaUnmapFlags::UNMAP_ALL) {
            device.dma().clear();
        } else {
            device.dma().unmap(address, size);
        }
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        log::info!("reset by the machine");
        self.device().reset();
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        _start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        log::debug!(
            "interrupt {index}: flags {flags:#x}, count {count}, {} files",
            fds.len()
        );
        self.device().lines().configure(index, flags, count, fds);
        Ok(())
    }
}
