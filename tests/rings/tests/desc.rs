// SPDX-License-Identifier: GPL-2.0

//! The decoding of RX status words, and the type of unchecked values.

#![cfg(not(loom))]

use proptest::prelude::*;
use rings::driver::ring::desc::{
    rx_vlan, DescriptorMemory, RxChecksum, RxError, RxStatus, TxChecksum, TxCommand,
    DESCRIPTOR_SIZE, EOR, FCS_LENGTH, FRAME_MIN, FS, LS, MAX_DESCRIPTORS, OWN, RX_BUFFER_SIZES,
    TX_FRAGMENT_SIZES, TX_MSS_MAX,
};
use rings::driver::ring::rx::{RxBuffer, RxRing};
use rings::driver::ring::tx::{self, TxFragment};
use rings::net::from_device::FromDevice;
use rings::net::spsc::Error;
use std::cell::{Cell, RefCell};

/// The words as the chip has them, which other tests use by their names.
#[test]
fn words_are_those_of_the_chip() {
    assert_eq!([OWN, EOR, FS, LS].map(u32::leading_zeros), [0, 1, 2, 3]);
    assert_eq!([OWN, EOR, FS, LS].map(u32::count_ones), [1; 4]);
    assert_eq!(
        (DESCRIPTOR_SIZE, MAX_DESCRIPTORS, TX_MSS_MAX),
        (16, 1024, 2047)
    );
    assert_eq!((FRAME_MIN, FCS_LENGTH), (14, 4));
    assert_eq!(RX_BUFFER_SIZES, 18..=0x3fff);
    assert_eq!(TX_FRAGMENT_SIZES, 1..=0xffff);
}

/// One descriptor, whose status was read before anything else of it.
struct One(u32, Cell<bool>);

impl DescriptorMemory for One {
    fn count(&self) -> u32 {
        1
    }

    fn opts1(&self, _index: u32) -> FromDevice<u32> {
        FromDevice::new(self.0)
    }

    fn opts2(&self, index: u32) -> FromDevice<u32> {
        assert!(self.1.get(), "opts2 was read before opts1, or at once");
        FromDevice::new(0x1_2300 + index)
    }

    fn rmb(&self) {
        self.1.set(true);
    }

    fn publish(&self, _index: u32, _address: u64, _opts1: u32, _opts2: u32) {}
}

#[test]
fn a_descriptor_is_read_when_the_chip_has_given_it_back() {
    let received = |opts1: u32| {
        let one = One(opts1, Cell::new(false));
        let found = one.received(4);
        (found.map(|(a, b)| (a.bits(!0), b.bits(!0))), one.1.get())
    };
    assert_eq!(
        received(FS | LS | 64),
        (Some((FS | LS | 64, 0x1_2304)), true)
    );
    assert_eq!(received(OWN | FS | LS | 64), (None, false));
    assert_eq!(received(OWN), (None, false));
    assert_eq!(received(0), (Some((0, 0x1_2304)), true));
}

/// The writes into descriptors: index, opts1, opts2.
#[derive(Default)]
struct Written(RefCell<Vec<(u32, u32, u32)>>);

impl DescriptorMemory for Written {
    fn count(&self) -> u32 {
        2
    }

    fn opts1(&self, _index: u32) -> FromDevice<u32> {
        FromDevice::new(0)
    }

    fn opts2(&self, _index: u32) -> FromDevice<u32> {
        FromDevice::new(0)
    }

    fn rmb(&self) {}

    fn publish(&self, index: u32, _address: u64, opts1: u32, opts2: u32) {
        self.0.borrow_mut().push((index, opts1, opts2));
    }
}

/// A buffer or a fragment of this length.
struct Piece(u32);

impl RxBuffer for Piece {
    fn dma_address(&self) -> u64 {
        0x1000
    }
}

impl TxFragment for Piece {
    fn dma_address(&self) -> u64 {
        0x1000
    }

    fn length(&self) -> u32 {
        self.0
    }
}

/// Descriptors in numbers, so that a bit that is wrong in its definition is wrong here.
#[test]
fn descriptors_that_are_sent_have_their_bits() {
    let plain = TxCommand::plain();
    let tcp = plain.checksum(TxChecksum::Tcp);
    for (command, opts1, opts2, tso) in [
        (plain, 0, 0, false),
        (tcp, 0x0005_0000, 0, false),
        (plain.checksum(TxChecksum::Udp), 0x0006_0000, 0, false),
        (plain.segment(1), 0x0801_0000, 0, true),
        (plain.segment(1460), 0x0db4_0000, 0, true),
        (plain.segment(0xffff), 0x0fff_0000, 0, true),
        (plain.vlan(0x0123), 0, 0x0002_2301, false),
        (tcp.vlan(0xf00f), 0x0005_0000, 0x0002_0ff0, false),
    ] {
        assert_eq!(command.is_tso(), tso);
        let memory = Written::default();
        let (mut producer, _consumer) = tx::channel(&memory).unwrap();
        // Neither is the chip's; the second is the last of the ring.
        let idle = [(0, 0, 0), (1, 0x4000_0000, 0)];
        assert_eq!(memory.0.take(), idle);

        let mut frame = producer.begin(Piece(0xffff)).unwrap();
        frame.push(Piece(1)).unwrap();
        frame.commit(&memory, command);
        let (first, second) = (0xa000_ffff, 0xd000_0001);
        let sent = [(1, second | opts1, opts2), (0, first | opts1, opts2)];
        assert_eq!(memory.0.take(), sent);
    }
}

