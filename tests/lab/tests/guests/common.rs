//! What every test here shares: its inputs, its turn, and the logs it leaves behind when it fails.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lab::bench::{Bench, Driver, Setup, World};
use lab::frame::{self, expected_echo, request, Address};
use lab::kernel::Kernel;
use lab::model::{Chip, Model};
use lab::peer::Peer;
use lab::process::wait_for;
use lab::{require, Error, Result};

/// How many guests run now. Most of a test is one CPU of a guest booting or waiting: two cores carry two.
static GUESTS: Mutex<usize> = Mutex::new(0);
static GUEST_LEFT: Condvar = Condvar::new();
const MOST_GUESTS: usize = 2;

/// The right to have a guest running.
struct Turn(usize);

impl Turn {
    /// Waits for `share` of [`MOST_GUESTS`].
    fn take(share: usize) -> Self {
        let guests = GUESTS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guests = GUEST_LEFT
            .wait_while(guests, |guests| *guests + share > MOST_GUESTS)
            .unwrap_or_else(PoisonError::into_inner);
        *guests += share;
        Self(share)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *GUESTS.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        GUEST_LEFT.notify_all();
    }
}

/// How long an echo may take on a busy machine.
pub const ECHO: Duration = Duration::from_secs(10);

/// What the tests are run on.
///
/// | variable | what |
/// |---|---|
/// | `LAB_MODEL` | the device model, `rtl8111b` |
/// | `LAB_MODULE` | `r8168_rust.ko`, built for `LAB_KVER` |
/// | `LAB_EXAMPLE` | `edu_net.ko`, the example for rust/net, built for `LAB_KVER` |
/// | `LAB_KERNEL_DIR`, `LAB_KVER` | the stock kernel to test on |
/// | `LAB_KERNEL61_DIR`, `LAB_KVER61` | Debian 12's kernel, whose r8169 drives the B300 |
/// | `LAB_MODULE_OLDER`, `LAB_KERNEL_OLDER_DIR`, `LAB_KVER_OLDER` | the same for an older series of kernels |
/// | `LAB_MODULE_OLDEST`, `LAB_KERNEL_OLDEST_DIR`, `LAB_KVER_OLDEST` | the same for the oldest series |
/// | `LAB_KERNEL61_MISSING`, `LAB_KERNEL_OLDER_MISSING`, `LAB_KERNEL_OLDEST_MISSING` | why that kernel could not be fetched; tests that need it are skipped |
/// | `LAB_PLUGIN` | the plugin of QEMU that counts instructions, `count.so` |
/// | `LAB_CACHE` | where initramfs images are kept |
/// | `LAB_STORMS`, `LAB_REMOVALS`, `LAB_CHANGES`, `LAB_UNPLUGS` | how often storms reopen, reinsert, resize and unplug; may be unset |
/// | `LAB_PRESSURE` | how long memory is short, in seconds; may be unset |
/// | `LAB_ARTIFACTS` | where failed tests leave their logs |
pub struct Inputs {
    cache: PathBuf,
    /// Where this test leaves its logs.
    pub artifacts: PathBuf,
}

/// A series of kernels besides that of the kernel under test.
#[derive(Clone, Copy)]
pub enum Series {
    /// One between the oldest and the newest.
    Older,
    /// The oldest that the module is built for.
    Oldest,
}

fn variable(name: &str) -> Result<String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(Error::Input(format!(
            "{name} is not set: run the tests by `make test`"
        ))),
    }
}

/// The file that a variable names.
pub fn file(name: &str) -> Result<PathBuf> {
    let path = PathBuf::from(variable(name)?);
    require!(path.is_file(), "{name}: found no file {}", path.display());
    Ok(path)
}

/// Fails with [`Error::Unavailable`] if the variable has a reason why an input is missing.
fn available(name: &str) -> Result<()> {
    match std::env::var(name) {
        Ok(reason) if !reason.is_empty() => Err(Error::Unavailable(reason)),
        _ => Ok(()),
    }
}

/// Notes a skipped test for the summary of `make test`, in the file that `R8168_SKIPS` names.
fn note_skip(name: &str, reason: &str) -> Result<()> {
    println!("SKIPPED {name}: {reason}");
    let Some(path) = std::env::var_os("R8168_SKIPS").map(PathBuf::from) else {
        return Ok(());
    };
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{name}: {reason}"))
        .map_err(Error::file(&path, "noting a skipped test"))
}

/// The number in a variable, or `default` if there is none.
pub fn count(name: &str, default: u32) -> Result<u32> {
    match std::env::var(name).ok().filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(Error::Input(format!(
                "{name} is {value:?}, expected a number above 0"
            ))),
        },
    }
}

