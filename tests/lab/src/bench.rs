//! A whole set-up: wire, device model and guest, with the driver to be loaded.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::frame::Address;
use crate::guest::{self, Guest, Loader, Nic, Slot};
use crate::http::HttpServer;
use crate::initramfs::{Tree, MODULES};
use crate::instructions::Counts;
use crate::ipxe::{self, Netboot};
use crate::kernel::{dependencies, Kernel, Module};
use crate::model::{self, Chip, Counters, Model};
use crate::passt::{self, Passt};
use crate::peer::{Peer, Socket};
use crate::process::wait_for;
use crate::slirp::Slirp;
use crate::trunk::Trunk;
use crate::watch::{self, Watch};
use crate::{acpi, debug, dmesg, drive, namespace, Error, Result};

/// kmod's modprobe, in guests that have it; busybox's own knows no softdeps.
pub const MODPROBE: &str = "/usr/sbin/modprobe";
/// Where the plugin counts, among the artifacts.
const COUNTS: &str = "counts";

/// How long a card may take to go, or to come.
const UNPLUG: Duration = Duration::from_secs(60);

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
    /// None for the emulated chip either: the example for rust/net, from this file, on QEMU's `edu`.
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

    /// What it does wrong now and then, by no fault of the model's.
    ///
    /// r8169 leaves the checksum of a frame below 60 bytes to a chip that cannot, if the frame is the last
    /// piece of a larger one: the core cuts those after it has asked `ndo_features_check`.
    pub fn known_violation(&self) -> Option<&'static str> {
        match self {
            Driver::R8169 => Some("checksum asked for in a frame of"),
            Driver::R8168Rust(_) | Driver::R8168(_) | Driver::E1000e | Driver::Edu(_) => None,
        }
    }
}

/// What is at the far end of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
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
    /// This machine's address on the card's wire, through another card; without it nothing is transferred.
    pub reach: Option<Ipv4Addr>,
}

/// How a bench is to be set up.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The device model's program.
    pub model: &'a Path,
    /// The chip.
    pub chip: Chip,
    /// A real card in place of the emulated chip, whose wire is the world.
    pub card: Option<&'a Card>,
    /// Another XID than the chip's own.
    pub xid: Option<u32>,
    /// Another station address than [`Model::MAC`], in the chip and in its EEPROM.
    pub mac: Option<&'a str>,
    /// The slot that the card is in; without one it is soldered on.
    pub slot: Option<Slot>,
    /// Whether an IOMMU lets the card reach only what is mapped for it.
    pub iommu: bool,
    /// The station address that the firmware has for a card that is soldered on.
    pub firmware_mac: Option<Address>,
    /// Whether a virtio-rng shares the card's interrupt line; see [`Bench::interrupt_by_neighbour`].
    pub neighbour: bool,
    /// A disk of so many MiB, empty at first.
    pub disk_mib: u32,
    /// Whether the guest may reset the machine, which else ends it.
    pub resets: bool,
    /// Memory that the guest has besides what the transfers need.
    pub more_memory_mib: u32,
    /// What the kernel's command line has besides.
    pub append: &'a str,
    /// The driver that [`Bench::load`] loads.
    pub driver: Driver,
    /// Whether `realtek.ko` is loaded before it.
    pub phy_driver: bool,
    /// Further modules to have at hand in the guest.
    pub more_modules: &'a [&'a str],
    /// A directory whose files the guest has besides, and with them kmod's modprobe ([`MODPROBE`]).
    pub files: Option<&'a Path>,
    /// The far end of the wire; if the guest is booted over it, that is one which can do that.
    pub world: World,
    /// The VLAN that `passt` is in; without a number it takes frames without a tag.
    pub vlan: Option<u16>,
    /// How kernel and initramfs come over the wire, if they do.
    pub netboot: Option<Netboot<'a>>,
    /// Whether a frame that finds no descriptor is lost at once. That is for rain that the guest cannot keep up with: by the model's
    /// default it would wait on the cable as long as the driver is at work, so that the chip never overflows, and what a test
    /// sends would wait behind it.
    pub drop_when_full: bool,
    /// How long a negotiation of the link takes, in milliseconds; the model's default if there is none here.
    pub negotiation: Option<u32>,
    /// Whether the frames are kept in a pcap file.
    pub pcap: bool,
    /// Whether the last that happened to the chip is kept; see [`model::TRACE`].
    pub trace: bool,
    /// How much is transferred at once.
    pub megabytes: u32,
    /// The cache for initramfs images.
    pub cache: &'a Path,
    /// Where logs are written.
    pub artifacts: &'a Path,
    /// The program `guest-echo`, if the guest is to have it.
    pub echo: Option<&'a Path>,
    /// Whether the console is the lab's terminal.
    pub interactive: bool,
    /// The plugin that counts what the guest's kernel executes (`tests/lab/plugin`), if that is wanted.
    pub plugin: Option<&'a Path>,
}

