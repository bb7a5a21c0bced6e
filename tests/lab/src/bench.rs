// SPDX-License-Identifier: GPL-2.0

//! A whole set-up: wire, device model and guest, with the driver to be loaded.

mod neighbour;

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::guest::{self, Guest};
use crate::http::HttpServer;
use crate::initramfs::MODULES;
use crate::instructions::Counts;
use crate::ipxe;
use crate::machine::{self, Loader, Nic};
use crate::model::{self, Counters, Model};
use crate::passt::{self, Passt};
use crate::peer::{Peer, Socket};
use crate::process::wait_for;
use crate::setup::{initramfs, Driver, Needs, Network, Setup};
use crate::slirp::Slirp;
use crate::trunk::Trunk;
use crate::watch::{self, Watch};
use crate::{acpi, debug, dmesg, namespace, Error, Result};

/// The file in which the plugin counts, among the artifacts.
const COUNTS: &str = "counts";

/// The time that a card may take to go, or to come.
const UNPLUG: Duration = Duration::from_secs(60);

/// The outcome of loading the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// It drives the device, as this interface.
    Interface(String),
    /// It is loaded and has left the device alone.
    Refused,
}

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
    /// The gateway's address, which is pinged.
    pub gateway: String,
    /// The HTTP server's host as the guest knows it, if the guest can reach it.
    server: Option<String>,
    driver: Driver,
    before: Vec<String>,
    needs: Needs,
    device: Device,
    /// The file in which the plugin counts, if there is one.
    counts: Option<PathBuf>,
    /// The length of the console's part that is of a kernel that is no longer there, in bytes.
    earlier_kernel: usize,
    _watch: Option<Watch>,
    // Last, so that it is removed after the programs that use it have ended.
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
        let mut wire = match setup.network {
            Network::Internet if setup.card.is_some() => PathBuf::new(),
            Network::Internet => match &setup.netboot {
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
            Network::Frames => listener
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
                    phy_id: setup.phy_id,
                    wire: model::Wire::Connect(&wire),
                    identity: model::Identity::port(0).with_mac(setup.mac),
                    // iPXE has four receive descriptors, and no time to lose.
                    prompt_acks: setup.netboot.is_some(),
                    pcap: setup.pcap,
                    snaplen: None,
                    trace: setup.trace,
                    drop_when_full: setup.drop_when_full,
                    negotiation: setup.negotiation,
                    command_time: setup.command_time,
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
            let modules = if setup.modules_only {
                format!(",modules={:#x}", setup.kernel.first_module()?)
            } else {
                String::new()
            };
            qemu.extend([
                "-plugin".to_owned(),
                format!("file={plugin},counts={counts}{modules}"),
            ]);
        }
        if let Some(low) = setup.low_memory_mib {
            let below = format!("max-ram-below-4g={low}M");
            qemu.extend(["-machine".to_owned(), below]);
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

    /// Returns where the guest finds what the HTTP server has under `name`.
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

    /// The device model.
    pub fn model(&mut self) -> Result<&mut Model> {
        let model = self.model.as_mut();
        model.ok_or_else(|| Error::Input("this bench has no device model".to_owned()))
    }

    /// Asks for the counters of the device model since its start, if there is one.
    pub fn counters(&mut self) -> Result<Option<Counters>> {
        self.model.as_mut().map(Model::counters).transpose()
    }

    /// The file in which the plugin counts, if there is one; see [`crate::instructions`].
    pub fn counts_file(&self) -> Option<&Path> {
        self.counts.as_deref()
    }

    /// Returns the instructions of the guest's kernel since its start, if they are counted.
    pub fn executed(&self) -> Result<Option<Counts>> {
        self.counts.as_deref().map(Counts::read).transpose()
    }

    /// Loads the modules that the driver needs, then the driver, and returns the state of the
    /// device.
    pub fn load(&mut self) -> Result<Loaded> {
        for name in &self.before.clone() {
            self.insert(name)?;
        }
        self.insert(self.driver.name())?;
        self.bound_interface()
    }

    /// Returns the commands of [`Bench::load`], as a script.
    pub fn load_script(&self) -> String {
        let names = self.before.iter().map(String::as_str);
        let commands = names
            .chain([self.driver.name()])
            .map(|name| format!("insmod {MODULES}/{name}.ko\n"));
        commands.collect::<Vec<_>>().concat()
    }

    /// Loads a module that the guest has at hand, and before it those that it depends on and that
    /// are not loaded.
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

    /// [`Bench::load`] for a driver that must accept the device; brings the interface up and waits
    /// for its carrier.
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

    /// Requires that the kernel has had nothing to complain of, but for messages with one of these
    /// texts.
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

    /// Runs a shell script that ends with the start of another kernel, and waits until that has
    /// booted. Whether the one before had anything to complain of is no longer asked for.
    pub fn boot_by(&mut self, script: &str) -> Result<()> {
        self.guest.boot_by(script)?;
        let console = self.guest.console()?;
        // The greeting of the bootloader or of kexec's purgatory is none: the new kernel's first
        // line has its version.
        self.earlier_kernel = console.rfind("Linux version").unwrap_or_default();
        Ok(())
    }

    /// Has the machine reset, and boots over the network what `setup` says; its driver is the one
    /// under test from now on.
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
        qmp.execute("device_del", &json!({ "id": machine::NIC }))?;
        qmp.wait_event("DEVICE_DELETED", Some(machine::NIC), UNPLUG)
    }

    /// Puts the card into its slot again and waits until the driver has an interface for it;
    /// returns that.
    pub fn plug(&mut self) -> Result<String> {
        let socket = self.model()?.socket().to_path_buf();
        let device = machine::model_device(machine::NIC, &socket, Some(guest::SLOT));
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
    /// takes everything down in order. A kernel that watches itself is asked what it has seen,
    /// after the driver is gone.
    pub fn finish(self) -> Result<()> {
        let known = self.driver.known_violations();
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

/// Removes what an earlier run wrote, which would be mistaken for this one's.
fn forget_logs(artifacts: &Path) -> Result<()> {
    for name in [
        "console.log",
        "qemu.log",
        "passt.log",
        "slirp.log",
        guest::INVALID,
        guest::REGISTERS,
        guest::STATE,
        COUNTS,
        model::LOG,
        model::CAPTURE,
        model::TRACE,
        model::TRACE_BEFORE,
        model::STATE,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_run_leaves_no_evidence() {
        let dir = tempfile::tempdir().unwrap();
        let evidence = [
            "model.trace.before",
            "model-state.json",
            "registers.txt",
            "guest-state.txt",
        ];
        for name in evidence.iter().chain(&["notes"]) {
            fs::write(dir.path().join(name), "").unwrap();
        }
        forget_logs(dir.path()).unwrap();
        let left = evidence.map(|name| dir.path().join(name).exists());
        assert_eq!(left, [false; 4]);
        assert!(dir.path().join("notes").exists());
    }
}
