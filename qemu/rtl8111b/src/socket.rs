// SPDX-License-Identifier: GPL-2.0

//! Unix sockets that we listen on: made only where no other server answers, removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;

use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum ClaimError {
    #[error("{path} exists and is no socket", path = .0.display())]
    NotASocket(PathBuf),
    #[error("{path} is in use by another process", path = .0.display())]
    InUse(PathBuf),
    #[error("cannot listen on {path}: {source}", path = .path.display())]
    Host { path: PathBuf, source: io::Error },
}

/// A socket's place in the file system, given up when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Another program may have put something else there since.
        let now = identity(&self.path);
        if now.is_some() && now == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path)
        .ok()
        .map(|meta| (meta.dev(), meta.ino()))
}

/// Listens on `path`. A socket on which no server answers was left behind, and is replaced.
pub(crate) fn claim(path: &Path) -> Result<(UnixListener, Claim), ClaimError> {
    let host = |source| ClaimError::Host {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(ClaimError::NotASocket(path.to_owned()))
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(host)?;
            }
            _ => return Err(ClaimError::InUse(path.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(host(error)),
    }
    let listener = UnixListener::bind(path).map_err(host)?;
    let claim = Claim {
        path: path.to_owned(),
        identity: identity(path),
    };
    Ok((listener, claim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_sockets_are_replaced_and_others_respected() {
        let dir = std::env::temp_dir().join(format!("rtl8111b-socket-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let (listener, first) = claim(&path).unwrap();
        assert!(matches!(claim(&path), Err(ClaimError::InUse(_))));
        drop(listener);
        let (_listener, second) = claim(&path).unwrap();
        std::mem::forget(first);
        // Taken away under our feet: what is there now is not ours to remove.
        fs::remove_file(&path).unwrap();
        let (_other_listener, other) = claim(&path).unwrap();
        drop(second);
        assert!(path.exists());
        drop(other);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(claim(&path), Err(ClaimError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert!(matches!(
            claim(&dir.join("no/such")),
            Err(ClaimError::Host { .. })
        ));
        fs::remove_dir_all(&dir).unwrap();
    }
}
