// SPDX-License-Identifier: GPL-2.0

//! Boots over the emulated card: iPXE as its option ROM, as a kernel and as an application of UEFI,
//! and EDK2's own PXE.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::{command_line, Loader};
use crate::passt::GATEWAY;
use crate::{require, Error, Result};

/// The script that iPXE fetches by TFTP.
pub const BOOT_FILE: &str = "boot.ipxe";
/// The name of the file that EDK2 fetches by TFTP.
const NBP: &str = "nbp.efi";
/// A script that iPXE looks for where it has come from itself.
const AUTOEXEC: &str = "autoexec.ipxe";

/// The place where Debian has iPXE as the option ROM of the RTL8139, with the same driver.
pub const ROM: &str = "/usr/share/qemu/pxe-rtl8139.rom";

/// EDK2, the firmware, as it is for virtual machines (OVMF).
#[derive(Debug, Clone)]
pub struct Uefi {
    /// The code.
    pub code: PathBuf,
    /// Its variables as they are in a new machine.
    pub variables: PathBuf,
}

impl Uefi {
    /// Returns the files of Debian's package `ovmf`, unpacked in `dir`.
    pub fn in_package(dir: &Path) -> Self {
        let file = |name: &str| dir.join("usr/share/OVMF").join(name);
        Self {
            code: file("OVMF_CODE_4M.fd"),
            variables: file("OVMF_VARS_4M.fd"),
        }
    }

    /// The same with variables of its own, in `dir`, which a machine may change.
    pub fn with_own_variables(&self, dir: &Path) -> Result<Self> {
        let variables = dir.join("variables.fd");
        // A copy would keep the permissions of a file that may be read only.
        let bytes = fs::read(&self.variables).map_err(Error::file(
            &self.variables,
            "reading the firmware's variables",
        ))?;
        write(&variables, &bytes)?;
        Ok(Self {
            code: self.code.clone(),
            variables,
        })
    }
}

/// The origin of the network loader.
#[derive(Debug, Clone, Copy)]
pub enum Netboot<'a> {
    /// iPXE in an option ROM that has the driver of Realtek's cards, for one of their other cards.
    OptionRom(&'a Path),
    /// `ipxe.lkrn`, which is loaded as a kernel.
    Image(&'a Path),
    /// `ipxe.efi`, which UEFI starts from a disk.
    Application {
        /// The firmware.
        uefi: &'a Uefi,
        /// The application.
        image: &'a Path,
    },
    /// EDK2's own PXE. It has no driver of the card but the one that iPXE's option ROM brings it,
    /// and fetches `snponly.efi`, an iPXE without drivers, which goes on with that as well.
    Edk2 {
        /// The firmware.
        uefi: &'a Uefi,
        /// iPXE in an option ROM, with its driver for UEFI, for another of Realtek's cards.
        rom: &'a Path,
        /// `snponly.efi`.
        image: &'a Path,
    },
}

impl Netboot<'_> {
    /// The file that DHCP names.
    pub fn boot_file(&self) -> &'static str {
        match self {
            Netboot::Edk2 { .. } => NBP,
            _ => BOOT_FILE,
        }
    }
}

/// Writes what is needed into `dir`, which TFTP serves: the script that fetches kernel and
/// initramfs from the HTTP server at `port`, and what comes before it.
pub fn prepare(netboot: &Netboot<'_>, dir: &Path, port: u16) -> Result<Loader> {
    write(&dir.join(BOOT_FILE), boot_script(port).as_bytes())?;
    match *netboot {
        Netboot::OptionRom(source) => Ok(Loader::OptionRom(option_rom(source, dir)?)),
        Netboot::Image(image) => {
            let script = dir.join("first.ipxe");
            write(&script, first_script().as_bytes())?;
            Ok(Loader::Ipxe {
                image: image.to_path_buf(),
                script,
            })
        }
        Netboot::Application { uefi, image } => {
            let disk = dir.join("disk.files");
            let boot = disk.join("EFI/BOOT");
            fs::create_dir_all(&boot).map_err(Error::file(&boot, "creating"))?;
            copy(image, &boot.join("BOOTX64.EFI"))?;
            write(&disk.join(AUTOEXEC), first_script().as_bytes())?;
            Ok(Loader::Uefi {
                uefi: uefi.with_own_variables(dir)?,
                rom: None,
                disk: Some(disk),
            })
        }
        Netboot::Edk2 { uefi, rom, image } => {
            copy(image, &dir.join(NBP))?;
            write(&dir.join(AUTOEXEC), first_script().as_bytes())?;
            Ok(Loader::Uefi {
                uefi: uefi.with_own_variables(dir)?,
                rom: Some(option_rom(rom, dir)?),
                disk: None,
            })
        }
    }
}

/// Writes into `dir` an option ROM for our card that is made of one for another of Realtek's;
/// returns its path.
pub fn option_rom(source: &Path, dir: &Path) -> Result<PathBuf> {
    let rom = dir.join("ipxe.rom");
    let bytes = fs::read(source).map_err(Error::file(source, "reading the option ROM"))?;
    write(&rom, &for_our_card(bytes, source)?)?;
    Ok(rom)
}

