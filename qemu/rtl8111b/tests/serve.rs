// SPDX-License-Identifier: GPL-2.0

//! The program as a user meets it: one line that names the cause, and a status.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("rtl8111b-serve-{name}-{}", std::process::id()))
}

fn serve(name: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rtl8111b"))
        .arg("serve")
        .arg("--socket")
        .arg(socket(name))
        .args(arguments)
        .output()
        .unwrap()
}

/// The disk is full, or the directory is not there: that is reported before anything is served.
#[test]
fn a_trace_that_cannot_be_written_is_reported_at_once() {
    for (name, path, cause) in [
        ("full", "/dev/full", "No space left on device"),
        (
            "missing",
            "/nonexistent/run.trace",
            "No such file or directory",
        ),
    ] {
        let output = serve(name, &["--trace", path]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(output.stdout.is_empty(), "it is not ready");
        let line = format!("rtl8111b: cannot write the trace {path}: {cause}");
        assert!(
            text.starts_with(&line) && text.lines().count() == 1,
            "{text}"
        );
        assert!(!socket(name).exists(), "the socket is left behind");
    }
}
