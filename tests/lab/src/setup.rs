// SPDX-License-Identifier: GPL-2.0

//! The set-up of a bench: kernel, card, driver, far end of the wire, and what is in the guest
//! besides.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::frame::Address;
use crate::guest::Slot;
use crate::initramfs::Tree;
use crate::ipxe::Netboot;
use crate::kernel::{dependencies, Kernel, Module};
use crate::model::Chip;
use crate::{drive, Result};

/// kmod's modprobe, in guests that have it; busybox's own knows no softdeps.
pub const MODPROBE: &str = "/usr/sbin/modprobe";

/// The driver under test.
#[derive(Debug, Clone)]
pub enum Driver {
    /// Ours, from this file.
    R8168Rust(PathBuf),
    /// Realtek's, from this file.
    R8168(PathBuf),
    /// The kernel's own.
    R8169,
    /// None for the emulated chip: QEMU's e1000e takes its place, to test the lab itself.
    E1000e,
    /// None for the emulated chip either: the example for rust/net, from this file, on QEMU's
    /// `edu`.
    Edu(PathBuf),
}

impl Driver {
    /// The module's name.
    pub fn name(&self) -> &'static str {
        match self {
            Driver::R8168Rust(_) => "r8168_rust",
            Driver::R8168(_) => "r8168",
            Driver::R8169 => "r8169",
            Driver::E1000e => "e1000e",
            Driver::Edu(_) => "edu_net",
        }
    }

    /// The file of a driver that the kernel does not bring along.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Driver::R8168Rust(path) | Driver::R8168(path) | Driver::Edu(path) => Some(path),
            Driver::R8169 | Driver::E1000e => None,
        }
    }

    /// Returns parts of the texts of the violations that it commits now and then, by no error of
    /// the model's.
    ///
    /// r8169 leaves the checksum of a frame below 60 bytes to a chip that cannot, if the frame is
    /// the last piece of a larger one: the core cuts those after it has asked `ndo_features_check`.
    ///
    /// Its `rtl8169_net_suspend` stops the queue (`netif_device_detach`) before `rtl8169_cleanup`
    /// disables NAPI: a poll between the two restarts the queue, and a frame sent then rings the
    /// doorbell of a chip that has been reset (seen at kexec under load; the paths of suspend and
    /// shutdown are the same).
    pub fn known_violations(&self) -> &'static [&'static str] {
        match self {
            Driver::R8169 => &[
                "checksum asked for in a frame of",
                "doorbell of the normal ring while the transmitter is off",
            ],
            Driver::R8168Rust(_) | Driver::R8168(_) | Driver::E1000e | Driver::Edu(_) => &[],
        }
    }
}

/// The far end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// `passt`: DHCP, a gateway, TCP to the lab's loopback.
    Internet,
    /// The lab itself, frame by frame.
    Frames,
}

/// A real card of this machine, bound to `vfio-pci`, in place of the emulated chip.
#[derive(Debug, Clone)]
pub struct Card {
    /// Its PCI address, such as `0000:02:00.0`.
    pub address: String,
    /// This machine's address on the card's wire, through another card; without it nothing is
    /// transferred.
    pub reach: Option<Ipv4Addr>,
}

/// The settings with which a bench is set up.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The device model's program.
    pub model: &'a Path,
    /// The chip.
    pub chip: Chip,
    /// A real card in place of the emulated chip, on its own wire.
    pub card: Option<&'a Card>,
    /// Another XID than the chip's own.
    pub xid: Option<u32>,
    /// Another identity of the PHY than the chip's own, its second half.
    pub phy_id: Option<u16>,
    /// Another station address than [`crate::model::Model::MAC`], in the chip and in its EEPROM.
    pub mac: Option<&'a str>,
    /// The slot that the card is in; without one it is soldered on.
    pub slot: Option<Slot>,
    /// Says whether an IOMMU lets the card reach only what is mapped for it.
    pub iommu: bool,
    /// The station address that the firmware has for a card that is soldered on.
    pub firmware_mac: Option<Address>,
    /// Says whether a virtio-rng shares the card's interrupt line; see
    /// [`Bench::interrupt_by_neighbour`].
    pub neighbour: bool,
    /// A disk of so many MiB, empty at first.
    pub disk_mib: u32,
    /// Says whether the guest may reset the machine, which else ends it.
    pub resets: bool,
    /// Memory that the guest has besides what the transfers need.
    pub more_memory_mib: u32,
    /// The memory below 4 GiB, in MiB, where a card of 32 bits reaches it; without a number
    /// as much as QEMU puts there.
    pub low_memory_mib: Option<u32>,
    /// Further arguments of the kernel.
    pub append: &'a str,
    /// The driver that [`Bench::load`] loads.
    pub driver: Driver,
    /// Says whether `realtek.ko` is loaded before it.
    pub phy_driver: bool,
    /// Further modules to have at hand in the guest.
    pub more_modules: &'a [&'a str],
    /// A directory whose files the guest has besides, and with them kmod's modprobe ([`MODPROBE`]).
    pub files: Option<&'a Path>,
    /// The far end of the wire; if the guest is booted over it, that is one which can do that.
    pub network: Network,
    /// The VLAN that `passt` is in; without a number it takes frames without a tag.
    pub vlan: Option<u16>,
    /// The way in which kernel and initramfs come over the wire, if they do.
    pub netboot: Option<Netboot<'a>>,
    /// Says whether a frame that finds no descriptor is lost at once. That is for a flood that the
    /// guest cannot keep up with: by the model's default it would wait on the cable as long as the
    /// driver is at work, so that the chip never overflows, and what a test sends would wait behind
    /// it.
    pub drop_when_full: bool,
    /// The time that a negotiation of the link takes, in milliseconds; the model's default if there
    /// is none here.
    pub negotiation: Option<u32>,
    /// The time that a reset and an access to the PHY take each, in microseconds; the model's
    /// default if there is none here.
    pub command_time: Option<u32>,
    /// Says whether the frames are kept in a pcap file.
    pub pcap: bool,
    /// Says whether the last that happened to the chip is kept; see [`crate::model::TRACE`].
    pub trace: bool,
    /// The amount that is transferred at once.
    pub megabytes: u32,
    /// The cache for initramfs images.
    pub cache: &'a Path,
    /// The directory in which logs are written.
    pub artifacts: &'a Path,
    /// The program `guest-echo`, if the guest is to have it.
    pub echo: Option<&'a Path>,
    /// Says whether the console is the lab's terminal.
    pub interactive: bool,
    /// The plugin that counts what the guest's kernel executes (`tests/lab/plugin`), if that is
    /// wanted.
    pub plugin: Option<&'a Path>,
    /// Says whether it counts in modules only, in a file that can be read many times a second.
    pub modules_only: bool,
}