impl<'a> Setup<'a> {
    /// The usual bench: `passt` as the world, the PHY driver loaded.
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
            mac: None,
            slot: None,
            iommu: false,
            firmware_mac: None,
            neighbour: false,
            disk_mib: 0,
            resets: false,
            more_memory_mib: 0,
            append: "",
            driver,
            phy_driver: true,
            more_modules: &[],
            files: None,
            world: World::Internet,
            vlan: None,
            netboot: None,
            drop_when_full: false,
            negotiation: None,
            pcap: false,
            trace: false,
            megabytes: 64,
            cache,
            artifacts,
            echo: None,
            interactive: false,
            plugin: None,
        }
    }

    /// Boots the guest, loads the driver, which must accept the device, and opens the interface; returns its name besides.
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

    fn memory_mib(&self) -> u32 {
        // A fetched and a generated body stay in the guest's memory.
        512 + 2 * self.megabytes + self.more_memory_mib
    }

    fn driver_module(&self) -> Result<Option<Module>> {
        let built = |path| Module::built(path, self.driver.name(), self.kernel);
        self.driver.file().map(built).transpose()
    }
}

/// What came of loading the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// It drives the device, as this interface.
    Interface(String),
    /// It is loaded and has left the device alone.
    Refused,
}

/// Modules, and which of those that the guest has at hand each of them depends on.
type Needs = HashMap<String, Vec<String>>;

/// The device as the guest finds it on the bus.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its address, such as `0000:00:02.0`.
    pub address: String,
    /// The XID in its TxConfig register; none for a device that is not the emulated chip.
    pub xid: Option<u32>,
}

/// A running set-up.
pub struct Bench {
    /// The guest.
    pub guest: Guest,
    model: Option<Model>,
    /// The far end, if it is `passt`.
    pub passt: Option<Passt>,
    slirp: Option<Slirp>,
    /// The far end, if it is the lab.
    pub peer: Option<Peer>,
    /// The HTTP server, on the lab's loopback unless the wire is a real one.
    pub http: HttpServer,
    /// Whom to ping: who offers the way out.
    pub gateway: String,
    /// The HTTP server's host as the guest knows it, if the guest can reach it.
    server: Option<String>,
    driver: Driver,
    before: Vec<String>,
    needs: Needs,
    device: Device,
    /// Where the plugin counts, if there is one.
    counts: Option<PathBuf>,
    /// How much of the console is of a kernel that is no longer there.
    earlier_kernel: usize,
    _watch: Option<Watch>,
    // Last, so that it is removed after those who use it have ended.
    _sockets: tempfile::TempDir,
}

