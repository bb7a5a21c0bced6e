// SPDX-License-Identifier: GPL-2.0

//! Runs the kernel's own selftests in a guest with emulated ports, and judges what they say.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::initramfs::sha256;
use crate::kernel::Kernel;
use crate::ktap::{self, Case, Outcome};
use crate::model::Chip;
use crate::ports::{self, Ports};
use crate::setup::Driver;
use crate::{namespace, require, Error, Result};

/// The way in which a test is given its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One port, its far end in a namespace.
    Endpoint,
    /// This many ports, named on its command line.
    Ports(usize),
}

/// One of the kernel's selftests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Its file, below the selftests' directory.
    pub file: String,
    /// The way in which it gets its ports.
    pub way: Way,
    /// The time that it may take.
    pub limit: Duration,
}

/// The tests to run and what is known of them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The tests, in their order.
    pub tests: Vec<Test>,
    /// The reasons why a case, by file and name, fails without the driver's doing. In a name `*` is
    /// for anything.
    pub excuses: BTreeMap<(String, String), String>,
    /// The preparation of a test, by its file: a shell command.
    pub before: BTreeMap<String, String>,
}

/// The time that a test may take unless the plan says otherwise.
const USUAL: Duration = Duration::from_secs(180);

/// The time beyond its limit in which a test's guest must have ended it.
const SPARE: Duration = Duration::from_secs(60);

impl Plan {
    /// Reads a plan; `name` is its file's, for messages.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut plan = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            if !line.is_empty() {
                plan.add(line)
                    .map_err(|why| Error::Input(format!("{name}, line {}: {why}", number + 1)))?;
            }
        }
        Ok(plan)
    }

    fn add(&mut self, line: &str) -> std::result::Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["test", file, way, rest @ ..] if rest.len() < 2 => {
                let way = match *way {
                    "endpoint" => Way::Endpoint,
                    "two" => Way::Ports(2),
                    "four" => Way::Ports(4),
                    other => {
                        return Err(format!("found way {other}, expected endpoint, two or four"))
                    }
                };
                let limit = match rest {
                    [] => USUAL,
                    [seconds, ..] => Duration::from_secs(
                        seconds
                            .parse()
                            .map_err(|_| format!("found {seconds}, expected seconds"))?,
                    ),
                };
                self.tests.push(Test {
                    file: (*file).to_owned(),
                    way,
                    limit,
                });
                Ok(())
            }
            ["fails", ..] => {
                let parts: Vec<&str> = line["fails".len()..].split(" | ").map(str::trim).collect();
                let [file, case, reason] = parts.as_slice() else {
                    return Err("expected `fails FILE | CASE | REASON`".to_owned());
                };
                let key = ((*file).to_owned(), (*case).to_owned());
                self.excuses.insert(key, (*reason).to_owned());
                Ok(())
            }
            ["before", file, "|", ..] => {
                let command = line.split_once(" | ").map_or("", |(_, command)| command);
                self.before.insert((*file).to_owned(), command.to_owned());
                Ok(())
            }
            _ => Err("expected `test FILE WAY [SECONDS]`, `before FILE | COMMAND` or `fails FILE | CASE | REASON`".to_owned()),
        }
    }

    /// Keeps the tests whose file contains one of the words; all if there are none.
    pub fn keep(&mut self, words: &[String]) -> Result<()> {
        if words.is_empty() {
            return Ok(());
        }
        self.tests
            .retain(|test| words.iter().any(|word| test.file.contains(word.as_str())));
        require!(
            !self.tests.is_empty(),
            "no selftest in the list contains any of: {}",
            words.join(" ")
        );
        Ok(())
    }

    /// Returns why this case fails without the driver's doing, if that is known.
    fn excuse(&self, file: &str, case: &str) -> Option<&String> {
        let excuses = self.excuses.iter();
        let mut of_file = excuses.filter(|((of, _), _)| of == file);
        of_file
            .find(|((_, name), _)| matches(name, case))
            .map(|(_, reason)| reason)
    }

    /// The longest that the tests can take, one after another.
    pub fn limit(&self) -> Duration {
        self.tests.iter().map(|test| test.limit + SPARE).sum()
    }
}

/// Returns whether `text` is as `pattern`, in which `*` is for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let mut ends = text
                .char_indices()
                .map(|(index, _)| index)
                .chain([text.len()]);
            ends.any(|index| matches(rest, &text[index..]))
        }),
    }
}

/// The places of everything.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The device model's program.
    pub model: &'a Path,
    /// The Debian environment that the tests run in.
    pub root: &'a Path,
    /// The selftests, as their own Makefile installs them.
    pub tests: &'a Path,
    /// Tests of our own, which are `r8168_rust/...` in a plan.
    pub ours: &'a Path,
    /// The cache for initramfs images.
    pub cache: &'a Path,
    /// The directory in which logs are written.
    pub artifacts: PathBuf,
    /// The chip.
    pub chip: Chip,
    /// The driver.
    pub driver: Driver,
}