impl<'a> Setup<'a> {
    /// The usual bench: `passt` as the network, the PHY driver loaded.
    pub fn new(
        kernel: &'a Kernel,
        model: &'a Path,
        chip: Chip,
        driver: Driver,
        cache: &'a Path,
        artifacts: &'a Path,
    ) -> Self {
        Self {
            kernel,
            model,
            chip,
            card: None,
            xid: None,
            phy_id: None,
            mac: None,
            slot: None,
            iommu: false,
            firmware_mac: None,
            neighbour: false,
            disk_mib: 0,
            resets: false,
            more_memory_mib: 0,
            low_memory_mib: None,
            append: "",
            driver,
            phy_driver: true,
            more_modules: &[],
            files: None,
            network: Network::Internet,
            vlan: None,
            netboot: None,
            drop_when_full: false,
            negotiation: None,
            command_time: None,
            pcap: false,
            trace: false,
            megabytes: 64,
            cache,
            artifacts,
            echo: None,
            interactive: false,
            plugin: None,
            modules_only: false,
        }
    }

    /// Boots the guest, loads the driver, which must accept the device, and opens the interface;
    /// returns its name besides.
    pub fn open(&self) -> Result<(Bench, String)> {
        let mut bench = Bench::start(self)?;
        let interface = bench.load_and_open()?;
        Ok((bench, interface))
    }

    /// [`Setup::open`], and leases an address.
    pub fn lease(&self) -> Result<(Bench, String)> {
        let (mut bench, interface) = self.open()?;
        drive::lease(&mut bench, &interface)?;
        Ok((bench, interface))
    }

    pub(crate) fn memory_mib(&self) -> u32 {
        // A fetched and a generated body stay in the guest's memory.
        512 + 2 * self.megabytes + self.more_memory_mib
    }

    fn driver_module(&self) -> Result<Option<Module>> {
        let built = |path| Module::built(path, self.driver.name(), self.kernel);
        self.driver.file().map(built).transpose()
    }
}

/// Modules, and which of those that the guest has at hand each of them depends on.
pub(crate) type Needs = HashMap<String, Vec<String>>;

/// Makes the guest's initramfs; returns it, the modules that are loaded before the driver, and
/// which depend on which.
pub(crate) fn initramfs(setup: &Setup<'_>) -> Result<(PathBuf, Vec<String>, Needs)> {
    let mut names = Vec::new();
    let has_phy = !matches!(
        setup.driver,
        Driver::E1000e | Driver::Edu(_) | Driver::R8168(_)
    );
    if setup.phy_driver && has_phy {
        names.push("realtek");
    }
    let brought = setup.driver_module()?;
    let needed = match (&brought, setup.driver.file()) {
        (Some(module), Some(file)) => dependencies(file, &module.object)?,
        _ => vec![setup.driver.name().to_owned()],
    };
    names.extend(needed.iter().map(String::as_str));
    let modules = setup.kernel.modules(&names)?;
    let before = modules
        .iter()
        .map(|module| module.name.clone())
        .filter(|name| name != setup.driver.name())
        .collect();
    let mut tree = Tree::base()?;
    let more = setup.kernel.modules(setup.more_modules)?;
    let mut needs = HashMap::new();
    for module in modules.iter().chain(&more).chain(&brought) {
        let on = dependencies(Path::new(&module.name), &module.object)?;
        needs.insert(module.name.clone(), on);
        tree.add_modules(std::slice::from_ref(module));
    }
    let at_hand: Vec<String> = needs.keys().cloned().collect();
    for on in needs.values_mut() {
        on.retain(|name| at_hand.contains(name));
    }
    if let Some(echo) = setup.echo {
        tree.add_program(echo, "/usr/bin/guest-echo")?;
    }
    if let Some(files) = setup.files {
        tree.add_directory(files)?;
        tree.add_program(Path::new("/usr/sbin/modprobe"), MODPROBE)?;
    }
    if setup.netboot.is_some() {
        // It came by a card and a driver that are under test.
        tree.add_sums();
    }
    Ok((tree.cached(setup.cache)?, before, needs))
}
