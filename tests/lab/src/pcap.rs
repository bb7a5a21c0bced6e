//! Captures of the wire, and whether the checksums in them hold.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// The header of a capture file, and of each frame in it.
const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;

/// Reads the frames of a capture in the classic format, as the device model writes it.
pub fn frames(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(path).map_err(Error::file(path, "reading"))?;
    let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some(header) = rest.get(..FRAME_HEADER) {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        // The last frame of a capture that is being written may be half there.
        let Some(frame) = rest.get(FRAME_HEADER..FRAME_HEADER + length) else {
            break;
        };
        frames.push(frame.to_vec());
        rest = &rest[FRAME_HEADER + length..];
    }
    Ok(frames)
}

/// An IPv4 packet with TCP or UDP in a frame, as far as checksums go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The protocol: 6 is TCP, 17 is UDP.
    pub protocol: u8,
    /// The VLAN tag in front of it, if any.
    pub vlan: Option<u16>,
    /// The length of the frame that it fills, without padding.
    pub length: usize,
    /// Whether the checksum of the header holds.
    pub header_right: bool,
    /// Whether the checksum of the payload holds.
    pub payload_right: bool,
}

/// Looks at the packet in a frame; none if it is no whole IPv4 with TCP or UDP.
pub fn packet(frame: &[u8]) -> Option<Packet> {
    let (vlan, at) = match frame.get(12..14)? {
        [0x81, 0x00] => (Some(word(frame, 14)?), 18),
        _ => (None, 14),
    };
    if word(frame, at - 2)? != 0x0800 {
        return None;
    }
    let ip = frame.get(at..)?;
    let header = usize::from(ip.first()? & 15) * 4;
    let total = usize::from(word(ip, 2)?);
    let protocol = *ip.get(9)?;
    let fragment = word(ip, 6)? & 0x3fff != 0;
    let payload = ip.get(header..total)?;
    if !(protocol == 6 || protocol == 17) || fragment {
        return None;
    }
    let mut pseudo = ip.get(12..20)?.to_vec();
    pseudo.extend([0, protocol]);
    pseudo.extend(u16::try_from(payload.len()).ok()?.to_be_bytes());
    pseudo.extend(payload);
    // UDP without a checksum has 0 in its place.
    let absent = protocol == 17 && word(payload, 6)? == 0;
    Some(Packet {
        protocol,
        vlan,
        length: at + total,
        header_right: sum(ip.get(..header)?) == 0xffff,
        payload_right: absent || sum(&pseudo) == 0xffff,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The one's complement sum of 16-bit words.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP datagram of two bytes from 10.0.0.1 to 10.0.0.2, worked out by hand.
    const FRAME: [u8; 44] = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
        0, 1, 0, 2, 0, 10, 0x6a, 0x79, 0x81, 0x5b, // UDP
    ];

    #[test]
    fn right_checksums_are_right_and_wrong_ones_are_not() {
        let packet = packet(&FRAME).unwrap();
        assert_eq!(
            (packet.protocol, packet.vlan, packet.length),
            (17, None, 44)
        );
        assert!(packet.header_right && packet.payload_right, "{packet:?}");
        for (at, header, payload) in [(22, false, true), (42, true, false)] {
            let mut broken = FRAME;
            broken[at] ^= 1;
            let packet = super::packet(&broken).unwrap();
            assert_eq!(packet.header_right, header, "byte {at}");
            assert_eq!(packet.payload_right, payload, "byte {at}");
        }
    }

    #[test]
    fn what_is_cut_short_is_no_packet() {
        for length in 0..FRAME.len() {
            assert_eq!(packet(&FRAME[..length]), None, "{length} bytes");
        }
    }
}
