// SPDX-License-Identifier: GPL-2.0

//! A guest with pairs of emulated ports, the ports of a pair wired back to back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dmesg::{self, Problem};
use crate::guest::{self, Guest};
use crate::initramfs::{Tree, MODULES};
use crate::kernel::{Kernel, Module};
use crate::machine::{Loader, Nic};
use crate::model::{self, Chip, Counters, Identity, Model, Wire};
use crate::setup::Driver;
use crate::{require, Error, Result};

/// The parts of such a guest.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The device model's program.
    pub model: &'a Path,
    /// The chip, the same on all ports.
    pub chip: Chip,
    /// The driver, the same on all ports.
    pub driver: Driver,
    /// The number of pairs of ports.
    pub pairs: u8,
    /// Further modules to have at hand in the guest.
    pub more_modules: &'a [&'a str],
    /// Further files in its initramfs.
    pub more_files: &'a [(&'a str, &'a [u8])],
    /// Directories that it may read, each with its tag.
    pub shares: &'a [(&'a str, &'a Path)],
    /// Main memory.
    pub memory_mib: u32,
    /// The cache for initramfs images.
    pub cache: &'a Path,
    /// The directory in which logs are written.
    pub artifacts: &'a Path,
}

/// The running guest and its ports.
#[derive(Debug)]
pub struct Ports {
    /// The guest.
    pub guest: Guest,
    models: Vec<Model>,
    // Last, so that it is removed after the programs that use it have ended.
    _sockets: tempfile::TempDir,
}

impl Ports {
    /// Starts the models and boots the guest; nothing is loaded yet.
    pub fn start(setup: &Setup<'_>) -> Result<Self> {
        let artifacts = setup.artifacts;
        fs::create_dir_all(artifacts).map_err(Error::file(artifacts, "creating"))?;
        let initramfs = initramfs(setup)?;
        let sockets = tempfile::Builder::new()
            .prefix("lab-")
            .tempdir()
            .map_err(Error::file(&std::env::temp_dir(), "making a directory"))?;
        let mut models = Vec::new();
        for port in 0..2 * setup.pairs {
            let cable = sockets.path().join(format!("cable{}", port / 2));
            models.push(Model::start(&model::Options {
                program: setup.model,
                chip: setup.chip,
                xid: None,
                phy_id: None,
                wire: if port % 2 == 0 {
                    Wire::Listen(&cable)
                } else {
                    Wire::Connect(&cable)
                },
                identity: Identity::port(port),
                prompt_acks: false,
                pcap: false,
                snaplen: None,
                trace: false,
                drop_when_full: false,
                negotiation: None,
                command_time: None,
                artifacts,
                sockets: sockets.path(),
            })?);
        }
        let nics: Vec<Nic> = models
            .iter()
            .map(|model| Nic::Model(model.socket().to_path_buf()))
            .collect();
        let guest = Guest::boot(&guest::Options {
            kernel: setup.kernel,
            initramfs: &initramfs,
            memory_mib: setup.memory_mib,
            // irq.py moves an interrupt to two processors out of more.
            cpus: 3,
            nics: &nics,
            slot: None,
            iommu: false,
            neighbour: false,
            disk: None,
            resets: false,
            ssdt: None,
            shares: setup.shares,
            loader: Loader::Qemu,
            artifacts,
            sockets: sockets.path(),
            interactive: false,
            qemu: &[],
            append: "",
        })?;
        Ok(Self {
            guest,
            models,
            _sockets: sockets,
        })
    }

    /// Loads the driver, which must accept every port; returns their interfaces, those of a pair
    /// beside each other.
    pub fn load(&mut self, driver: &Driver) -> Result<Vec<String>> {
        self.guest
            .check(&format!("insmod {MODULES}/{}.ko", driver.name()))?;
        let found = self.guest.check(
            "cd /sys/bus/pci/devices; for d in *; do
                [ $(cat $d/vendor) = 0x10ec ] && echo $(ls $d/net 2>/dev/null); done; true",
        )?;
        let names: Vec<String> = found.lines().map(str::to_owned).collect();
        require!(
            names.len() == self.models.len() && names.iter().all(|name| !name.is_empty()),
            "{} drives the ports as {names:?}, expected {} interfaces",
            driver.name(),
            self.models.len()
        );
        Ok(names)
    }

    /// Kernel messages so far that need attention.
    pub fn kernel_problems(&self) -> Result<Vec<Problem>> {
        Ok(dmesg::problems(&self.guest.console()?))
    }

    /// Takes the counters of each port's model since the last call.
    pub fn take_counters(&mut self) -> Result<Vec<Counters>> {
        let models = self.models.iter_mut();
        models
            .map(|model| {
                let counters = model.counters()?;
                model.reset_counters().map(|()| counters)
            })
            .collect()
    }

    /// Powers the guest off and ends the models.
    pub fn finish(self) -> Result<()> {
        self.guest.shut_down()?;
        self.models.into_iter().try_for_each(Model::stop)
    }
}

fn initramfs(setup: &Setup<'_>) -> Result<PathBuf> {
    let mut names = vec!["realtek"];
    names.extend(setup.more_modules);
    let mut tree = Tree::base()?;
    match &setup.driver {
        Driver::R8168Rust(path) => {
            tree.add_modules(&[Module::built(path, "r8168_rust", setup.kernel)?])
        }
        other => names.push(other.name()),
    }
    let modules = setup.kernel.modules(&names)?;
    // The kernel's own modules are loaded from a list, those of the driver by name.
    let order: Vec<String> = modules
        .iter()
        .filter(|module| module.name != setup.driver.name())
        .map(|module| format!("{MODULES}/{}.ko\n", module.name))
        .collect();
    tree.add("/etc/modules", 0o644, order.concat().into_bytes());
    tree.add_modules(&modules);
    for (path, content) in setup.more_files {
        tree.add(path, 0o755, content.to_vec());
    }
    tree.cached(setup.cache)
}

/// The time that loading all modules of the list may take.
pub const MODULES_LIMIT: Duration = Duration::from_secs(60);
