// SPDX-License-Identifier: GPL-2.0

//! Offloads that the chip does for the driver: checksums, segmentation (both IPv4 only, the chip's
//! "v1") and VLAN tags. Plain functions on bytes.

use crate::desc::rx;

pub(crate) const ETHERNET: usize = 14;
const VLAN_TYPE: u16 = 0x8100;
const IPV4_TYPE: u16 = 0x0800;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Adds `bytes` to a ones' complement sum of 16-bit words.
fn add(sum: u32, bytes: &[u8]) -> u32 {
    let mut words = bytes.chunks_exact(2);
    let mut sum = u64::from(sum);
    for pair in &mut words {
        sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    if let [last] = words.remainder() {
        sum += u64::from(*last) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u32
}

/// An IPv4 packet within a frame, as far as its header holds together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4 {
    /// The offset of the IPv4 header.
    pub(crate) start: usize,
    /// The offset of the next header.
    pub(crate) payload: usize,
    /// The offset of the packet's end; what follows in the frame is padding.
    pub(crate) end: usize,
    pub(crate) protocol: u8,
    /// It is a part of a larger packet: its transport header, if any, cannot be summed.
    pub(crate) fragment: bool,
}

impl Ipv4 {
    /// Finds the IPv4 header behind the Ethernet header and at most one VLAN tag.
    pub(crate) fn find(frame: &[u8]) -> Option<Ipv4> {
        let start = match word(frame, 12)? {
            IPV4_TYPE => ETHERNET,
            VLAN_TYPE if word(frame, 16)? == IPV4_TYPE => ETHERNET + 4,
            _ => return None,
        };
        let first = *frame.get(start)?;
        let header = usize::from(first & 15) * 4;
        let total = usize::from(word(frame, start + 2)?);
        if first >> 4 != 4 || header < 20 || total < header || start + total > frame.len() {
            return None;
        }
        Some(Ipv4 {
            start,
            payload: start + header,
            end: start + total,
            protocol: *frame.get(start + 9)?,
            fragment: word(frame, start + 6)? & 0x3fff != 0,
        })
    }

    fn pseudo(&self, frame: &[u8]) -> u32 {
        let length = (self.end - self.payload) as u32;
        let addresses = frame.get(self.start + 12..self.start + 20).unwrap_or(&[]);
        add(u32::from(self.protocol) + length, addresses)
    }

    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.payload..self.end).unwrap_or(&[])
    }

    fn header<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.start..self.payload).unwrap_or(&[])
    }

    /// Writes the header's checksum.
    pub(crate) fn fill_header(&self, frame: &mut [u8]) {
        put(frame, self.start + 10, 0);
        let sum = !(add(0, self.header(frame)) as u16);
        put(frame, self.start + 10, sum);
    }

    /// Writes the checksum of a TCP segment or UDP datagram; false if the packet holds none that is
    /// whole.
    pub(crate) fn fill_transport(&self, frame: &mut [u8], protocol: u8) -> bool {
        let (at, least) = match protocol {
            TCP => (16, 20),
            _ => (6, 8),
        };
        if self.protocol != protocol || self.fragment || self.end - self.payload < least {
            return false;
        }
        put(frame, self.payload + at, 0);
        let sum = !(add(self.pseudo(frame), self.payload(frame)) as u16);
        // RFC 768: a sum of zero is sent as all ones, zero means that there is none.
        let sum = if protocol == UDP && sum == 0 {
            0xffff
        } else {
            sum
        };
        put(frame, self.payload + at, sum);
        true
    }
}

/// The checksum bits of a received frame's descriptor.
pub(crate) fn verdict(frame: &[u8]) -> u32 {
    let Some(ip) = Ipv4::find(frame) else {
        return 0;
    };
    let mut bits = 0;
    if add(0, ip.header(frame)) != 0xffff {
        bits |= rx::IP_FAIL;
    }
    let length = ip.end - ip.payload;
    // Fragments are reported as plain IP [guess].
    match ip.protocol {
        TCP if !ip.fragment && length >= 20 => {
            bits |= rx::PROTO_TCP;
            if add(ip.pseudo(frame), ip.payload(frame)) != 0xffff {
                bits |= rx::TCP_FAIL;
            }
        }
        UDP if !ip.fragment && length >= 8 => {
            bits |= rx::PROTO_UDP;
            let has_sum = word(frame, ip.payload + 6) != Some(0);
            if has_sum && add(ip.pseudo(frame), ip.payload(frame)) != 0xffff {
                bits |= rx::UDP_FAIL;
            }
        }
        _ => bits |= rx::PROTO_IP,
    }
    bits
}

/// The failure that a verdict with these bits can report.
pub(crate) fn failures(verdict: u32) -> u32 {
    match verdict & rx::PROTO_IP {
        0 => 0,
        rx::PROTO_TCP => rx::TCP_FAIL,
        rx::PROTO_UDP => rx::UDP_FAIL,
        _ => rx::IP_FAIL,
    }
}

/// Puts a VLAN tag behind the addresses.
pub(crate) fn insert_vlan(frame: &mut Vec<u8>, tag: u16) {
    if frame.len() < 12 {
        return;
    }
    let [a, b] = tag.to_be_bytes();
    frame.splice(12..12, [0x81, 0x00, a, b]);
}

/// The VLAN tag of a frame that has one.
pub(crate) fn vlan(frame: &[u8]) -> Option<u16> {
    if word(frame, 12)? == VLAN_TYPE && frame.len() >= ETHERNET + 4 {
        word(frame, 14)
    } else {
        None
    }
}

