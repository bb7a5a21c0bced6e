// SPDX-License-Identifier: GPL-2.0

//! A table of the firmware's that gives the card a property, in AML as the ACPI specification has
//! it.

/// `_DSD`'s UUID of device properties, as AML stores it.
const PROPERTIES: [u8; 16] = [
    0x14, 0xd8, 0xff, 0xda, 0xba, 0x6e, 0x8c, 0x4d, 0x8a, 0x91, 0xbc, 0x9b, 0xbf, 0x4a, 0xa3, 0x01,
];

/// An object with its length in front, which counts itself.
fn sized(opcode: &[u8], content: &[u8]) -> Vec<u8> {
    let mut object = opcode.to_vec();
    match content.len() + 1 {
        length @ 0..=63 => object.push(length as u8),
        length => {
            let length = length + 1;
            object.extend([0x40 | (length & 0xf) as u8, (length >> 4) as u8]);
        }
    }
    object.extend(content);
    object
}

fn package(elements: &[Vec<u8>]) -> Vec<u8> {
    sized(
        &[0x12],
        &[&[elements.len() as u8][..], &elements.concat()].concat(),
    )
}

/// The body of an SSDT: the card in slot 1 of the root bus has this address as its property
/// `mac-address`.
pub fn mac_address(address: [u8; 6]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = address.iter().map(|&byte| vec![0x0a, byte]).collect();
    let property = package(&[b"\x0dmac-address\0".to_vec(), package(&bytes)]);
    let uuid = sized(&[0x11], &[&[0x0a, 16][..], &PROPERTIES].concat());
    let dsd = [b"\x08_DSD".to_vec(), package(&[uuid, package(&[property])])].concat();
    sized(&[0x10], &[&b"\\\x2f\x03_SB_PCI0S08_"[..], &dsd].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves() {
        assert_eq!(sized(&[0x12], &[7; 62])[..2], [0x12, 63]);
        assert_eq!(sized(&[0x12], &[7; 63])[..3], [0x12, 0x41, 4]);
        let table = mac_address([2, 0, 0, 0, 0, 7]);
        let length = usize::from(table[1] & 0xf) | usize::from(table[2]) << 4;
        assert_eq!(length, table.len() - 1);
    }
}