/// The known results of another driver, kept from one run to the next.
#[derive(Debug)]
pub struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// Opens the results below `cache` of runs in which everything that `setup` names was the same.
    pub fn open(cache: &Path, setup: &Setup<'_>) -> Result<Self> {
        let model =
            std::fs::read(setup.model).map_err(Error::file(setup.model, "reading the model"))?;
        let mut same = format!(
            "{} {} {} {} {} ",
            setup.kernel.version(),
            setup.driver.name(),
            setup.chip.name(),
            setup.root.display(),
            setup.tests.display()
        );
        for file in GUEST_FILES {
            same.push_str(&sha256(file.1));
        }
        let reading = Error::file(setup.ours, "reading our tests");
        let ours = std::fs::read_dir(setup.ours).map_err(reading)?;
        let mut ours: Vec<PathBuf> = ours.flatten().map(|entry| entry.path()).collect();
        ours.sort();
        for path in ours {
            let content = std::fs::read(&path).map_err(Error::file(&path, "reading"))?;
            same.push_str(&sha256(&content));
        }
        same.push_str(&sha256(&model));
        let directory = cache.join(&sha256(same.as_bytes())[..12]);
        std::fs::create_dir_all(&directory).map_err(Error::file(&directory, "creating"))?;
        Ok(Self { directory })
    }

    fn path(&self, plan: &Plan, test: &Test) -> PathBuf {
        let run = format!("{:?} {:?}", test.way, plan.before.get(&test.file));
        let key = &sha256(run.as_bytes())[..12];
        let name = format!("{}-{key}.json", test.file.replace('/', "-"));
        self.directory.join(name)
    }

    /// The cases of a test of `plan`, if they were kept.
    pub fn get(&self, plan: &Plan, test: &Test) -> Option<Vec<Case>> {
        serde_json::from_slice(&std::fs::read(self.path(plan, test)).ok()?).ok()
    }

    /// Keeps the cases of a test of `plan`.
    pub fn put(&self, plan: &Plan, test: &Test, cases: &[Case]) -> Result<()> {
        let saving = "keeping the reference driver's results";
        let path = self.path(plan, test);
        let file = tempfile::NamedTempFile::new_in(&self.directory)
            .map_err(Error::file(&self.directory, saving))?;
        serde_json::to_writer(&file, cases)
            .map_err(|error| Error::file(&path, saving)(error.into()))?;
        file.persist(&path)
            .map_err(|error| Error::file(&path, saving)(error.error))?;
        Ok(())
    }
}

/// The outcomes of the cases of each test, by its file.
pub type Results = BTreeMap<String, Vec<Case>>;

/// The commands that set the guest up.
const GUEST_FILES: [(&str, &[u8]); 4] = [
    (
        "/usr/bin/selftest-ethtool",
        include_bytes!("../guest/ethtool"),
    ),
    (
        "/usr/bin/selftest-root",
        include_bytes!("../guest/selftest-root"),
    ),
    (
        "/usr/bin/selftest-ports",
        include_bytes!("../guest/selftest-ports"),
    ),
    ("/usr/bin/mtools", include_bytes!("../guest/mtools")),
];
const PAIRS: u8 = 2;
const MEMORY_MIB: u32 = 1536;

/// A report of progress.
#[derive(Debug)]
pub enum Event<'a> {
    /// A test begins.
    Begins(&'a Test),
    /// It has ended, with these cases.
    Ended(&'a Test, &'a [Case]),
}

/// The name of the case that stands for a guest that answers no more.
const GUEST: &str = "(guest)";

/// Returns whether a test with these cases has ended.
pub fn is_complete(cases: &[Case]) -> bool {
    !ktap::was_ended(cases) && cases.iter().all(|case| case.name != GUEST)
}

/// The number of guests that share the tests: most of a test is waiting.
const GUESTS: usize = 2;

