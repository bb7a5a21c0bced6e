// SPDX-License-Identifier: GPL-2.0

//! Reads what the kernel's selftests print: KTAP of the Python ones, `TEST: name [ OK ]` of the
//! shell ones.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The outcome of a test case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It passed.
    Pass,
    /// It failed.
    Fail,
    /// It was not run, or not to its end, for a reason that it gives.
    Skip,
    /// It failed and says itself that this was to be expected here.
    Xfail,
}

impl Outcome {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "FAIL",
            Outcome::Skip => "skip",
            Outcome::Xfail => "xfail",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// A test case and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its name, without that of its file.
    pub name: String,
    /// The outcome.
    pub outcome: Outcome,
    /// Its explanation; may be empty.
    pub reason: String,
}

/// The name of the case that a test is by itself.
const WHOLE: &str = "(whole)";
/// The exit status by which a selftest says that it was skipped.
const SKIPPED: i32 = 4;
/// Begins what a Python test says about a comparison that does not hold.
const CHECK: &str = "Check failed";
/// The exit statuses of `timeout`: of what it has ended, and of what did not let itself be ended.
const TIMED_OUT: [i32; 2] = [124, 137];
/// The explanation.
const TIME_WAS_UP: &str = "its time was up";

/// The test cases in the output of the selftest `file`. One that reports none is a case by itself;
/// one that ends badly although all its cases were well has one more, which says so.
pub fn read(file: &str, output: &str, status: i32) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut said = String::new();
    for line in output.lines() {
        if let Some(case) = ktap(file, line, &said).or_else(|| shell(line)) {
            cases.push(case);
            said.clear();
        } else if let Some(text) = remark(line) {
            // Of exceptions the last says what happened; a check that failed comes before what
            // follows from it.
            if is_the_point(text) && !said.starts_with(CHECK) {
                said = text.to_owned();
            }
        } else if let (Some(case), Some(text)) = (cases.last_mut(), line.strip_prefix('\t')) {
            // A shell test says what was wrong in the line below.
            if case.reason.is_empty() {
                case.reason = text.trim().to_owned();
            }
        }
    }
    let failed = cases.iter().any(|case| case.outcome == Outcome::Fail);
    if cases.is_empty()
        || TIMED_OUT.contains(&status)
        || (status != 0 && status != SKIPPED && !failed)
    {
        cases.push(whole(output, status));
    }
    cases
}

/// Returns whether the test that has these cases had to be ended, so that what it had set up is
/// still there.
pub fn was_ended(cases: &[Case]) -> bool {
    cases.iter().any(|case| case.reason == TIME_WAS_UP)
}

/// `ok 1 ping.test_v4 # SKIP reason` or `not ok ...`.
fn ktap(file: &str, line: &str, said: &str) -> Option<Case> {
    let (good, rest) = match line.strip_prefix("ok ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("not ok ")?),
    };
    let (_, rest) = rest.split_once(' ')?;
    let (name, directive) = match rest.split_once(" # ") {
        Some((name, directive)) => (name, directive),
        None => (rest, ""),
    };
    let stem = file.rsplit('/').next().unwrap_or(file);
    let stem = stem.split('.').next().unwrap_or(stem);
    let name = name.strip_prefix(stem).unwrap_or(name);
    let (word, reason) = directive.split_once(' ').unwrap_or((directive, ""));
    let outcome = match word {
        "SKIP" => Outcome::Skip,
        "XFAIL" => Outcome::Xfail,
        _ if good => Outcome::Pass,
        _ => Outcome::Fail,
    };
    let said = said.strip_prefix("Exception|").unwrap_or(said);
    let reason = match (outcome, reason) {
        (Outcome::Fail, "") => said,
        (_, reason) => reason,
    };
    Some(Case {
        name: name.trim_start_matches('.').to_owned(),
        outcome,
        reason: reason.trim().to_owned(),
    })
}

/// `TEST: name   [ OK ]`.
fn shell(line: &str) -> Option<Case> {
    let (name, mark) = line.strip_prefix("TEST: ")?.rsplit_once('[')?;
    // A test that gives up halfway has no result for that but "OK".
    if let Some(reason) = name.strip_prefix("SKIP: ") {
        return Some(Case {
            name: WHOLE.to_owned(),
            outcome: Outcome::Skip,
            reason: reason.trim().to_owned(),
        });
    }
    let outcome = match mark.trim_end_matches(']').trim() {
        "OK" => Outcome::Pass,
        "FAIL" => Outcome::Fail,
        "SKIP" => Outcome::Skip,
        "XFAIL" => Outcome::Xfail,
        _ => return None,
    };
    Some(Case {
        name: name.trim().to_owned(),
        outcome,
        reason: String::new(),
    })
}