/// Says how far a long test is, ten times in all.
pub fn progress(what: &str, time: u32, times: u32) {
    let tenths = |time: u32| time * 10 / times;
    if tenths(time) > tenths(time - 1) {
        println!("  {time} of {times} {what}");
    }
}

impl Inputs {
    /// The kernel under test.
    pub fn kernel(&self) -> Result<Kernel> {
        let dir = PathBuf::from(variable("LAB_KERNEL_DIR")?);
        Kernel::find(&dir, &variable("LAB_KVER")?)
    }

    /// The kernel of another series, and our driver built for it.
    pub fn of(&self, series: Series) -> Result<(Kernel, Driver)> {
        let name = match series {
            Series::Older => "OLDER",
            Series::Oldest => "OLDEST",
        };
        available(&format!("LAB_KERNEL_{name}_MISSING"))?;
        let dir = PathBuf::from(variable(&format!("LAB_KERNEL_{name}_DIR"))?);
        let kernel = Kernel::find(&dir, &variable(&format!("LAB_KVER_{name}"))?)?;
        let driver = file(&format!("LAB_MODULE_{name}")).map(Driver::R8168Rust)?;
        Ok((kernel, driver))
    }

    /// Debian 12's kernel.
    pub fn kernel61(&self) -> Result<Kernel> {
        available("LAB_KERNEL61_MISSING")?;
        let dir = PathBuf::from(variable("LAB_KERNEL61_DIR")?);
        Kernel::find(&dir, &variable("LAB_KVER61")?)
    }

    /// The device model.
    pub fn model(&self) -> Result<PathBuf> {
        file("LAB_MODEL")
    }

    /// Our driver.
    pub fn ours(&self) -> Result<Driver> {
        file("LAB_MODULE").map(Driver::R8168Rust)
    }

    /// The example for rust/net.
    pub fn example(&self) -> Result<Driver> {
        file("LAB_EXAMPLE").map(Driver::Edu)
    }

    /// The usual set-up for tests, with `passt` as the world and a short transfer.
    pub fn setup<'a>(
        &'a self,
        kernel: &'a Kernel,
        model: &'a Path,
        chip: Chip,
        driver: Driver,
    ) -> Setup<'a> {
        Setup {
            pcap: true,
            megabytes: 16,
            ..Setup::new(kernel, model, chip, driver, &self.cache, &self.artifacts)
        }
    }

    /// A set-up with the lab at the far end of the wire and the echo in the guest.
    pub fn frames<'a>(
        &'a self,
        kernel: &'a Kernel,
        model: &'a Path,
        chip: Chip,
        driver: Driver,
    ) -> Setup<'a> {
        Setup {
            world: World::Frames,
            echo: Some(Path::new(env!("CARGO_BIN_EXE_guest-echo"))),
            megabytes: 1,
            ..self.setup(kernel, model, chip, driver)
        }
    }
}

/// Runs one test, perhaps beside another; keeps its logs if it fails.
pub fn case(name: &str, body: impl FnOnce(&Inputs) -> Result<()>) {
    run(name, Turn::take(1), body);
}

/// The same for a test that needs the machine to itself: it measures, or keeps both cores busy.
pub fn case_alone(name: &str, body: impl FnOnce(&Inputs) -> Result<()>) {
    run(name, Turn::take(MOST_GUESTS), body);
}

fn run(name: &str, _turn: Turn, body: impl FnOnce(&Inputs) -> Result<()>) {
    let start = Instant::now();
    let outcome = inputs(name).and_then(|inputs| {
        let outcome = body(&inputs);
        let artifacts = &inputs.artifacts;
        if outcome.is_ok() && artifacts.exists() {
            fs::remove_dir_all(artifacts).map_err(Error::file(artifacts, "removing"))?;
        } else if !matches!(outcome, Ok(()) | Err(Error::Unavailable(_))) {
            let console = lab::process::tail(&artifacts.join("console.log"), 20);
            eprintln!("the end of the guest's console:\n{console}");
            eprintln!("console, logs and capture are in {}", artifacts.display());
        }
        outcome
    });
    let outcome = match outcome {
        Err(Error::Unavailable(reason)) => note_skip(name, &reason),
        outcome => outcome,
    };
    println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    if let Err(error) = outcome {
        panic!("{name}: {error}");
    }
}