/// Runs the tests, in a few guests at a time.
pub fn run(
    setup: &Setup<'_>,
    plan: &Plan,
    report: impl FnMut(Event<'_>) -> Result<()> + Send,
) -> Result<()> {
    namespace::prepare()?;
    let (queue, report) = (Mutex::new(plan.tests.iter()), Mutex::new(report));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let report = |event: Event<'_>| (report.lock().unwrap_or_else(PoisonError::into_inner))(event);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..GUESTS.min(plan.tests.len()))
            .map(|number| scope.spawn(move || run_some(setup, number, plan, &next, &report)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Runs tests as long as there are some, in one guest as long as that answers and no test had to be
/// ended: then it is replaced for the next.
fn run_some<'a>(
    setup: &Setup<'_>,
    number: usize,
    plan: &Plan,
    next: &impl Fn() -> Option<&'a Test>,
    report: &impl Fn(Event<'_>) -> Result<()>,
) -> Result<()> {
    let mut guest = None;
    while let Some(test) = next() {
        report(Event::Begins(test))?;
        let (ports, names) = match &mut guest {
            Some(guest) => guest,
            None => guest.insert(boot(setup, number)?),
        };
        let before = plan.before.get(&test.file).map_or("", String::as_str);
        let cases = match run_one(ports, setup, test, before, names) {
            Ok(cases) => cases,
            Err(error) => {
                guest = None;
                vec![Case {
                    name: GUEST.to_owned(),
                    outcome: Outcome::Fail,
                    reason: error.to_string().replace('\n', " | "),
                }]
            }
        };
        if ktap::was_ended(&cases) {
            guest = None;
        }
        report(Event::Ended(test, &cases))?;
    }
    match guest {
        Some((ports, _)) => ports.finish(),
        None => Ok(()),
    }
}

/// A guest with the driver loaded, and the names of its ports.
fn boot(setup: &Setup<'_>, number: usize) -> Result<(Ports, Vec<String>)> {
    let artifacts = setup.artifacts.join(format!("guest{number}"));
    let modules = setup.kernel.directory();
    let mut ports = Ports::start(&ports::Setup {
        kernel: setup.kernel,
        model: setup.model,
        chip: setup.chip,
        driver: setup.driver.clone(),
        pairs: PAIRS,
        more_modules: &["virtio_pci", "9p", "9pnet_virtio", "overlay"],
        more_files: &GUEST_FILES,
        shares: &[
            ("root", setup.root),
            ("tests", setup.tests),
            ("ours", setup.ours),
            ("modules", modules),
        ],
        memory_mib: MEMORY_MIB,
        cache: setup.cache,
        artifacts: &artifacts,
    })?;
    ports
        .guest
        .check_within("selftest-root", ports::MODULES_LIMIT)?;
    let names = ports.load(&setup.driver)?;
    Ok((ports, names))
}

fn run_one(
    ports: &mut Ports,
    setup: &Setup<'_>,
    test: &Test,
    prelude: &str,
    names: &[String],
) -> Result<Vec<Case>> {
    let before = ports.kernel_problems()?.len();
    let (prepare, arguments) = match test.way {
        Way::Endpoint => (format!("endpoint {} {}", names[0], names[1]), String::new()),
        Way::Ports(count) => {
            let ports = names[..count].join(" ");
            (format!("loose {ports}"), ports)
        }
    };
    in_root(ports, &format!("selftest-ports {prepare}"), USUAL)?;
    let (directory, file) = test.file.rsplit_once('/').unwrap_or((".", &test.file));
    let seconds = test.limit.as_secs();
    let script = format!(
        "export NETIF={} LOCAL_V4=192.0.2.1 LOCAL_V6=2001:db8::1 REMOTE_V4=192.0.2.2 REMOTE_V6=2001:db8::2
        export REMOTE_TYPE=netns REMOTE_ARGS=peer KSFT_MACHINE_SLOW=yes PYTHONDONTWRITEBYTECODE=1 NO_COLOR=1
        export NETIF_NO_CABLE={}
        {prelude}
        cd /selftests/{directory}; timeout -k 10 {seconds} ./{file} {arguments}",
        names[0], names[3]
    );
    let output = in_root(ports, &script, test.limit + SPARE)?;
    let log = setup
        .artifacts
        .join(format!("{}.log", test.file.replace('/', "-")));
    std::fs::write(&log, &output.text).map_err(Error::file(&log, "writing"))?;
    let mut cases = ktap::read(&test.file, &output.text, output.status);
    // The kernel's complaint belongs to the test that brought it on, and no driver may cause one.
    if let Some(problem) = ports.kernel_problems()?.get(before) {
        cases.push(Case {
            name: "(kernel log)".to_owned(),
            outcome: Outcome::Fail,
            reason: problem.line.clone(),
        });
    }
    if let Err(error) = chips_are_content(ports, &setup.driver) {
        cases.push(Case {
            name: "(chip)".to_owned(),
            outcome: Outcome::Fail,
            reason: error.to_string(),
        });
    }
    Ok(cases)
}

/// Requires that since the last test the driver did nothing that silicon would refuse or do wrong.
fn chips_are_content(ports: &mut Ports, driver: &Driver) -> Result<()> {
    // That is asked of ours; of one that is in use everywhere it is known what it does.
    let ours = matches!(driver, Driver::R8168Rust(_));
    for counters in ports.take_counters()? {
        if ours {
            counters.check_clean()?;
        }
    }
    Ok(())
}

/// Runs a shell script in the tests' root.
fn in_root(ports: &mut Ports, script: &str, limit: Duration) -> Result<crate::channel::Output> {
    let script = format!(
        "cat >/r/tmp/command <<'END-OF-COMMAND'\n{script}\nEND-OF-COMMAND\n\
        chroot /r /usr/bin/env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin HOME=/root TERM=dumb LANG=C.UTF-8 bash /tmp/command"
    );
    ports.guest.run_within(&script, limit)
}

/// Judges a case of ours beside the reference driver's and the plan's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Fine,
    /// It fails for a reason that is known and does not lie in the driver; the reference driver
    /// fails too.
    Excused(String),
    /// It fails, and tests/selftests.conf does not explain it.
    Unexplained(&'static str),
    /// The plan explains a failure that is not there.
    Stale,
}

/// Judges one case.
pub fn judge(plan: &Plan, file: &str, case: &Case, reference: Option<&Case>) -> Verdict {
    let excuse = plan.excuse(file, &case.name);
    let reference_fails = reference.is_some_and(|reference| reference.outcome == Outcome::Fail);
    match (case.outcome, excuse) {
        (Outcome::Fail, None) => Verdict::Unexplained("tests/selftests.conf does not explain this"),
        (Outcome::Fail, Some(_)) if !reference_fails => {
            Verdict::Unexplained("r8169 does not fail, so this is for the driver to mend")
        }
        (Outcome::Fail, Some(reason)) => Verdict::Excused(reason.clone()),
        (_, Some(_)) => Verdict::Stale,
        (_, None) => Verdict::Fine,
    }
}

/// One line for a case, and further ones for a failure.
pub fn line(case: &Case, reference: Option<&Case>, verdict: &Verdict) -> String {
    let mut text = format!(
        "  {:5} | {:5}  {}",
        case.outcome,
        reference.map_or("-", |case| case.outcome.name()),
        case.name
    );
    if !case.reason.is_empty() {
        let _ = write!(text, ": {}", case.reason);
    }
    match verdict {
        Verdict::Fine => {}
        Verdict::Excused(reason) => {
            let _ = write!(text, "\n        known: {reason}");
        }
        Verdict::Unexplained(why) => {
            let _ = write!(text, "\n        UNEXPLAINED: {why}");
        }
        Verdict::Stale => {
            text.push_str("\n        the list says that it fails, and here it does not");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(outcome: Outcome) -> Case {
        Case {
            name: "c".to_owned(),
            outcome,
            reason: String::new(),
        }
    }

    #[test]
    fn a_plan_is_read_and_its_mistakes_are_named() {
        let text =
            "# x\ntest a/b.py endpoint\ntest c.sh four 20\nfails a/b.py | c d | no rmon # y\nbefore c.sh | a | b\n";
        let plan = Plan::parse("list", text).unwrap();
        assert_eq!(plan.tests[0].limit, USUAL);
        assert_eq!(plan.tests[1].way, Way::Ports(4));
        assert_eq!(plan.tests[1].limit, Duration::from_secs(20));
        let key = ("a/b.py".to_owned(), "c d".to_owned());
        assert_eq!(plan.excuses[&key], "no rmon");
        assert_eq!(plan.before["c.sh"], "a | b");
        let error = Plan::parse("list", "\ntest a three")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "list, line 2: found way three, expected endpoint, two or four"
        );
    }

    #[test]
    fn only_a_failure_that_is_explained_and_shared_is_excused() {
        let plan = Plan::parse("list", "fails f | c | why").unwrap();
        let none = Plan::default();
        let pass = case(Outcome::Pass);
        let fail = case(Outcome::Fail);
        let judged = |plan, ours, reference| judge(plan, "f", ours, Some(reference));
        assert_eq!(judged(&none, &pass, &fail), Verdict::Fine);
        assert!(matches!(
            judged(&none, &fail, &fail),
            Verdict::Unexplained(_)
        ));
        assert!(matches!(
            judged(&plan, &fail, &pass),
            Verdict::Unexplained(_)
        ));
        assert_eq!(
            judged(&plan, &fail, &fail),
            Verdict::Excused("why".to_owned())
        );
        assert_eq!(judged(&plan, &pass, &fail), Verdict::Stale);
        let many = Plan::parse("list", "fails f | c* | why").unwrap();
        assert_eq!(
            judged(&many, &fail, &fail),
            Verdict::Excused("why".to_owned())
        );
        assert_eq!(many.excuse("f", "another"), None);
        let middle = Plan::parse("list", "fails f | a.*_b_* | why").unwrap();
        assert!(middle.excuse("f", "a.hw_b_c").is_some());
        assert!(middle.excuse("f", "a._b_").is_some());
        assert_eq!(middle.excuse("f", "a.hw_c_b"), None);
        assert_eq!(many.excuse("g", "c"), None);
    }
}
