// SPDX-License-Identifier: GPL-2.0

//! `lab boots`: the same guest booted again and again, to see how often a kernel does not reach its
//! first program.
//!
//! The machine is the one that every test has, made by the same code. Other machines can be booted
//! in turn with it: what changes on the host in the meantime changes for all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::guest::{self, Guest, CONSOLE};
use crate::initramfs::Tree;
use crate::kernel::Kernel;
use crate::machine::{Loader, Nic};
use crate::model::{self, Chip, Model, Wire};
use crate::peer::Socket;
use crate::{dmesg, Error, Result};

/// Main memory of the guests, as most tests have it.
const MEMORY_MIB: u32 = 640;

/// A machine to boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name in the table.
    pub name: String,
    /// Arguments for QEMU, which overrule the lab's.
    pub qemu: Vec<String>,
    /// Arguments for the kernel, after the lab's.
    pub append: String,
}

impl Machine {
    /// The machine that the tests boot.
    pub fn of_the_lab() -> Self {
        Self {
            name: "the lab's".to_owned(),
            ..Self::default()
        }
    }

    /// Reads `NAME=QEMU ARGUMENTS -- KERNEL ARGUMENTS`; either kind of argument may be missing.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let (name, arguments) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty() && !name.contains('/'))
            .ok_or_else(|| {
                format!("found {text:?}, expected NAME=QEMU-ARGUMENTS -- KERNEL-ARGUMENTS")
            })?;
        let mut words = arguments.split_whitespace().map(str::to_owned);
        let qemu = words.by_ref().take_while(|word| word != "--").collect();
        let append: Vec<String> = words.collect();
        Ok(Self {
            name: name.to_owned(),
            qemu,
            append: append.join(" "),
        })
    }
}

/// The kernel to boot, and how often.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The device model's program.
    pub model: &'a Path,
    /// The chip that it emulates.
    pub chip: Chip,
    /// The machines, which take turns.
    pub machines: &'a [Machine],
    /// The number of times that each is booted.
    pub count: usize,
    /// The number of guests that run at once.
    pub guests: usize,
    /// Says whether each guest has only one processor of the host.
    pub pin: bool,
    /// The time that a boot may take.
    pub limit: Duration,
    /// The cache for initramfs images.
    pub cache: &'a Path,
    /// The directory in which the logs of boots that failed are kept.
    pub artifacts: &'a Path,
}

/// The end of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The first program ran after this time.
    Init(Duration),
    /// Time was up, and the kernel had neither reached its first program nor complained.
    Hang,
    /// Anything else, such as a panic.
    Failure(String),
}

/// One boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The number of the machine, from 0.
    pub machine: usize,
    /// The number of times that the machine had been booted before.
    pub number: usize,
    /// Its end.
    pub ending: Ending,
}

