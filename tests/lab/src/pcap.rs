// SPDX-License-Identifier: GPL-2.0

//! Captures of the wire, and the packets in them.

use std::fs;
use std::path::Path;

use etherparse::{LinkExtSlice, LinkSlice, NetSlice, SlicedPacket, TransportSlice};

use crate::frame::Address;
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

/// An IPv4 packet with TCP or UDP in a frame, as far as the tests ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The station address that the frame is from.
    pub from: Address,
    /// Priority and number of the VLAN tag in front of the packet, if there is one.
    pub vlan: Option<u16>,
    /// The length of the frame that it fills, without padding.
    pub length: usize,
    /// Says whether it is TCP; if not it is UDP.
    pub tcp: bool,
    /// The port that it is from.
    pub from_port: u16,
    /// The port that it is for.
    pub to_port: u16,
    /// The bytes behind the header of TCP or UDP.
    pub payload: &'a [u8],
    /// Says whether the checksum of the IPv4 header is right.
    pub header_right: bool,
    /// Says whether the checksum of TCP or UDP is right.
    pub payload_right: bool,
}

/// Looks at the packet in a frame; none if it is no whole IPv4 with TCP or UDP.
///
/// etherparse judges what it is and what its checksums should be: other people's reading of the
/// standards than that in the model.
pub fn packet(frame: &[u8]) -> Option<Packet<'_>> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(link)) = &sliced.link else {
        return None;
    };
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
        return None;
    };
    let header = ip.header();
    let (from, to) = (header.source(), header.destination());
    let mut offset = link.header_slice().len();
    for tag in &sliced.link_exts {
        offset += tag.header_len();
    }
    let packet = Packet {
        from: link.source(),
        vlan: match sliced.link_exts.first() {
            Some(LinkExtSlice::Vlan(tag)) => {
                tag.slice().first_chunk().copied().map(u16::from_be_bytes)
            }
            _ => None,
        },
        length: offset + usize::from(header.total_len()),
        tcp: false,
        from_port: 0,
        to_port: 0,
        payload: &[],
        header_right: is_right(
            header.header_checksum(),
            header.to_header().calc_header_checksum(),
        ),
        payload_right: false,
    };
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => Some(Packet {
            tcp: true,
            from_port: tcp.source_port(),
            to_port: tcp.destination_port(),
            payload: tcp.payload(),
            payload_right: is_right(tcp.checksum(), tcp.calc_checksum_ipv4(from, to).ok()?),
            ..packet
        }),
        Some(TransportSlice::Udp(udp)) => Some(Packet {
            from_port: udp.source_port(),
            to_port: udp.destination_port(),
            payload: udp.payload(),
            // 0 says that there is none.
            payload_right: udp.checksum() == 0 || {
                let header = udp.to_header();
                let right = header.calc_checksum_ipv4_raw(from, to, udp.payload());
                is_right(udp.checksum(), right.ok()?)
            },
            ..packet
        }),
        _ => None,
    }
}

/// Compares checksums in one's complement, in which zero can be written in two ways.
fn is_right(found: u16, expected: u16) -> bool {
    let number = |sum| if sum == 0xffff { 0 } else { sum };
    number(found) == number(expected)
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
        assert_eq!((packet.tcp, packet.vlan, packet.length), (false, None, 44));
        assert_eq!((packet.to_port, packet.payload), (2, &FRAME[42..]));
        assert_eq!(packet.from, [2, 0, 0, 0, 0, 1]);
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
    fn a_packet_in_a_vlan_is_longer_by_the_tag() {
        let tagged = crate::trunk::tagged(&FRAME, 0x123);
        let packet = packet(&tagged).unwrap();
        assert_eq!((packet.vlan, packet.length), (Some(0x123), 48));
        assert!(packet.header_right && packet.payload_right, "{packet:?}");
    }

    #[test]
    fn what_is_cut_short_is_no_packet() {
        for length in 0..FRAME.len() {
            assert_eq!(packet(&FRAME[..length]), None, "{length} bytes");
        }
    }
}