impl Bench {
    /// Starts everything and boots the guest; no driver is loaded yet.
    pub fn start(setup: &Setup<'_>) -> Result<Self> {
        if setup.card.is_none() {
            namespace::prepare()?;
        }
        let artifacts = setup.artifacts;
        fs::create_dir_all(artifacts).map_err(Error::file(artifacts, "creating"))?;
        forget_logs(artifacts)?;
        let (initramfs, before, needs) = initramfs(setup)?;
        let bytes = usize::try_from(setup.megabytes).unwrap_or(usize::MAX) << 20;
        let reach = setup
            .card
            .map_or(Some(Ipv4Addr::LOCALHOST), |card| card.reach);
        let http = HttpServer::start(reach.unwrap_or(Ipv4Addr::LOCALHOST), bytes)?;
        http.offer("kernel", setup.kernel.image());
        http.offer("initramfs", &initramfs);
        let sockets = tempfile::Builder::new()
            .prefix("lab-")
            .tempdir()
            .map_err(Error::file(&std::env::temp_dir(), "making a directory"))?;

        let loader = match &setup.netboot {
            None => Loader::Qemu,
            Some(netboot) => ipxe::prepare(netboot, sockets.path(), http.port())?,
        };
        let mut passt = None;
        let mut slirp = None;
        let mut listener = None;
        let mut wire = match setup.world {
            World::Internet if setup.card.is_some() => PathBuf::new(),
            World::Internet => match &setup.netboot {
                Some(netboot) => slirp
                    .insert(Slirp::start(
                        artifacts,
                        sockets.path(),
                        netboot.boot_file(),
                    )?)
                    .socket()
                    .to_path_buf(),
                None => passt
                    .insert(Passt::start(artifacts, sockets.path())?)
                    .socket()
                    .to_path_buf(),
            },
            World::Frames => listener
                .insert(Socket::listen(sockets.path())?)
                .path()
                .to_path_buf(),
        };
        if let Some(id) = setup.vlan {
            let trunk = Trunk::start(&wire, sockets.path(), id)?;
            wire = trunk.socket().to_path_buf();
        }
        let (model, nic) = match (setup.card, &setup.driver) {
            (Some(card), _) => (None, Nic::Card(card.address.clone())),
            (None, Driver::E1000e) => (None, Nic::E1000e(wire)),
            (None, Driver::Edu(_)) => (None, Nic::Edu),
            (None, Driver::R8168Rust(_) | Driver::R8168(_) | Driver::R8169) => {
                let model = Model::start(&model::Options {
                    program: setup.model,
                    chip: setup.chip,
                    xid: setup.xid,
                    wire: model::Wire::Connect(&wire),
                    identity: model::Identity::port(0).with_mac(setup.mac),
                    // iPXE has four receive descriptors, and no time to lose.
                    prompt_acks: setup.netboot.is_some(),
                    pcap: setup.pcap,
                    snaplen: None,
                    trace: setup.trace,
                    drop_when_full: setup.drop_when_full,
                    negotiation: setup.negotiation,
                    artifacts,
                    sockets: sockets.path(),
                })?;
                let socket = model.socket().to_path_buf();
                (Some(model), Nic::Model(socket))
            }
        };
        let ssdt = sockets.path().join("ssdt.aml");
        if let Some(mac) = setup.firmware_mac {
            fs::write(&ssdt, acpi::mac_address(mac)).map_err(Error::file(&ssdt, "writing"))?;
        }
        let disk = sockets.path().join("disk");
        if setup.disk_mib > 0 {
            fs::File::create(&disk)
                .and_then(|file| file.set_len(u64::from(setup.disk_mib) << 20))
                .map_err(Error::file(&disk, "making a disk"))?;
        }
        let counts = setup.plugin.map(|_| artifacts.join(COUNTS));
        let mut qemu = Vec::new();
        if let (Some(plugin), Some(counts)) = (setup.plugin, &counts) {
            let [plugin, counts] =
                [plugin, counts].map(|path| path.display().to_string().replace(',', ",,"));
            qemu.extend([
                "-plugin".to_owned(),
                format!("file={plugin},counts={counts}"),
            ]);
        }
        let mut guest = Guest::boot(&guest::Options {
            kernel: setup.kernel,
            initramfs: &initramfs,
            memory_mib: setup.memory_mib(),
            cpus: 2,
            nics: &[nic],
            slot: setup.slot,
            iommu: setup.iommu,
            disk: (setup.disk_mib > 0).then_some(disk.as_path()),
            resets: setup.resets,
            ssdt: setup.firmware_mac.map(|_| ssdt.as_path()),
            neighbour: setup.neighbour,
            shares: &[],
            loader,
            artifacts,
            sockets: sockets.path(),
            interactive: setup.interactive,
            qemu: &qemu,
            append: setup.append,
        })?;
        let watch = model.as_ref().map(|model| {
            Watch::start(
                &guest.log(guest::CONSOLE),
                model.control_socket(),
                artifacts,
            )
        });
        let peer = listener.map(Socket::accept).transpose()?;
        let device = find_device(&mut guest, &setup.driver)?;
        Ok(Self {
            guest,
            model,
            passt,
            slirp,
            peer,
            http,
            gateway: passt::GATEWAY.to_owned(),
            server: match setup.card {
                None => Some(passt::GATEWAY.to_owned()),
                Some(_) => reach.map(|address| address.to_string()),
            },
            driver: setup.driver.clone(),
            before,
            needs,
            device,
            counts,
            earlier_kernel: 0,
            _watch: watch,
            _sockets: sockets,
        })
    }