/// Boots all machines in turn; calls `seen` after each boot.
pub fn run(setup: &Setup<'_>, seen: impl Fn(&Boot) + Sync) -> Result<Vec<Boot>> {
    let tree = Tree::base()?;
    let next = AtomicUsize::new(0);
    let boots = Mutex::new(Vec::new());
    let total = setup.count * setup.machines.len();
    let work = |guest: usize| -> Result<()> {
        if setup.pin {
            pin(guest)?;
        }
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= total {
                return Ok(());
            }
            let (number, machine) = (turn / setup.machines.len(), turn % setup.machines.len());
            // Each time: the cache drops an image that nothing has asked for while other tests made
            // theirs.
            let initramfs = tree.cached(setup.cache)?;
            let ending = boot(setup, &initramfs, machine, number)?;
            let boot = Boot {
                machine,
                number,
                ending,
            };
            seen(&boot);
            boots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(boot);
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..setup.guests)
            .map(|guest| scope.spawn(move || work(guest)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(Error::Unmet("a boot panicked".to_owned())))
        })
    })?;
    Ok(boots.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Boots one machine. Only what is no business of the guest's is an error.
fn boot(setup: &Setup<'_>, initramfs: &Path, machine: usize, number: usize) -> Result<Ending> {
    let chosen = &setup.machines[machine];
    let artifacts = setup
        .artifacts
        .join(format!("{}-{number}", file_name(&chosen.name)));
    if artifacts.exists() {
        fs::remove_dir_all(&artifacts).map_err(Error::file(&artifacts, "removing"))?;
    }
    fs::create_dir_all(&artifacts).map_err(Error::file(&artifacts, "creating"))?;
    let sockets = tempfile::Builder::new()
        .prefix("lab-")
        .tempdir()
        .map_err(Error::file(&std::env::temp_dir(), "making a directory"))?;
    let wire = Socket::listen(sockets.path())?;
    let model = Model::start(&model::Options {
        program: setup.model,
        chip: setup.chip,
        xid: None,
        phy_id: None,
        wire: Wire::Connect(wire.path()),
        identity: model::Identity::port(0),
        prompt_acks: false,
        pcap: false,
        snaplen: None,
        trace: false,
        drop_when_full: false,
        negotiation: None,
        command_time: None,
        artifacts: &artifacts,
        sockets: sockets.path(),
    })?;
    let start = Instant::now();
    let booted = Guest::boot_within(
        &guest::Options {
            kernel: setup.kernel,
            initramfs,
            memory_mib: MEMORY_MIB,
            cpus: 2,
            nics: &[Nic::Model(model.socket().to_path_buf())],
            slot: None,
            iommu: false,
            neighbour: false,
            disk: None,
            resets: false,
            ssdt: None,
            shares: &[],
            loader: Loader::Qemu,
            artifacts: &artifacts,
            sockets: sockets.path(),
            interactive: false,
            qemu: &chosen.qemu,
            append: &chosen.append,
        },
        setup.limit,
    );
    let took = start.elapsed();
    match booted {
        Ok(guest) => {
            guest.switch_off()?;
            model.stop()?;
            if let Some(line) = wrong_clock(&artifacts.join(CONSOLE)) {
                return Ok(Ending::Failure(line));
            }
            fs::remove_dir_all(&artifacts).map_err(Error::file(&artifacts, "removing"))?;
            Ok(Ending::Init(took))
        }
        Err(error @ (Error::File { .. } | Error::Start { .. } | Error::Input(_))) => Err(error),
        Err(error) => Ok(judge(&error, &artifacts.join(CONSOLE))),
    }
}

/// The message by which a kernel says that it will count time wrongly: stalls are reported later.
fn wrong_clock(console: &Path) -> Option<String> {
    let text = fs::read(console).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .find(|line| line.contains("PIT calibration deviates"))
        .map(str::to_owned)
}

/// Distinguishes a hang from another failure.
fn judge(error: &Error, console: &Path) -> Ending {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let silent = !text.contains("Run /init") && dmesg::problems(&text).is_empty();
    if matches!(error, Error::Timeout { .. }) && silent {
        Ending::Hang
    } else {
        Ending::Failure(error.to_string())
    }
}

/// Lets the calling thread, and what it starts, run only on one processor of those that it may run
/// on.
fn pin(guest: usize) -> Result<()> {
    // SAFETY: the sets are plain memory of the size that is given; both calls concern the calling
    // thread.
    let done = unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        let size = std::mem::size_of_val(&allowed);
        if libc::sched_getaffinity(0, size, &mut allowed) != 0 {
            -1
        } else {
            let bits = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
            let usable: Vec<usize> = (0..bits)
                .filter(|&cpu| libc::CPU_ISSET(cpu, &allowed))
                .collect();
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(usable[guest % usable.len()], &mut one);
            libc::sched_setaffinity(0, size, &one)
        }
    };
    if done == 0 {
        Ok(())
    } else {
        Err(Error::Unmet(format!(
            "cannot choose a processor: {}",
            std::io::Error::last_os_error()
        )))
    }
}