/// Cuts a large TCP/IPv4 frame into segments of at most `mss` bytes of data and hands each to
/// `emit` with its headers put right; false, and nothing handed out, if the frame is not one.
pub(crate) fn segment(frame: &[u8], mss: usize, mut emit: impl FnMut(&mut Vec<u8>)) -> bool {
    const FIN_PSH: u8 = 0x09;
    const CWR: u8 = 0x80;
    let Some(ip) = Ipv4::find(frame) else {
        return false;
    };
    let Some(&offset) = frame.get(ip.payload + 12) else {
        return false;
    };
    let tcp_header = usize::from(offset >> 4) * 4;
    let data = ip.payload + tcp_header;
    if ip.protocol != TCP || ip.fragment || tcp_header < 20 || data > ip.end || mss == 0 {
        return false;
    }
    let (Some(headers), Some(id)) = (frame.get(..data), word(frame, ip.start + 4)) else {
        return false;
    };
    let sequence = frame
        .get(ip.payload + 4..ip.payload + 8)
        .map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let flags = frame[ip.payload + 13];
    let parts = (ip.end - data).div_ceil(mss).max(1);
    let mut out = Vec::with_capacity(data + mss);
    for part in 0..parts {
        let from = data + part * mss;
        let to = (from + mss).min(ip.end);
        out.clear();
        out.extend_from_slice(headers);
        out.extend_from_slice(frame.get(from..to).unwrap_or(&[]));
        put(
            &mut out,
            ip.start + 2,
            (data - ip.start + (to - from)) as u16,
        );
        put(&mut out, ip.start + 4, id.wrapping_add(part as u16));
        let number = sequence.wrapping_add((part * mss) as u32);
        out[ip.payload + 4..ip.payload + 8].copy_from_slice(&number.to_be_bytes());
        let mut now = flags;
        if part + 1 < parts {
            now &= !FIN_PSH;
        }
        if part > 0 {
            now &= !CWR;
        }
        out[ip.payload + 13] = now;
        let this = Ipv4 {
            end: data + (to - from),
            ..ip
        };
        this.fill_header(&mut out);
        this.fill_transport(&mut out, TCP);
        emit(&mut out);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::packet;

    #[test]
    fn what_is_filled_in_is_found_right() {
        for protocol in [TCP, UDP] {
            for size in [0, 1, 2, 3, 100, 1460] {
                let mut frame = packet(protocol, size);
                let ip = Ipv4::find(&frame).unwrap();
                assert_ne!(
                    verdict(&frame) & (rx::IP_FAIL | rx::TCP_FAIL | rx::UDP_FAIL),
                    0
                );
                ip.fill_header(&mut frame);
                assert!(ip.fill_transport(&mut frame, protocol));
                let proto = if protocol == TCP {
                    rx::PROTO_TCP
                } else {
                    rx::PROTO_UDP
                };
                assert_eq!(verdict(&frame), proto, "{protocol} {size}");
                let last = frame.len() - 1;
                frame[last] ^= 0x10;
                assert_ne!(verdict(&frame), proto);
            }
        }
    }

    #[test]
    fn a_known_header_checksum() {
        // The example of RFC 1071's many retellings: 45 00 00 73 ... sums to b861.
        let mut frame = vec![0; 14];
        frame[12] = 8;
        frame.extend_from_slice(&[
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ]);
        frame.resize(14 + 0x73, 0);
        let ip = Ipv4::find(&frame).unwrap();
        ip.fill_header(&mut frame);
        assert_eq!(frame[24..26], [0xb8, 0x61]);
    }

    #[test]
    fn headers_that_do_not_hold_together_are_not_believed() {
        let whole = packet(TCP, 100);
        for cut in 0..whole.len() {
            let short = &whole[..cut];
            assert_eq!(Ipv4::find(short), None);
            assert_eq!(verdict(short), 0);
        }
        for byte in 12..40 {
            for value in 0..=255 {
                let mut bad = whole.clone();
                bad[byte] = value;
                let _ = verdict(&bad);
                if let Some(ip) = Ipv4::find(&bad) {
                    ip.fill_header(&mut bad);
                    ip.fill_transport(&mut bad, TCP);
                }
                segment(&bad, 8, |_| {});
            }
        }
    }

    #[test]
    fn a_datagram_without_checksum_does_not_fail() {
        let mut frame = packet(UDP, 10);
        Ipv4::find(&frame).unwrap().fill_header(&mut frame);
        frame[14 + 20 + 6] = 0;
        frame[14 + 20 + 7] = 0;
        assert_eq!(verdict(&frame), rx::PROTO_UDP);
    }

    #[test]
    fn segments_carry_all_the_data_in_order_with_right_sums() {
        let mut frame = packet(TCP, 3001);
        frame[14 + 20 + 13] = 0x99; // CWR, ACK, PSH, FIN
        let mut data = Vec::new();
        let mut flags = Vec::new();
        let mut ids = Vec::new();
        assert!(segment(&frame, 1000, |part| {
            assert_eq!(verdict(part), rx::PROTO_TCP);
            assert_eq!(
                part[38..42],
                (0x1234_5678 + data.len() as u32).to_be_bytes()
            );
            data.extend_from_slice(&part[54..]);
            flags.push(part[47]);
            ids.push(word(part, 18).unwrap());
        }));
        assert_eq!(data, frame[54..]);
        assert_eq!(flags, [0x90, 0x10, 0x10, 0x19]);
        assert_eq!(ids, [7, 8, 9, 10]);
    }

    #[test]
    fn vlan_tags_go_in_and_are_seen() {
        let mut frame = packet(TCP, 60);
        assert_eq!(vlan(&frame), None);
        insert_vlan(&mut frame, 0x6042);
        assert_eq!(vlan(&frame), Some(0x6042));
        assert!(Ipv4::find(&frame).is_some());
        let mut tiny = vec![0; 5];
        insert_vlan(&mut tiny, 1);
        assert_eq!(tiny.len(), 5);
    }
}