    /// The device that the guest has found on its bus.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Where the guest finds what the HTTP server has under `name`.
    pub fn url(&self, name: &str) -> Result<String> {
        let server = self.server.as_ref().ok_or_else(|| {
            Error::Input("the guest cannot reach this machine; see --reach".to_owned())
        })?;
        Ok(format!("http://{server}:{}/{name}", self.http.port()))
    }

    /// The driver under test.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Has the card's neighbour interrupt some hundred times; its module `virtio_rng` must be loaded. Requires that
    /// `interface`, if there is one, is on the same line.
    pub fn interrupt_by_neighbour(&mut self, interface: Option<&str>) -> Result<()> {
        const LINE: &str = "grep virtio /proc/interrupts";
        let before = self.guest.check(LINE)?;
        self.guest.check(
            "for i in $(seq 200); do dd if=/dev/hwrng bs=64 count=1; done >/dev/null 2>&1",
        )?;
        let after = self.guest.check(LINE)?;
        let times = interrupts(&after).saturating_sub(interrupts(&before));
        crate::require!(
            times >= 200 && interface.is_none_or(|interface| after.contains(interface)),
            "the neighbour interrupted {times} times, expected 200 and {interface:?} on its line: {after}"
        );
        Ok(())
    }

    /// Requires that nothing was written to registers of the card while it was in D3, where they are out of reach; for
    /// a card with a neighbour.
    pub fn check_nothing_written_asleep(&mut self) -> Result<()> {
        let path = self.guest.log(guest::INVALID);
        let resource = format!("/sys/bus/pci/devices/{}/resource", self.device.address);
        let bar = self.guest.check(&format!("sed -n 3p {resource}"))?;
        let bar = bar.split_whitespace().next().and_then(parse_hex);
        let bar = bar.ok_or_else(|| Error::Unmet(format!("found no BAR 2 in {resource}")))?;
        let log = fs::read_to_string(&path).map_err(Error::file(&path, "reading"))?;
        let writes = log.lines().filter(|line| {
            let at = line.split_once("write at addr ").map(|(_, rest)| rest);
            let at = at
                .and_then(|rest| rest.split(',').next())
                .and_then(parse_hex);
            at.is_some_and(|at| (bar..bar + 0x1000).contains(&at))
        });
        let writes: Vec<&str> = writes.collect();
        crate::require!(
            writes.is_empty(),
            "the card was written to {} times while it was in D3, expected not once; QEMU says: {}",
            writes.len(),
            writes[0]
        );
        Ok(())
    }