fn file_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

/// The table: a line for each machine.
pub fn table(machines: &[Machine], boots: &[Boot]) -> String {
    let width = machines
        .iter()
        .map(|machine| machine.name.chars().count())
        .max()
        .unwrap_or(0)
        .max("machine".len());
    let mut text = format!(
        "{:width$}  {:>6} {:>6} {:>9} {:>12} {:>8} {:>8}\n",
        "machine", "boots", "hangs", "failures", "median, s", "90 %", "max"
    );
    for (number, machine) in machines.iter().enumerate() {
        let endings: Vec<&Ending> = boots
            .iter()
            .filter(|boot| boot.machine == number)
            .map(|boot| &boot.ending)
            .collect();
        let count =
            |wanted: fn(&Ending) -> bool| endings.iter().filter(|ending| wanted(ending)).count();
        let hangs = count(|ending| matches!(ending, Ending::Hang));
        let failures = count(|ending| matches!(ending, Ending::Failure(_)));
        let mut times: Vec<f64> = endings
            .iter()
            .filter_map(|ending| match ending {
                Ending::Init(time) => Some(time.as_secs_f64()),
                Ending::Hang | Ending::Failure(_) => None,
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |tenths: usize| match times.len() {
            0 => "-".to_owned(),
            length => format!("{:.1}", times[(length - 1) * tenths / 10]),
        };
        text.push_str(&format!(
            "{:width$}  {:>6} {hangs:>6} {failures:>9} {:>12} {:>8} {:>8}\n",
            machine.name,
            endings.len(),
            at(5),
            at(9),
            at(10)
        ));
    }
    text
}

/// Returns where the logs of a boot that failed are.
pub fn logs(artifacts: &Path, machine: &Machine, boot: &Boot) -> PathBuf {
    artifacts.join(format!("{}-{}", file_name(&machine.name), boot.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read_from_one_argument() {
        let machine = Machine::parse("one CPU=-smp 1 -- tsc=reliable quiet").unwrap();
        assert_eq!(machine.name, "one CPU");
        assert_eq!(machine.qemu, ["-smp", "1"]);
        assert_eq!(machine.append, "tsc=reliable quiet");
        let machine = Machine::parse("HPET=-machine hpet=on").unwrap();
        assert_eq!(machine.qemu, ["-machine", "hpet=on"]);
        assert_eq!(machine.append, "");
        for wrong in ["-smp 1", "=-smp 1", "a/b=-smp 1"] {
            assert!(Machine::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_machine() {
        let machines = [Machine::of_the_lab(), Machine::parse("HPET=").unwrap()];
        let boot = |machine, ending| Boot {
            machine,
            number: 0,
            ending,
        };
        let init = |seconds| Ending::Init(Duration::from_secs(seconds));
        let boots = [
            boot(0, init(9)),
            boot(0, init(5)),
            boot(0, init(7)),
            boot(1, Ending::Hang),
            boot(1, Ending::Failure("panic".to_owned())),
        ];
        let table = table(&machines, &boots);
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[1],
            ["the", "lab's", "3", "0", "0", "7.0", "7.0", "9.0"]
        );
        assert_eq!(lines[2], ["HPET", "2", "1", "1", "-", "-", "-"]);
    }

    #[test]
    fn a_hang_is_told_from_other_failures() {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join(CONSOLE);
        let timeout = Error::Timeout {
            what: "boot".to_owned(),
            after: Duration::from_secs(1),
            detail: String::new(),
        };
        fs::write(&console, "[    2.069972] vgaarb: loaded\n").unwrap();
        assert_eq!(judge(&timeout, &console), Ending::Hang);
        let other = Error::Unmet("no".to_owned());
        assert!(matches!(judge(&other, &console), Ending::Failure(_)));
        fs::write(&console, "[    5.582733] Run /init as init process\n").unwrap();
        assert!(matches!(judge(&timeout, &console), Ending::Failure(_)));
    }
}
