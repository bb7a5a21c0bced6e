// SPDX-License-Identifier: GPL-2.0

//! CRC-32 as Ethernet uses it: the frame check sequence and the multicast hash.

const POLYNOMIAL: u32 = 0xedb8_8320;

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn remainder(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc: u32, &byte| {
        (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)]
    })
}

/// The check sequence that follows `frame` on the cable, in the order of its bytes.
pub fn fcs(frame: &[u8]) -> [u8; 4] {
    (!remainder(frame)).to_le_bytes()
}

/// Returns which of the 64 multicast filter bits a destination falls on: the top six bits of the
/// CRC taken most significant bit first (`ether_crc(..) >> 26` in r8169's `rtl_set_rx_mode`).
pub fn multicast_hash(destination: [u8; 6]) -> u8 {
    (remainder(&destination).reverse_bits() >> 26) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fcs_of_the_standard_check_string() {
        assert_eq!(fcs(b"123456789"), 0xcbf4_3926u32.to_le_bytes());
    }

    /// The hash written the slow way, a bit at a time with the polynomial's other bit order.
    fn hash_by_bits(address: [u8; 6]) -> u8 {
        let mut crc = !0u32;
        for byte in address {
            for bit in 0..8 {
                let feedback = (crc >> 31) ^ u32::from((byte >> bit) & 1);
                crc <<= 1;
                if feedback != 0 {
                    crc ^= 0x04c1_1db7;
                }
            }
        }
        (crc >> 26) as u8
    }

    #[test]
    fn hash_is_the_big_endian_crc() {
        for address in [
            [0x01, 0x00, 0x5e, 0, 0, 1],
            [0x33, 0x33, 0, 0, 0, 0xfb],
            [0x01, 0x80, 0xc2, 0, 0, 0],
        ] {
            assert_eq!(multicast_hash(address), hash_by_bits(address));
        }
    }
}
