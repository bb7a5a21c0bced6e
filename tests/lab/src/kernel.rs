// SPDX-License-Identifier: GPL-2.0

//! A stock kernel on disk: its image and its modules.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

use crate::process::output_of;
use crate::{Error, Result};

/// A kernel image and the modules that belong to it.
#[derive(Debug, Clone)]
pub struct Kernel {
    version: String,
    image: PathBuf,
    modules: PathBuf,
    configs: [PathBuf; 2],
}

/// A module, decompressed, with the names of the modules that must be loaded before it.
#[derive(Debug, Clone)]
pub struct Module {
    /// The name as `lsmod` shows it.
    pub name: String,
    /// The ELF object.
    pub object: Vec<u8>,
}

impl Kernel {
    /// Finds kernel `version` under `root`, which is laid out like an unpacked Debian image
    /// package: the image in `boot/` or beside the modules, the modules in `usr/lib/modules` or
    /// `lib/modules`.
    pub fn find(root: &Path, version: &str) -> Result<Self> {
        let homes = [root.join("usr/lib/modules"), root.join("lib/modules")];
        let Some(modules) = homes.iter().map(|home| home.join(version)).find(|dir| {
            // Other packages leave a directory of that name with nothing but links.
            dir.join("kernel").is_dir()
        }) else {
            let mut seen: Vec<String> = homes
                .iter()
                .filter_map(|home| fs::read_dir(home).ok())
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
                .collect();
            seen.sort();
            seen.dedup();
            let seen = if seen.is_empty() {
                "no kernel at all".to_owned()
            } else {
                seen.join(", ")
            };
            return Err(Error::Input(format!(
                "no modules of kernel {version} in {}: found {seen}; name an unpacked kernel package and the version in it",
                root.display()
            )));
        };
        let candidates = [
            modules.join("vmlinuz"),
            root.join(format!("boot/vmlinuz-{version}")),
        ];
        let Some(image) = candidates.iter().find(|path| path.is_file()).cloned() else {
            return Err(Error::Input(format!(
                "no image of kernel {version} in {}: expected {} or {}",
                root.display(),
                candidates[0].display(),
                candidates[1].display()
            )));
        };
        Ok(Self {
            version: version.to_owned(),
            image,
            configs: [
                modules.join("config"),
                root.join(format!("boot/config-{version}")),
            ],
            modules,
        })
    }

    /// The version, as `uname -r` shows it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns whether it is older than a release: for what the kernel itself does otherwise, never
    /// for our driver.
    pub fn is_before(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self
            .version
            .split(['.', '-', '+'])
            .map_while(|number| number.parse().ok());
        (numbers.next(), numbers.next()) < (Some(major), Some(minor))
    }

    /// Returns whether it was built with an option (`CONFIG_X`) as a part of it, by its
    /// configuration in its package.
    pub fn has_built_in(&self, option: &str) -> Result<bool> {
        let [here, boot] = &self.configs;
        let path = if here.is_file() { here } else { boot };
        let config = fs::read_to_string(path).map_err(Error::file(path, "reading"))?;
        Ok(config.lines().any(|line| line == format!("{option}=y")))
    }

    /// The first address at which it may have modules: behind the room for its own code, which is
    /// larger where it may move (`KERNEL_IMAGE_SIZE`).
    pub fn first_module(&self) -> Result<u64> {
        Ok(if self.has_built_in("CONFIG_RANDOMIZE_BASE")? {
            0xffff_ffff_c000_0000
        } else {
            0xffff_ffff_a000_0000
        })
    }

    /// The directory of its modules, as `/lib/modules` has it.
    pub fn directory(&self) -> &Path {
        &self.modules
    }

    /// The bootable image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Reads the named modules and all that they depend on, in the order in which they must be
    /// loaded. A name that is built into the kernel needs no file and is left out.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<Module>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut loader = Loader {
            kernel: self,
            files: self.module_files()?,
            builtin: self.builtin()?,
            done: BTreeSet::new(),
            order: Vec::new(),
        };
        for name in names {
            loader.add(name)?;
        }
        Ok(loader.order)
    }

    fn module_files(&self) -> Result<HashMap<String, PathBuf>> {
        let mut files = HashMap::new();
        let mut pending = vec![self.modules.join("kernel")];
        while let Some(dir) = pending.pop() {
            let reading = "listing the modules";
            for entry in fs::read_dir(&dir).map_err(Error::file(&dir, reading))? {
                let entry = entry.map_err(Error::file(&dir, reading))?;
                let path = entry.path();
                if path.is_dir() {
                    pending.push(path);
                } else if let Some(name) = module_name(&path) {
                    files.insert(name, path);
                }
            }
        }
        Ok(files)
    }

    fn builtin(&self) -> Result<BTreeSet<String>> {
        let path = self.modules.join("modules.builtin");
        let text = fs::read_to_string(&path).map_err(Error::file(&path, "reading"))?;
        Ok(text
            .lines()
            .filter_map(|line| module_name(Path::new(line)))
            .collect())
    }
}

