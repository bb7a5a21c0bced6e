// SPDX-License-Identifier: GPL-2.0

//! The guest's root file system: busybox, a few tools, the modules that a test asks for.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use cpio::newc::{trailer, Builder, ModeFileType};
use sha2::{Digest, Sha256};

use crate::kernel::Module;
use crate::{Error, Result};

/// Programs of the toolbox that every guest has, with the shared libraries that they load.
const TOOLS: [&str; 4] = [
    "/usr/sbin/ethtool",
    "/usr/bin/ip",
    "/usr/bin/iperf3",
    "/usr/bin/curl",
];

/// The directory in which the guest keeps its modules.
pub const MODULES: &str = "/modules";

/// The file in which the guest has the hashes of its files, if it has them.
pub const SUMS: &str = "/etc/sums";

/// The number of images that the cache keeps.
const KEPT: usize = 16;

/// A file system tree in memory, written out as a cpio archive.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Tree {
    /// A tree with the init script, busybox and the tools.
    pub fn base() -> Result<Self> {
        let mut tree = Self::default();
        tree.add("/init", 0o755, include_bytes!("../guest/init").to_vec());
        tree.add(
            "/etc/prelude",
            0o644,
            include_bytes!("../guest/prelude").to_vec(),
        );
        tree.add(
            "/etc/udhcpc",
            0o755,
            include_bytes!("../guest/udhcpc").to_vec(),
        );
        tree.add_program(Path::new("/usr/bin/busybox"), "/bin/busybox")?;
        for tool in TOOLS {
            let name = tool.rsplit('/').next().unwrap_or(tool);
            tree.add_program(Path::new(tool), &format!("/usr/bin/{name}"))?;
        }
        Ok(tree)
    }

    /// Adds a file with the given permissions.
    pub fn add(&mut self, path: &str, permissions: u32, content: Vec<u8>) {
        self.files
            .insert(path.to_owned(), (0o100_000 | permissions, content));
    }

    /// Adds modules under [`MODULES`].
    pub fn add_modules(&mut self, modules: &[Module]) {
        for module in modules {
            let path = format!("{MODULES}/{}.ko", module.name);
            self.add(&path, 0o644, module.object.clone());
        }
    }

    /// Adds the files of a directory, each at its path below that.
    pub fn add_directory(&mut self, top: &Path) -> Result<()> {
        let mut pending = vec![top.to_path_buf()];
        while let Some(dir) = pending.pop() {
            let listing = "listing a directory";
            for entry in fs::read_dir(&dir).map_err(Error::file(&dir, listing))? {
                let path = entry.map_err(Error::file(&dir, listing))?.path();
                let metadata = fs::metadata(&path).map_err(Error::file(&path, "reading"))?;
                if metadata.is_dir() {
                    pending.push(path);
                    continue;
                }
                let content = fs::read(&path).map_err(Error::file(&path, "reading"))?;
                let below = path.strip_prefix(top).unwrap_or(&path);
                let permissions = metadata.permissions().mode() & 0o777;
                self.add(&format!("/{}", below.display()), permissions, content);
            }
        }
        Ok(())
    }

    /// Adds [`SUMS`] of all files so far, for `sha256sum -c`.
    pub fn add_sums(&mut self) {
        let mut sums = String::new();
        for (path, (_, content)) in &self.files {
            sums.push_str(&format!("{}  {path}\n", sha256(content)));
        }
        self.add(SUMS, 0o644, sums.into_bytes());
    }

    /// Adds a program and the shared libraries that it is linked to.
    pub fn add_program(&mut self, program: &Path, destination: &str) -> Result<()> {
        let content = fs::read(program).map_err(|source| Error::Start {
            program: program.display().to_string(),
            source,
        })?;
        self.add(destination, 0o755, content);
        for library in libraries(program)? {
            let path = library.display().to_string();
            if !self.files.contains_key(&path) {
                let content =
                    fs::read(&library).map_err(Error::file(&library, "reading the library"))?;
                self.add(&path, 0o755, content);
            }
        }
        Ok(())
    }

    /// Writes the archive into the cache unless the same content is there already.
    ///
    /// The archive is made beside its final name and renamed, so that an interrupted run leaves no
    /// half-made image behind.
    pub fn cached(&self, cache: &Path) -> Result<PathBuf> {
        fs::create_dir_all(cache).map_err(Error::file(cache, "creating the cache"))?;
        let path = cache.join(format!("{}.cpio", self.key()));
        // The time says which images are in use: those that have not been for the longest time go.
        let used = fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|image| image.set_modified(SystemTime::now()));
        if used.is_ok() {
            return Ok(path);
        }
        let saving = "writing the initramfs";
        let mut file =
            tempfile::NamedTempFile::new_in(cache).map_err(Error::file(cache, saving))?;
        self.write(&mut io::BufWriter::new(&mut file))
            .map_err(Error::file(&path, saving))?;
        file.persist(&path)
            .map_err(|error| Error::file(&path, saving)(error.error))?;
        prune(cache)?;
        Ok(path)
    }

    fn key(&self) -> String {
        let mut hash = Sha256::new();
        for (path, (mode, content)) in &self.files {
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update(mode.to_le_bytes());
            hash.update(content.len().to_le_bytes());
            hash.update(content);
        }
        hex(&hash.finalize()[..16])
    }

    fn write(&self, mut out: &mut dyn Write) -> io::Result<()> {
        let mut inode = 1;
        let mut entry = |name: &str, mode: u32| {
            inode += 1;
            // Archive names have no leading slash: the kernel unpacks them relative to its root.
            Builder::new(name.trim_start_matches('/'))
                .ino(inode)
                .mode(mode)
                .nlink(1)
        };
        let mut made = std::collections::BTreeSet::new();
        for (path, (mode, content)) in &self.files {
            for (at, _) in path.match_indices('/').skip(1) {
                if made.insert(path[..at].to_owned()) {
                    let dir = entry(&path[..at], 0o755).set_mode_file_type(ModeFileType::Directory);
                    out = dir.write(out, 0).finish()?;
                }
            }
            let size = u32::try_from(content.len()).map_err(io::Error::other)?;
            let mut file = entry(path, *mode).write(out, size);
            file.write_all(content)?;
            out = file.finish()?;
        }
        if made.insert("/dev".to_owned()) {
            let dir = entry("/dev", 0o755).set_mode_file_type(ModeFileType::Directory);
            out = dir.write(out, 0).finish()?;
        }
        let console = entry("/dev/console", 0o600)
            .set_mode_file_type(ModeFileType::Char)
            .rdev_major(5)
            .rdev_minor(1);
        out = console.write(out, 0).finish()?;
        trailer(out)?.flush()
    }
}