    /// The device model.
    pub fn model(&mut self) -> Result<&mut Model> {
        let model = self.model.as_mut();
        model.ok_or_else(|| Error::Input("this bench has no device model".to_owned()))
    }

    /// What the device model has counted since its start, if there is one.
    pub fn counters(&mut self) -> Result<Option<Counters>> {
        self.model.as_mut().map(Model::counters).transpose()
    }

    /// What the guest's kernel has executed since its start, if that is counted.
    pub fn executed(&self) -> Result<Option<Counts>> {
        self.counts.as_deref().map(Counts::read).transpose()
    }

    /// Loads the modules that the driver needs, then the driver, and looks what became of the device.
    pub fn load(&mut self) -> Result<Loaded> {
        for name in &self.before.clone() {
            self.insert(name)?;
        }
        self.insert(self.driver.name())?;
        self.bound_interface()
    }

    /// What [`Bench::load`] has the guest do, as a script.
    pub fn load_script(&self) -> String {
        let names = self.before.iter().map(String::as_str);
        let commands = names
            .chain([self.driver.name()])
            .map(|name| format!("insmod {MODULES}/{name}.ko\n"));
        commands.collect::<Vec<_>>().concat()
    }

    /// Loads a module that the guest has at hand, and before it those that it depends on and that are not loaded.
    pub fn insert(&mut self, module: &str) -> Result<()> {
        for needed in self.needs.get(module).cloned().unwrap_or_default() {
            let loaded = format!("grep -q '^{needed} ' /proc/modules");
            if self.guest.run(&loaded)?.status != 0 {
                self.insert(&needed)?;
            }
        }
        self.guest
            .check(&format!("insmod {MODULES}/{module}.ko"))
            .map(|_| ())
    }

    /// Unloads the driver.
    pub fn unload(&mut self) -> Result<()> {
        let script = format!("rmmod {}", self.driver.name());
        self.guest.check(&script).map(|_| ())
    }

    /// The interface that the device has now.
    pub fn bound_interface(&mut self) -> Result<Loaded> {
        let address = &self.device.address;
        let script = format!("ls /sys/bus/pci/devices/{address}/net 2>/dev/null");
        let name = self.guest.run(&script)?.text.trim().to_owned();
        Ok(if name.is_empty() {
            Loaded::Refused
        } else {
            Loaded::Interface(name)
        })
    }

    /// [`Bench::load`] for a driver that must accept the device; brings the interface up and waits for
    /// its carrier.
    pub fn load_and_open(&mut self) -> Result<String> {
        let loaded = self.load()?;
        self.open(loaded)
    }

    /// Unloads the driver, loads it again and opens the interface.
    pub fn reload_and_open(&mut self) -> Result<String> {
        let loaded = self.reload()?;
        self.open(loaded)
    }

    /// Unloads the driver and loads it again.
    pub fn reload(&mut self) -> Result<Loaded> {
        self.unload()?;
        self.insert(self.driver.name())?;
        self.bound_interface()
    }

    fn open(&mut self, loaded: Loaded) -> Result<String> {
        match loaded {
            Loaded::Interface(name) => {
                self.guest.check(&format!("ip link set {name} up"))?;
                self.wait_carrier(&name, true)?;
                Ok(name)
            }
            Loaded::Refused => Err(Error::Unmet(format!(
                "{} did not accept the device; the kernel says: {}",
                self.driver.name(),
                self.driver_messages()?.join(" | ")
            ))),
        }
    }

    /// Waits until the interface has carrier, or has none.
    pub fn wait_carrier(&mut self, interface: &str, up: bool) -> Result<()> {
        let expected = u8::from(up);
        let what = format!("carrier {expected} of {interface}");
        let script = format!("test \"$(cat /sys/class/net/{interface}/carrier)\" = {expected}");
        self.guest
            .wait_until(&what, &script, Duration::from_secs(20))
            .map(|_| ())
    }

