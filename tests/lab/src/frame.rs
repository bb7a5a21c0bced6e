// SPDX-License-Identifier: GPL-2.0

//! Ethernet frames of the lab's own making, and what the guest's echo does with them.
//!
//! The lab is the far end of the wire. It sends frames of an ethertype that no other program uses;
//! the program `guest-echo` in the guest sends each of them back. A frame shorter than 60 bytes
//! cannot come over a wire, so the length that the echo is to send is written into the lab's own
//! station address: the wire carries 60 bytes to the guest, the guest's driver is handed the short
//! frame, and what comes back must be padded to 60 bytes with zeros.

/// The ethertype of the lab's frames (the first one for local experiments, IEEE 802).
pub const ETHERTYPE: u16 = 0x88b5;
/// Destination, source and ethertype.
pub const HEADER: usize = 14;
/// The shortest frame on a wire, without its check sequence.
pub const SHORTEST: usize = 60;
/// The longest frame at an MTU of 1500, without its check sequence.
pub const MAX_LENGTH: usize = 1514;
/// The beginning of the lab's station addresses; the last two bytes are a length.
pub const STATION: [u8; 4] = [0x02, 0x4c, 0x41, 0x42];

/// A station address.
pub type Address = [u8; 6];

/// A frame for the guest that asks for an echo of `length` bytes; `seed` sets its payload.
///
/// It has `length` bytes, or what a wire makes of fewer.
pub fn request(to: Address, length: usize, seed: u32) -> Vec<u8> {
    let mut frame = Vec::with_capacity(length.max(SHORTEST));
    frame.extend_from_slice(&to);
    frame.extend_from_slice(&station(length));
    frame.extend_from_slice(&ETHERTYPE.to_be_bytes());
    let mut state = seed | 1;
    while frame.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        frame.push(state.to_be_bytes()[0]);
    }
    frame.resize(length.max(SHORTEST), 0);
    frame
}

/// Returns the frame that must come back over the wire for `request`, from a guest whose address is
/// `guest`.
pub fn expected_echo(request: &[u8], guest: Address) -> Vec<u8> {
    let mut echo = request.to_vec();
    echo[..6].copy_from_slice(&request[6..12]);
    echo[6..12].copy_from_slice(&guest);
    echo
}

/// Returns the guest's answer to `frame`, if that is one of the lab's.
///
/// A frame that did not come with the length it should have is sent back as it is, so that the lab
/// sees the difference.
pub fn echo(frame: &[u8], own: Address) -> Option<Vec<u8>> {
    let wanted = wanted_length(frame)?;
    let mut echo = frame.to_vec();
    echo[..6].copy_from_slice(&frame[6..12]);
    echo[6..12].copy_from_slice(&own);
    if frame.len() == wanted.max(SHORTEST) {
        echo.truncate(wanted);
    }
    Some(echo)
}

/// Returns whether `frame` is one of the lab's, in either direction, with a VLAN tag or without.
pub fn is_ours(frame: &[u8]) -> bool {
    let has =
        |at: usize, ethertype: u16| frame.get(at..at + 2) == Some(&ethertype.to_be_bytes()[..]);
    has(12, ETHERTYPE) || (has(12, 0x8100) && has(16, ETHERTYPE))
}

fn wanted_length(frame: &[u8]) -> Option<usize> {
    if !is_ours(frame) || frame[6..10] != STATION {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([frame[10], frame[11]]));
    (length >= HEADER).then_some(length)
}

fn station(length: usize) -> Address {
    // Longer frames than a jumbo one do not exist.
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [STATION[0], STATION[1], STATION[2], STATION[3], high, low]
}

/// The check sequence that a wire carries behind `frame` (IEEE 802.3, clause 3.2.9), in the order
/// in which it does.
pub fn check_sequence(frame: &[u8]) -> [u8; 4] {
    crc32fast::hash(frame).to_le_bytes()
}

/// Reads a station address written as `52:54:00:12:34:56`.
pub fn parse_address(text: &str) -> Option<Address> {
    let mut address = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut address {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Address = [0x52, 0x54, 0, 1, 2, 3];

    #[test]
    fn a_faithful_guest_returns_what_is_expected() {
        for length in [14, 15, 59, 60, 61, 1513, 1514] {
            let request = request(GUEST, length, 7);
            assert_eq!(request.len(), length.max(SHORTEST));
            let mut echo = echo(&request, GUEST).unwrap();
            assert_eq!(echo.len(), length);
            echo.resize(length.max(SHORTEST), 0);
            assert_eq!(echo, expected_echo(&request, GUEST));
        }
    }

    #[test]
    fn a_check_sequence_left_on_the_frame_is_seen() {
        let request = request(GUEST, 100, 7);
        let mut received = request.clone();
        received.extend_from_slice(&[1, 2, 3, 4]);
        let echo = echo(&received, GUEST).unwrap();
        assert_ne!(echo, expected_echo(&request, GUEST));
    }

    #[test]
    fn foreign_frames_are_not_echoed() {
        let mut foreign = request(GUEST, 64, 7);
        foreign[12] = 0x08;
        assert_eq!(echo(&foreign, GUEST), None);
        assert_eq!(echo(&[0; 10], GUEST), None);
        // Nor are echoes, which carry the guest's address as their source.
        let own = expected_echo(&request(GUEST, 64, 7), GUEST);
        assert_eq!(echo(&own, GUEST), None);
    }

    #[test]
    fn the_check_sequence_is_that_of_the_standard_string() {
        assert_eq!(check_sequence(b"123456789"), 0xcbf4_3926_u32.to_le_bytes());
    }

    #[test]
    fn addresses_are_parsed_whole() {
        assert_eq!(parse_address("52:54:00:01:02:03\n"), Some(GUEST));
        assert_eq!(parse_address("52:54:00:01:02"), None);
        assert_eq!(parse_address("52:54:00:01:02:03:04"), None);
    }
}
