// SPDX-License-Identifier: GPL-2.0

//! The errors of the lab, each reported in one line.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The result of everything the lab does.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure, worded so that its one line says what was found, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be used.
    #[error("{}: {action} failed: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The attempt.
        action: &'static str,
        /// The reason why it failed.
        source: io::Error,
    },

    /// An input (argument, environment variable, file the caller named) is missing or wrong.
    #[error("{0}")]
    Input(String),

    /// An input could not be fetched, for this reason; a test that needs it is skipped.
    #[error("not available: {0}")]
    Unavailable(String),

    /// A program of the toolbox could not be started.
    #[error("cannot start {program}: {source}; is this running inside the toolbox?")]
    Start {
        /// The program.
        program: String,
        /// The reason.
        source: io::Error,
    },

    /// A program ended when it should have been running, or ended badly.
    #[error("{program} ended unexpectedly ({status}); the end of its log:\n{tail}")]
    Ended {
        /// The program.
        program: String,
        /// Its exit status.
        status: String,
        /// The last lines that it wrote.
        tail: String,
    },

    /// Something did not happen in time.
    #[error("waited {} s for {what}, without success{}", after.as_secs(), detail)]
    Timeout {
        /// The event that was waited for.
        what: String,
        /// The time for which it was waited.
        after: Duration,
        /// The observation instead, with its own punctuation; may be empty.
        detail: String,
    },

    /// A command in the guest ended with a status other than 0.
    #[error("in the guest, `{command}` ended with status {status}: {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: i32,
        /// Its output.
        output: String,
    },

    /// The guest is gone: it panicked, powered off or was killed.
    #[error("the guest ended during `{during}`; {cause}")]
    GuestGone {
        /// The command that was running.
        during: String,
        /// The cause by the console.
        cause: String,
    },

    /// A peer broke a protocol.
    #[error("{peer} answered out of protocol: {what}")]
    Protocol {
        /// The peer.
        peer: &'static str,
        /// The message that was received.
        what: String,
    },

    /// Something was measured and is not what it must be.
    #[error("{0}")]
    Unmet(String),
}

impl Error {
    /// Wraps an I/O error together with the file it is about.
    pub fn file(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::File {
            path,
            action,
            source,
        }
    }
}

/// Returns [`Error::Unmet`] with the message unless the condition holds.
#[macro_export]
macro_rules! require {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Error::Unmet(format!($($message)+)));
        }
    };
}