impl Module {
    /// A driver that the kernel does not bring along, from a file that must have been built for it.
    pub fn built(path: &Path, name: &str, kernel: &Kernel) -> Result<Self> {
        let object = read_module(path)?;
        let built_for = modinfo(path, &object, "vermagic")?;
        let built_for = built_for
            .first()
            .and_then(|magic| magic.split(' ').next())
            .unwrap_or_default();
        crate::require!(
            built_for == kernel.version(),
            "{} was built for kernel {built_for}, expected {}: build it against that kernel",
            path.display(),
            kernel.version()
        );
        Ok(Self {
            name: name.to_owned(),
            object,
        })
    }
}

struct Loader<'a> {
    kernel: &'a Kernel,
    files: HashMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    done: BTreeSet<String>,
    order: Vec<Module>,
}

impl Loader<'_> {
    fn add(&mut self, name: &str) -> Result<()> {
        let name = name.replace('-', "_");
        if self.builtin.contains(&name) || !self.done.insert(name.clone()) {
            return Ok(());
        }
        let path = self.files.get(&name).ok_or_else(|| {
            Error::Input(format!(
                "kernel {} has no module {name} in {}",
                self.kernel.version,
                self.kernel.modules.display()
            ))
        })?;
        let object = read_module(path)?;
        for dependency in dependencies(path, &object)? {
            self.add(&dependency)?;
        }
        self.order.push(Module { name, object });
        Ok(())
    }
}

/// The module's name if `path` is a module, compressed or not.
pub fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
        .iter()
        .find_map(|suffix| file.strip_suffix(suffix))?;
    Some(stem.replace('-', "_"))
}

/// Reads a module file and decompresses it by its suffix.
pub fn read_module(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).map_err(Error::file(path, "reading the module")),
    };
    output_of(Command::new(program).arg("-dc").arg(path))
}

/// Returns the modules of the module's own `depends=` line.
pub fn dependencies(path: &Path, object: &[u8]) -> Result<Vec<String>> {
    Ok(modinfo(path, object, "depends")?
        .iter()
        .flat_map(|list| list.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

/// All values of one `.modinfo` field of a module.
pub fn modinfo(path: &Path, object: &[u8], field: &str) -> Result<Vec<String>> {
    let not_a_module = |why: String| {
        Error::Input(format!(
            "{} is not a 64-bit kernel module: {why}",
            path.display()
        ))
    };
    let elf = ElfFile64::<object::Endianness>::parse(object)
        .map_err(|error| not_a_module(error.to_string()))?;
    let section = elf
        .section_by_name(".modinfo")
        .ok_or_else(|| not_a_module("it has no .modinfo section".to_owned()))?;
    let data = section
        .data()
        .map_err(|error| not_a_module(error.to_string()))?;
    Ok(data
        .split(|&byte| byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok())
        .filter_map(|entry| entry.split_once('='))
        .filter(|(key, _)| *key == field)
        .map(|(_, value)| value.to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names_are_those_of_lsmod() {
        let name = |path| module_name(Path::new(path));
        assert_eq!(name("kernel/net/snd-seq.ko.xz").as_deref(), Some("snd_seq"));
        assert_eq!(name("r8169.ko").as_deref(), Some("r8169"));
        assert_eq!(name("a.ko.zst").as_deref(), Some("a"));
        assert_eq!(name("modules.dep"), None);
    }

    #[test]
    fn both_layouts_are_found_and_a_wrong_version_names_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        };
        make("usr/lib/modules/7.0.0/kernel/a.ko");
        make("usr/lib/modules/7.0.0/vmlinuz");
        make("lib/modules/6.0.0/kernel/a.ko");
        make("boot/vmlinuz-6.0.0");
        assert!(Kernel::find(root.path(), "7.0.0").is_ok());
        assert!(Kernel::find(root.path(), "6.0.0").is_ok());
        for (version, config) in [
            ("7.0.0", "usr/lib/modules/7.0.0/config"),
            ("6.0.0", "boot/config-6.0.0"),
        ] {
            let kernel = Kernel::find(root.path(), version).unwrap();
            let error = kernel.has_built_in("CONFIG_A").unwrap_err().to_string();
            assert!(error.contains("boot/config-"), "{error}");
            fs::write(root.path().join(config), "CONFIG_A=y\nCONFIG_B=m\n").unwrap();
            assert!(kernel.has_built_in("CONFIG_A").unwrap());
            assert!(!kernel.has_built_in("CONFIG_B").unwrap());
        }
        let error = Kernel::find(root.path(), "5.0.0").unwrap_err().to_string();
        assert!(error.contains("6.0.0, 7.0.0"), "{error}");
    }

    #[test]
    fn releases_are_in_order() {
        let before = |version: &str, major, minor| {
            let kernel = Kernel {
                version: version.to_owned(),
                modules: PathBuf::new(),
                image: PathBuf::new(),
                configs: Default::default(),
            };
            kernel.is_before(major, minor)
        };
        assert!(before("6.12.107+deb13-amd64", 6, 18));
        assert!(!before("6.18.15+deb13-amd64", 6, 18));
        assert!(!before("7.0.0-44-generic", 6, 18));
    }

    #[test]
    fn something_else_than_a_module_is_named() {
        let error = modinfo(Path::new("x.ko"), b"text", "depends").unwrap_err();
        assert!(error.to_string().starts_with("x.ko is not"), "{error}");
    }
}
