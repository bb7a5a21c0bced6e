// SPDX-License-Identifier: GPL-2.0

//! Child processes that never outlive the lab, and waits that always end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Calls `probe` until it yields a value; gives up after `limit` and says what was waited for.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            return Err(Error::Timeout {
                what: what.to_owned(),
                after: limit,
                detail: String::new(),
            });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The last `lines` lines of a file, as far as it can be read.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A running program whose output goes to a log file; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no input, its output and errors in `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).map_err(Error::file(log, "creating the log"))?;
        let err = out
            .try_clone()
            .map_err(Error::file(log, "opening the log"))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Self::start_as_is(name, command, log)
    }

    /// Starts `command` with the input and output it was given.
    pub fn start_as_is(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        // SAFETY: the closure runs between fork and exec; prctl is a plain system call that
        // neither allocates nor takes a lock.
        unsafe {
            command.pre_exec(|| {
                // A lab that is killed outright must not leave guests behind.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().map_err(|source| Error::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Fails, with the end of its log, if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(self.ended_badly(status)),
        }
    }

    fn ended_badly(&self, status: ExitStatus) -> Error {
        Error::Ended {
            program: self.name.clone(),
            status: status.to_string(),
            tail: tail(&self.log, 12),
        }
    }

    /// The CPU time that it has used, in user mode and in the kernel.
    pub fn cpu_time(&self) -> Result<Duration> {
        let path = PathBuf::from(format!("/proc/{}/stat", self.child.id()));
        let stat = fs::read_to_string(&path).map_err(Error::file(&path, "reading"))?;
        // SAFETY: a plain question to libc.
        let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        // The name before the bracket may hold anything; utime and stime are fields 14 and 15
        // (proc(5)).
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u32 = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u32>().ok())
            .sum();
        Ok(Duration::from_secs(1) * ticks / u32::try_from(ticks_per_second).unwrap_or(100))
    }

    /// Waits until its log has a line that starts with `prefix`; returns that line.
    pub fn wait_for_line(&mut self, prefix: &str, limit: Duration) -> Result<String> {
        let what = format!("{} to write \"{prefix}...\"", self.name);
        wait_for(&what, limit, || {
            let text = fs::read(&self.log).map_err(Error::file(&self.log, "reading the log"))?;
            let text = String::from_utf8_lossy(&text);
            let found = text.lines().find(|line| line.starts_with(prefix));
            if let Some(line) = found {
                return Ok(Some(line.to_owned()));
            }
            self.check_alive().map(|()| None)
        })
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait_for(&what, limit, || Ok(self.ended()))
    }

    /// Asks it to end (SIGTERM) and requires exit status 0.
    pub fn terminate(&mut self, limit: Duration) -> Result<()> {
        self.check_alive()?;
        let pid = libc::pid_t::try_from(self.child.id())
            .map_err(|_| Error::Input(format!("{} has no valid process id", self.name)))?;
        // SAFETY: the child has not been waited for, so its process id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let status = self.wait(limit)?;
        if status.success() {
            Ok(())
        } else {
            Err(self.ended_badly(status))
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // It may end in between; then there is nothing left to kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a tool of the toolbox to its end and returns what it wrote on standard output.
pub fn output_of(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Start {
            program: program.clone(),
            source,
        })?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Error::Ended {
            program,
            status: output.status.to_string(),
            tail: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