    /// The kernel messages that name the driver or the device, without their times.
    pub fn driver_messages(&mut self) -> Result<Vec<String>> {
        let log = self.guest.check("dmesg")?;
        let name = self.driver.name();
        Ok(log
            .lines()
            .filter(|line| line.contains(name) || line.contains(&self.device.address))
            .map(|line| line.split_once("] ").map_or(line, |(_, text)| text))
            .map(|line| line.trim().to_owned())
            .collect())
    }

    /// Kernel messages so far that need attention.
    pub fn kernel_problems(&mut self) -> Result<Vec<dmesg::Problem>> {
        let console = self.guest.console()?;
        Ok(dmesg::problems(
            console.get(self.earlier_kernel..).unwrap_or_default(),
        ))
    }

    /// Requires that the kernel has had nothing to complain of, but for messages with one of these texts.
    pub fn only_expected_messages(&mut self, expected: &[&str]) -> Result<()> {
        let problems = self.kernel_problems()?;
        let unexpected = problems
            .iter()
            .find(|problem| !expected.iter().any(|text| problem.line.contains(text)));
        crate::require!(
            unexpected.is_none(),
            "a kernel message needs attention: {unexpected:?}"
        );
        Ok(())
    }

    /// Runs a shell script that ends with the start of another kernel, and waits until that has booted. Whether the one before
    /// had anything to complain of is no longer asked for.
    pub fn boot_by(&mut self, script: &str) -> Result<()> {
        self.guest.boot_by(script)?;
        let console = self.guest.console()?;
        // The greeting of the bootloader or of kexec's purgatory is none: the new kernel's first line has its version.
        self.earlier_kernel = console.rfind("Linux version").unwrap_or_default();
        Ok(())
    }

    /// Has the machine reset, and boots over the network what `setup` says; its driver is the one under test from now on.
    pub fn reboot_into(&mut self, setup: &Setup<'_>) -> Result<()> {
        let (initramfs, before, needs) = initramfs(setup)?;
        self.http.offer("kernel", setup.kernel.image());
        self.http.offer("initramfs", &initramfs);
        self.boot_by("reboot -f")?;
        self.driver = setup.driver.clone();
        (self.before, self.needs) = (before, needs);
        let running = self.guest.check("uname -r")?;
        crate::require!(
            running == setup.kernel.version(),
            "after the reset the guest runs kernel {running}, expected {}",
            setup.kernel.version()
        );
        Ok(())
    }

    /// Pulls the card out of its slot, as the guest agrees to; comes back when it is gone.
    pub fn unplug(&mut self) -> Result<()> {
        let qmp = &mut self.guest.qmp;
        qmp.execute("device_del", &json!({ "id": guest::NIC }))?;
        qmp.wait_event("DEVICE_DELETED", Some(guest::NIC), UNPLUG)
    }

    /// Puts the card into its slot again and waits until the driver has an interface for it; returns that.
    pub fn plug(&mut self) -> Result<String> {
        let socket = self.model()?.socket().to_path_buf();
        let device = guest::model_device(guest::NIC, &socket, Some(guest::SLOT));
        self.guest.qmp.execute("device_add", &device)?;
        let what = "the driver to take the card in its slot";
        wait_for(what, UNPLUG, || match self.bound_interface()? {
            Loaded::Interface(interface) => Ok(Some(interface)),
            Loaded::Refused => Ok(None),
        })
    }

    /// Powers the guest off without asking whether all was well.
    pub fn power_off(self) -> Result<()> {
        self.guest.shut_down()
    }

    /// Powers the guest off; returns what the device model has counted until then.
    pub fn power_off_and_count(mut self) -> Result<Option<Counters>> {
        self.guest.shut_down()?;
        self.model.as_mut().map(Model::counters).transpose()
    }