/// The text of a diagnostic line.
fn remark(line: &str) -> Option<&str> {
    line.strip_prefix("# ").map(str::trim)
}

/// Of what a failing Python test says, the line that names the failure.
fn is_the_point(text: &str) -> bool {
    text.starts_with(CHECK)
        || text.starts_with("Exception|   STDERR: ")
        || (text.contains(": ") && is_an_exception(text))
}

fn is_an_exception(text: &str) -> bool {
    let head = text.strip_prefix("Exception|").unwrap_or(text).trim_start();
    let name = head.split(':').next().unwrap_or_default();
    !name.is_empty()
        && !name.contains(' ')
        && (name.ends_with("Error")
            || name.ends_with("Exception")
            || name.ends_with("Failure")
            || name.ends_with("Ex"))
}

fn whole(output: &str, status: i32) -> Case {
    let outcome = match status {
        0 => Outcome::Pass,
        SKIPPED => Outcome::Skip,
        _ => Outcome::Fail,
    };
    let last = output
        .lines()
        .map(|line| line.trim_start_matches("# ").trim())
        .filter(|line| !line.is_empty())
        .next_back()
        .unwrap_or_default();
    let last = last.strip_prefix("SKIP: ").unwrap_or(last);
    Case {
        name: WHOLE.to_owned(),
        outcome,
        reason: match status {
            0 => String::new(),
            _ if TIMED_OUT.contains(&status) => TIME_WAS_UP.to_owned(),
            SKIPPED => last.to_owned(),
            status => format!("status {status}: {last}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, outcome: Outcome, reason: &str) -> Case {
        Case {
            name: name.to_owned(),
            outcome,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn ktap_is_read_with_its_reasons() {
        let output = "TAP version 13\n1..3\nok 1 ping.test_v4\n\
            ok 2 ping.test_v6 # SKIP Test requires IPv6 connectivity\n\
            # Exception| Traceback (most recent call last):\n\
            # Exception| net.lib.py.utils.CmdExitFailure: Command failed: ping\n\
            not ok 3 ping.test_tcp\nok 4 gro.sw.ipv4 # XFAIL no\n\
            # Totals: pass:1 fail:1 xfail:1 xpass:0 skip:1 error:0\n";
        let expected = [
            case("test_v4", Outcome::Pass, ""),
            case("test_v6", Outcome::Skip, "Test requires IPv6 connectivity"),
            case(
                "test_tcp",
                Outcome::Fail,
                "net.lib.py.utils.CmdExitFailure: Command failed: ping",
            ),
            case("gro.sw.ipv4", Outcome::Xfail, "no"),
        ];
        assert_eq!(read("drivers/net/ping.py", output, 1), expected);
    }

    #[test]
    fn shell_tests_are_read_with_their_reasons() {
        let output = "INFO: x\nTEST: force speed 10 on both ends      [ OK ]\n\
            TEST: ping                      [FAIL]\n\tno reply\nTEST: b  [SKIP]\n\
            TEST: SKIP: no loopback     [ OK ]\n";
        let expected = [
            case("force speed 10 on both ends", Outcome::Pass, ""),
            case("ping", Outcome::Fail, "no reply"),
            case("b", Outcome::Skip, ""),
            case("(whole)", Outcome::Skip, "no loopback"),
        ];
        assert_eq!(read("ethtool.sh", output, 1), expected);
    }

    #[test]
    fn a_bad_end_is_a_case_of_its_own() {
        let skipped = read("a.sh", "SKIP: jq not installed\n", 4);
        assert_eq!(
            skipped,
            [case("(whole)", Outcome::Skip, "jq not installed")]
        );
        let crashed = read("a.py", "ok 1 a.b\nTraceback\nTypeError: no\n", 1);
        assert_eq!(
            crashed[1],
            case("(whole)", Outcome::Fail, "status 1: TypeError: no")
        );
        let late = read("a.py", "ok 1 a.b\n", 124);
        assert_eq!(late[1], case("(whole)", Outcome::Fail, "its time was up"));
    }
}
