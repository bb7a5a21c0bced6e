//! iPXE on the emulated card: as its option ROM and as a kernel, and its script.

use std::fs;
use std::path::{Path, PathBuf};

use crate::guest::{command_line, Loader};
use crate::passt::GATEWAY;
use crate::{require, Error, Result};

/// What DHCP names and TFTP serves.
pub const BOOT_FILE: &str = "boot.ipxe";

/// Where Debian has iPXE as the option ROM of the RTL8139, with the same driver.
pub const ROM: &str = "/usr/share/qemu/pxe-rtl8139.rom";

/// Where iPXE comes from.
#[derive(Debug, Clone, Copy)]
pub enum Netboot<'a> {
    /// An option ROM that has the driver of Realtek's cards, for one of their other cards.
    OptionRom(&'a Path),
    /// `ipxe.lkrn`, which is loaded as a kernel.
    Image(&'a Path),
}

/// Writes what iPXE needs into `dir`, which TFTP serves: the script that fetches kernel and initramfs
/// from the HTTP server at `port`, and what comes before it.
pub fn prepare(netboot: &Netboot<'_>, dir: &Path, port: u16) -> Result<Loader> {
    write(&dir.join(BOOT_FILE), boot_script(port).as_bytes())?;
    match netboot {
        Netboot::OptionRom(source) => Ok(Loader::OptionRom(option_rom(source, dir)?)),
        Netboot::Image(image) => {
            let script = dir.join("first.ipxe");
            write(&script, FIRST_SCRIPT.as_bytes())?;
            Ok(Loader::Ipxe {
                image: image.to_path_buf(),
                script,
            })
        }
    }
}

/// Writes into `dir` an option ROM for our card that is made of one for another of Realtek's; returns its path.
pub fn option_rom(source: &Path, dir: &Path) -> Result<PathBuf> {
    let rom = dir.join("ipxe.rom");
    let bytes = fs::read(source).map_err(Error::file(source, "reading the option ROM"))?;
    write(&rom, &for_our_card(bytes, source)?)?;
    Ok(rom)
}

/// What the option ROM does by itself.
const FIRST_SCRIPT: &str = "#!ipxe\ndhcp\nchain tftp://${next-server}/${filename}\n";

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

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).map_err(Error::file(path, "writing"))
}

/// Has an option ROM answer to 10ec:8168: the device id in its PCI data structure, and the byte that makes the sum of all
/// its bytes zero.
fn for_our_card(mut rom: Vec<u8>, path: &Path) -> Result<Vec<u8>> {
    let data = rom.get(0x18..0x1a).map_or(0, |pointer| {
        usize::from(pointer[0]) | usize::from(pointer[1]) << 8
    });
    let length = usize::from(rom.get(2).copied().unwrap_or(0)) * 512;
    require!(
        rom.starts_with(&[0x55, 0xaa])
            && length <= rom.len()
            && rom.get(data..data + 6) == Some(b"PCIR\xec\x10"),
        "{} is no option ROM for a card of Realtek's",
        path.display()
    );
    rom[data + 6..data + 8].copy_from_slice(&0x8168_u16.to_le_bytes());
    let sum = rom[..length]
        .iter()
        .fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    rom[6] = rom[6].wrapping_sub(sum);
    Ok(rom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rom(vendor: u16) -> Vec<u8> {
        let mut rom = vec![0x11; 1024];
        rom[..3].copy_from_slice(&[0x55, 0xaa, 2]);
        rom[0x18..0x1a].copy_from_slice(&[0x1c, 0]);
        rom[0x1c..0x20].copy_from_slice(b"PCIR");
        rom[0x20..0x22].copy_from_slice(&vendor.to_le_bytes());
        rom[0x22..0x24].copy_from_slice(&[0x39, 0x81]);
        rom
    }

    #[test]
    fn the_rom_is_made_for_our_card_and_its_sum_is_zero() {
        let made = for_our_card(rom(0x10ec), Path::new("x.rom")).unwrap();
        assert_eq!(made[0x20..0x24], [0xec, 0x10, 0x68, 0x81]);
        let sum = made.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
        assert_eq!(sum, 0);
    }

    #[test]
    fn something_else_than_a_rom_of_realtek_is_refused() {
        for wrong in [Vec::new(), b"\x55\xaa".to_vec(), rom(0x8086)] {
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