    /// Requires that neither the kernel nor the device model has anything to complain about, then
    /// takes everything down in order. A kernel that watches itself is asked what it has seen, after
    /// the driver is gone.
    pub fn finish(self) -> Result<()> {
        let known = self.driver.known_violation();
        self.finish_if(|counters| counters.check_clean_but(known))
    }

    /// [`Bench::finish`], with another verdict on what the device model has counted.
    pub fn finish_if(mut self, verdict: impl FnOnce(&Counters) -> Result<()>) -> Result<()> {
        if debug::is_watching(&mut self.guest)? {
            let name = self.driver.name();
            self.guest.check(&format!(
                "if grep -q '^{name} ' /proc/modules; then rmmod {name}; fi"
            ))?;
            debug::require_clean(&mut self.guest)?;
        }
        let problems = self.kernel_problems()?;
        if let Some(first) = problems.first() {
            return Err(Error::Unmet(format!(
                "{} kernel messages need attention, expected none; the first is: {}",
                problems.len(),
                first.line
            )));
        }
        if let Some(passt) = &mut self.passt {
            passt.check_alive()?;
        }
        if let Some(slirp) = &mut self.slirp {
            slirp.check_alive()?;
        }
        let counters = self.counters()?;
        self.guest.shut_down()?;
        if let Some(counters) = counters {
            verdict(&counters)?;
        }
        self.model.map_or(Ok(()), Model::stop)
    }
}

fn parse_hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// How often an interrupt came, by its line in `/proc/interrupts`.
fn interrupts(line: &str) -> u64 {
    let numbers = line.split_whitespace().skip(1).map(str::parse::<u64>);
    numbers.map_while(std::result::Result::ok).sum()
}

/// Removes what an earlier run wrote, which would be mistaken for this one's.
fn forget_logs(artifacts: &Path) -> Result<()> {
    for name in [
        "console.log",
        "qemu.log",
        "passt.log",
        "slirp.log",
        guest::INVALID,
        COUNTS,
        model::LOG,
        model::CAPTURE,
        model::TRACE,
        watch::STATE,
    ] {
        let path = artifacts.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::file(&path, "removing")(error))
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the guest's initramfs; returns it, the modules that are loaded before the driver, and which depend on which.
fn initramfs(setup: &Setup<'_>) -> Result<(PathBuf, Vec<String>, Needs)> {
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

/// Finds the card on the guest's bus and reads its XID before any driver has touched it.
fn find_device(guest: &mut Guest, driver: &Driver) -> Result<Device> {
    let (id, is_chip) = match driver {
        Driver::E1000e => ("0x8086 0x10d3", false),
        Driver::Edu(_) => ("0x1234 0x11e8", false),
        Driver::R8168Rust(_) | Driver::R8168(_) | Driver::R8169 => ("0x10ec 0x8168", true),
    };
    let script = format!(
        "cd /sys/bus/pci/devices; for d in *; do
            [ \"$(cat $d/vendor) $(cat $d/device)\" = \"{id}\" ] && echo $d; done; true"
    );
    let address = guest.check(&script)?;
    if address.is_empty() || address.contains('\n') {
        return Err(Error::Unmet(format!(
            "found {address:?} as PCI devices {id} in the guest, expected exactly one"
        )));
    }
    if !is_chip {
        return Ok(Device { address, xid: None });
    }
    // BAR 2 is the third line of `resource`; TxConfig is at 0x40.
    let script = format!(
        "cd /sys/bus/pci/devices/{address}; echo 1 >enable
        bar=$(sed -n 3p resource | cut -d' ' -f1); devmem $((bar + 0x40)) 32; echo 0 >enable"
    );
    let text = guest.check(&script)?;
    let value = text
        .strip_prefix("0x")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Error::Unmet(format!("found TxConfig {text:?}, expected a number")))?;
    Ok(Device {
        address,
        xid: Some((value >> 20) & 0xfcf),
    })
}