fn inputs(name: &str) -> Result<Inputs> {
    let cache = PathBuf::from(variable("LAB_CACHE")?);
    let artifacts = PathBuf::from(variable("LAB_ARTIFACTS")?).join(name);
    // Logs of an earlier run would be mistaken for this one's.
    if artifacts.exists() {
        fs::remove_dir_all(&artifacts).map_err(Error::file(&artifacts, "removing"))?;
    }
    Ok(Inputs { cache, artifacts })
}

/// The guest's station address, as bytes.
pub fn guest_address() -> Result<Address> {
    frame::parse_address(Model::MAC)
        .ok_or_else(|| Error::Input(format!("{} is no address", Model::MAC)))
}

/// The far end of a bench whose world is frames.
pub fn peer(bench: &mut Bench) -> Result<&mut Peer> {
    let peer = bench.peer.as_mut();
    peer.ok_or_else(|| Error::Input("this bench has no peer".to_owned()))
}

/// Starts the echo in the guest, to last as long as the guest.
pub fn start_echo(bench: &mut Bench, interface: &str) -> Result<()> {
    let script = format!("guest-echo {interface} >/run/echo.log 2>&1 &");
    bench.guest.check(&script)?;
    bench
        .guest
        .wait_until("the echo to begin", "grep -q echoing /run/echo.log", ECHO)
        .map(|_| ())
}

/// Sends `frame` and returns the echo of just that length and sender, or none in time.
pub fn exchange(bench: &mut Bench, frame: &[u8], limit: Duration) -> Result<Option<Vec<u8>>> {
    let peer = peer(bench)?;
    peer.send(frame)?;
    let end = Instant::now() + limit;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        match peer.receive(left)? {
            Some(echo) if echo.get(..6) == frame.get(6..12) => return Ok(Some(echo)),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

/// One marked frame must be echoed despite the background flood; it is sent again when it is lost.
pub fn echo_returns(bench: &mut Bench, time: u32) -> Result<()> {
    let guest = guest_address()?;
    // Late echoes of the one before have another length.
    let frame = request(guest, 1000 + time as usize % 500, time);
    for _ in 0..20 {
        if let Some(echo) = exchange(bench, &frame, ECHO / 10)? {
            require!(
                echo == expected_echo(&frame, guest),
                "frame {time} came back changed"
            );
            return Ok(());
        }
    }
    Err(Error::Timeout {
        what: format!("the echo of frame {time}"),
        after: ECHO * 2,
        detail: String::new(),
    })
}

/// How long TCP may take to recover from an interruption.
const TRAFFIC: Duration = Duration::from_secs(30);

/// Starts TCP both ways, as much as there is room for, until [`end_tcp`]; an interruption does not end it.
pub fn start_tcp(bench: &mut Bench) -> Result<()> {
    let url = bench.url("")?;
    // Without a limit one direction starves the other for seconds.
    bench
        .guest
        .check(&format!(
            "head -c 4194304 /dev/urandom >/tmp/upload
            loop() {{ while test ! -e /run/enough; do \"$@\" >/dev/null 2>&1 || sleep 0.1; done; }}
            loop curl -sf -m 2 --limit-rate 5M -o /dev/null {url}body &
            loop curl -sf -m 2 --limit-rate 5M -T /tmp/upload {url}storm &"
        ))
        .map(|_| ())
}

/// Waits until TCP flows both ways, which it does when its timers allow.
pub fn wait_tcp(bench: &mut Bench, when: &str) -> Result<()> {
    let is_bulk = |bytes: u64, frames: u64| frames > 100 && bytes > 200 * frames;
    let before = bench.model()?.counters()?;
    let what = format!("TCP to flow both ways {when}");
    wait_for(&what, TRAFFIC, || {
        let seen = bench.model()?.counters()?.since(&before);
        let flows =
            is_bulk(seen.tx_bytes, seen.tx_frames) && is_bulk(seen.rx_bytes, seen.rx_frames);
        Ok(flows.then_some(()))
    })
}

/// Ends what [`start_tcp`] began.
pub fn end_tcp(bench: &mut Bench) -> Result<()> {
    bench
        .guest
        .check("touch /run/enough; killall curl 2>/dev/null; sleep 0.5")
        .map(|_| ())
}

/// Requires that the kernel has had nothing to complain of, but for messages with one of these texts.
pub fn only_expected_messages(bench: &mut Bench, expected: &[&str]) -> Result<()> {
    let problems = bench.kernel_problems()?;
    let unexpected = problems
        .iter()
        .find(|problem| !expected.iter().any(|text| problem.line.contains(text)));
    require!(
        unexpected.is_none(),
        "a kernel message needs attention: {unexpected:?}"
    );
    Ok(())
}