/// The shared libraries of a program, the dynamic loader among them, as `ldd` finds them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .map_err(|source| Error::Start {
            program: "ldd".to_owned(),
            source,
        })?;
    if !output.status.success() {
        // ldd's only way to say that a program is static.
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        return Err(Error::Input(format!(
            "{} needs a library that the toolbox lacks: {}",
            program.display(),
            missing.trim()
        )));
    }
    Ok(text
        .lines()
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// Removes the images that were not used for the longest time, beyond [`KEPT`].
fn prune(dir: &Path) -> Result<()> {
    let listing = "listing the cache";
    let mut images = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::file(dir, listing))? {
        let entry = entry.map_err(Error::file(dir, listing))?;
        if entry
            .path()
            .extension()
            .is_none_or(|suffix| suffix != "cpio")
        {
            continue;
        }
        // Another run may remove it between the two calls; then it needs no pruning.
        if let Ok(modified) = entry.metadata().and_then(|data| data.modified()) {
            images.push((modified, entry.path()));
        }
    }
    images.sort();
    let surplus = images.len().saturating_sub(KEPT);
    for (_, path) in images.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

/// The SHA-256 of `bytes` in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_lists_directories_before_their_files() {
        let mut tree = Tree::default();
        tree.add("/a/b/c", 0o644, b"content".to_vec());
        let mut archive = Vec::new();
        tree.write(&mut archive).unwrap();
        let mut names = Vec::new();
        let mut reader = &archive[..];
        loop {
            let entry = cpio::newc::Reader::new(reader).unwrap();
            if entry.entry().is_trailer() {
                break;
            }
            names.push(entry.entry().name().to_owned());
            reader = entry.finish().unwrap();
        }
        assert_eq!(names, ["a", "a/b", "a/b/c", "dev", "dev/console"]);
    }

    #[test]
    fn the_cache_is_keyed_by_content() {
        let cache = tempfile::tempdir().unwrap();
        let image = |content: &[u8]| {
            let mut tree = Tree::default();
            tree.add("/file", 0o644, content.to_vec());
            tree.cached(cache.path()).unwrap()
        };
        assert_eq!(image(b"one"), image(b"one"));
        assert_ne!(image(b"one"), image(b"two"));
    }

    #[test]
    fn what_was_used_last_stays_in_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        let image = |content: usize| {
            let mut tree = Tree::default();
            tree.add("/file", 0o644, content.to_le_bytes().to_vec());
            let path = tree.cached(cache.path()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
            path
        };
        let first = image(0);
        for other in 1..2 * KEPT {
            image(other);
            assert_eq!(image(0), first);
        }
        assert!(first.exists());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), KEPT);
    }
}