/// The behaviour of the option ROM under a BIOS.
fn first_script() -> String {
    format!("#!ipxe\ndhcp\nchain tftp://${{next-server}}/{BOOT_FILE}\n")
}

/// Between the two the card is closed and opened again.
fn boot_script(port: u16) -> String {
    let url = format!("http://{GATEWAY}:{port}");
    let arguments = command_line(false);
    format!(
        "#!ipxe\necho lab: the script came by TFTP\n\
         ping --count 20 --quiet {GATEWAY}\n\
         kernel {url}/kernel {arguments}\n\
         ifclose net0\ndhcp net0\n\
         initrd {url}/initramfs\n\
         ifstat net0\nboot\n"
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).map_err(Error::file(from, "reading"))?;
    write(to, &bytes)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).map_err(Error::file(path, "writing"))
}

/// The length of a block of an option ROM, in bytes.
const BLOCK: usize = 512;
/// Of an image for a BIOS; the other that is used is 3, for UEFI.
const BIOS: u8 = 0;
/// Marks the last image.
const LAST: u8 = 0x80;

/// Has the images of an option ROM answer to 10ec:8168: the device id in their PCI data structures,
/// and a byte that makes the sum of all of an image's bytes zero.
fn for_our_card(mut rom: Vec<u8>, path: &Path) -> Result<Vec<u8>> {
    let mut rest = &mut rom[..];
    loop {
        let number = |at: usize| match rest.get(at..at + 2) {
            Some(bytes) => usize::from(bytes[0]) | usize::from(bytes[1]) << 8,
            None => 0,
        };
        let data = number(0x18);
        let length = number(data + 0x10) * BLOCK;
        require!(
            rest.starts_with(&[0x55, 0xaa])
                && rest.get(data..data + 6) == Some(b"PCIR\xec\x10")
                && (data + 0x16..=rest.len()).contains(&length),
            "{} is no option ROM for a card of Realtek's",
            path.display()
        );
        let (image, others) = rest.split_at_mut(length);
        image[data + 6..data + 8].copy_from_slice(&0x8168_u16.to_le_bytes());
        let sum = image.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
        // The header of an image for UEFI has no place for it: nothing reads what is behind the
        // compressed driver.
        let place = if image[data + 0x14] == BIOS {
            6
        } else {
            length - 1
        };
        image[place] = image[place].wrapping_sub(sum);
        if image[data + 0x15] & LAST != 0 {
            return Ok(rom);
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image of two blocks.
    fn image(vendor: u16, code: u8, indicator: u8) -> Vec<u8> {
        let mut rom = vec![0x11; 2 * BLOCK];
        rom[..3].copy_from_slice(&[0x55, 0xaa, 2]);
        rom[0x18..0x1a].copy_from_slice(&[0x1c, 0]);
        rom[0x1c..0x20].copy_from_slice(b"PCIR");
        rom[0x20..0x22].copy_from_slice(&vendor.to_le_bytes());
        rom[0x22..0x24].copy_from_slice(&[0x39, 0x81]);
        rom[0x2c..0x2e].copy_from_slice(&[2, 0]);
        rom[0x30..0x32].copy_from_slice(&[code, indicator]);
        rom
    }

    #[test]
    fn the_images_are_made_for_our_card_and_their_sums_are_zero() {
        let rom = [image(0x10ec, BIOS, 0), image(0x10ec, 3, LAST)].concat();
        let made = for_our_card(rom.clone(), Path::new("x.rom")).unwrap();
        for (image, place) in made.chunks(2 * BLOCK).zip([6, 2 * BLOCK - 1]) {
            assert_eq!(image[0x20..0x24], [0xec, 0x10, 0x68, 0x81]);
            let sum = image.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
            assert_eq!(sum, 0);
            assert_ne!(image[place], 0x11);
        }
        // The lower byte of the id and the byte for the sum, in each.
        let changed = rom.iter().zip(&made).filter(|(old, new)| old != new);
        assert_eq!(changed.count(), 4);
    }

    #[test]
    fn something_else_than_a_rom_of_realtek_is_refused() {
        let half = [image(0x10ec, BIOS, 0), image(0x8086, 3, LAST)].concat();
        let short = image(0x10ec, BIOS, 0);
        for wrong in [Vec::new(), b"\x55\xaa".to_vec(), half, short] {
            let error = for_our_card(wrong, Path::new("x.rom")).unwrap_err();
            assert!(error.to_string().starts_with("x.rom is no"), "{error}");
        }
    }

    #[test]
    fn the_script_fetches_both_files() {
        let script = boot_script(80);
        assert!(script.starts_with("#!ipxe\n") && script.ends_with("\nboot\n"));
        for file in ["/kernel console=", "/initramfs\n"] {
            assert!(
                script.contains(&format!("http://{GATEWAY}:80{file}")),
                "{script}"
            );
        }
    }
}