#[test]
fn descriptors_that_receive_have_their_bits() {
    for size in [18, 1536, 0x3fff] {
        let memory = Written::default();
        let ring = RxRing::new::<Error>(&memory, size, |_| Ok(Piece(size)));
        assert!(ring.is_ok());
        let given = [(0, 0x8000_0000 | size, 0), (1, 0xc000_0000 | size, 0)];
        assert_eq!(memory.0.take(), given);
    }
    for size in [17, 0x4000] {
        assert!(RxRing::new::<Error>(&Written::default(), size, |_| Ok(Piece(size))).is_err());
    }
}

#[test]
fn a_tag_is_there_if_its_bit_is() {
    let tag = |opts2| rx_vlan(FromDevice::new(opts2));
    assert_eq!(tag(0x0001_2301), Some(0x0123));
    assert_eq!(tag(0xffff_0ff0), Some(0xf00f));
    assert_eq!(tag(0xfffe_2301), None);
    assert_eq!(tag(0x0001_0000), Some(0));
}

fn decode(opts1: u32, size: u32) -> Result<(u32, RxChecksum), RxError> {
    RxStatus::decode(FromDevice::new(opts1), size).map(|info| (info.length(), info.checksum()))
}

#[test]
fn a_good_frame_loses_its_fcs() {
    use RxChecksum::{Tcp, Udp, Unknown};
    assert_eq!(decode(FS | LS | 64, 2048), Ok((60, Unknown)));
    assert_eq!(decode(FS | LS | 1 << 17 | 1518, 2048), Ok((1514, Tcp)));
    assert_eq!(decode(FS | LS | 1 << 18 | 1518, 2048), Ok((1514, Udp)));
    assert_eq!(decode(FS | LS | 3 << 17 | 64, 2048), Ok((60, Unknown)));
}

#[test]
fn a_failed_checksum_is_left_to_software() {
    for proto in [0, 1 << 17, 1 << 18, 3 << 17] {
        for failed in [1 << 16, 1 << 15, 1 << 14] {
            assert_eq!(
                decode(FS | LS | proto | failed | 64, 2048),
                Ok((60, RxChecksum::Unknown))
            );
        }
    }
}

#[test]
fn errors_are_named() {
    let res = FS | LS | 1 << 21 | 64;
    assert_eq!(decode(res, 2048), Err(RxError::Unnamed));
    assert_eq!(decode(res | 1 << 19, 2048), Err(RxError::Crc));
    assert_eq!(decode(res | 1 << 20, 2048), Err(RxError::Runt));
    assert_eq!(decode(res | 1 << 22, 2048), Err(RxError::Watchdog));
    // Without the summary the others mean nothing.
    assert!(decode(FS | LS | 0x58 << 16 | 64, 2048).is_ok());
}

#[test]
fn a_damaged_frame_is_there_for_who_wants_it() {
    let damaged = |opts1, size| {
        RxStatus::decode_damaged(FromDevice::new(opts1), size)
            .map(|info| (info.length() + FCS_LENGTH, info.checksum()))
    };
    let (summary, crc, runt, watchdog) = (1 << 21, 1 << 19, 1 << 20, 1 << 22);
    let frame = FS | LS | summary | 1 << 17;
    assert_eq!(
        damaged(frame | crc | 64, 2048),
        Some((64, RxChecksum::Unknown))
    );
    assert_eq!(
        damaged(frame | runt | 40, 2048),
        Some((40, RxChecksum::Unknown))
    );
    assert_eq!(damaged(frame | 64, 2048), None);
    assert_eq!(damaged(frame | crc | watchdog | 64, 2048), None);
    assert_eq!(damaged(FS | summary | crc | 64, 2048), None);
    assert_eq!(damaged(frame | crc | 17, 2048), None);
    assert_eq!(damaged(frame | crc | 2049, 2048), None);
}

#[test]
fn a_part_of_a_frame_is_none() {
    for part in [0, FS, LS] {
        assert_eq!(decode(part | 64, 2048), Err(RxError::Fragmented));
    }
}

#[test]
fn a_length_has_two_ends() {
    assert_eq!(decode(FS | LS | 17, 2048), Err(RxError::Length));
    assert_eq!(decode(FS | LS | 18, 2048), Ok((14, RxChecksum::Unknown)));
    assert_eq!(
        decode(FS | LS | 2048, 2048),
        Ok((2044, RxChecksum::Unknown))
    );
    assert_eq!(decode(FS | LS | 2049, 2048), Err(RxError::Length));
    // The length with which r8169 falls.
    assert_eq!(decode(FS | LS | 2, 2048), Err(RxError::Length));
}

#[test]
fn an_unchecked_value_only_narrows() {
    let value = FromDevice::new(0x1234u16);
    assert_eq!(value.bits(0xff), 0x34);
    assert_eq!(value.bounded(0..=0x1234), Some(0x1234));
    assert_eq!(value.bounded(0..=0x1233), None);
    assert!(!value.is_all_ones());
    assert!(FromDevice::new(u16::MAX).is_all_ones());
    assert_eq!(format!("{value:?}"), "FromDevice(0x1234)");
}

proptest! {
    #[test]
    fn every_word_has_an_answer(opts1: u32, size in 0u32..=0x4000) {
        if let Ok((length, _)) = decode(opts1, size) {
            prop_assert!(length >= 14 && length + 4 <= size);
            prop_assert_eq!(length + 4, opts1 & 0x3fff);
        }
    }

    #[test]
    fn every_good_length_arrives(length in 18u32..=0x3fff) {
        prop_assert_eq!(
            decode(FS | LS | length, 0x3fff),
            Ok((length - 4, RxChecksum::Unknown))
        );
    }
}
