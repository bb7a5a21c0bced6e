// SPDX-License-Identifier: GPL-2.0

use std::io::Write;

use super::*;

const BOTH: Rights = Rights {
    read: true,
    write: true,
};
const PAGE: u64 = 4096;

/// A file of `pages` pages, each filled with its number.
fn file(pages: u64) -> File {
    let path = std::env::temp_dir().join(format!(
        "rtl8111b-dma-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    for page in 0..pages {
        file.write_all(&[page as u8; PAGE as usize]).unwrap();
    }
    file
}

fn mapped(address: u64, pages: u64) -> DmaMap {
    let mut map = DmaMap::new();
    map.map(address, pages * PAGE, file(pages), 0, BOTH)
        .unwrap();
    map
}

/// Returns which page of the file is found at each of `pages` pages from `address` on.
fn view(map: &DmaMap, address: u64, pages: u64) -> Vec<Option<u8>> {
    (0..pages)
        .map(|page| {
            let mut first = [0];
            let mut last = [0];
            let at = address + page * PAGE;
            let result = map
                .read(at, &mut first)
                .and_then(|()| map.read(at + (PAGE - 1), &mut last));
            result.ok().map(|()| {
                assert_eq!(first, last);
                first[0]
            })
        })
        .collect()
}

#[test]
fn what_is_written_is_read() {
    let map = mapped(0x10_0000, 2);
    map.write(0x10_0ffe, &[1, 2, 3, 4]).unwrap();
    let mut bytes = [0; 6];
    map.read(0x10_0ffd, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 1, 2, 3, 4, 1]);
    map.store(0x10_0100, 0x1234_5678).unwrap();
    assert_eq!(map.load(0x10_0100), Ok(0x1234_5678));
    map.read(0x10_0100, &mut bytes[..4]).unwrap();
    assert_eq!(bytes[..4], [0x78, 0x56, 0x34, 0x12]);
}

#[test]
fn outside_there_is_nothing() {
    let map = mapped(0x10_0000, 2);
    let mut bytes = [0; 16];
    for address in [0, 0xf_fff8, 0x10_1ff8, 0x10_2000, u64::MAX - 15, u64::MAX] {
        assert_eq!(
            map.read(address, &mut bytes),
            Err(DmaError::Unmapped),
            "{address:#x}"
        );
        assert_eq!(
            map.write(address, &bytes),
            Err(DmaError::Unmapped),
            "{address:#x}"
        );
    }
    assert_eq!(map.load(0x10_0002), Err(DmaError::Unaligned));
    assert_eq!(map.store(0x10_2000, 0), Err(DmaError::Unmapped));
    assert_eq!(DmaMap::new().load(0), Err(DmaError::Unmapped));
}

#[test]
fn memory_without_a_file_is_told_from_none() {
    let mut map = mapped(0x10_0000, 2);
    map.note_without_file(0x20_0000, PAGE);
    let mut byte = [0];
    assert_eq!(map.read(0x20_0000, &mut byte), Err(DmaError::NoFile));
    assert_eq!(
        map.read(0x20_0000 + PAGE, &mut byte),
        Err(DmaError::Unmapped)
    );
    map.unmap(0x20_0000, PAGE);
    assert_eq!(map.read(0x20_0000, &mut byte), Err(DmaError::Unmapped));
    // What was mapped there is mapped no longer.
    map.note_without_file(0x10_0000, PAGE);
    assert_eq!(map.load(0x10_0000), Err(DmaError::NoFile));
    assert!(map.load(0x10_0000 + PAGE).is_ok());
    map.clear();
    assert_eq!(map.load(0x10_0000), Err(DmaError::Unmapped));
}

#[test]
fn rights_are_kept() {
    let mut map = DmaMap::new();
    let read = Rights {
        read: true,
        write: false,
    };
    let write = Rights {
        read: false,
        write: true,
    };
    map.map(0, PAGE, file(1), 0, read).unwrap();
    map.map(PAGE, PAGE, file(1), 0, write).unwrap();
    let mut bytes = [0; 4];
    assert_eq!(map.read(0, &mut bytes), Ok(()));
    assert_eq!(map.write(0, &bytes), Err(DmaError::Forbidden));
    assert_eq!(map.store(0, 0), Err(DmaError::Forbidden));
    assert_eq!(map.write(PAGE, &bytes), Ok(()));
    assert_eq!(map.read(PAGE, &mut bytes), Err(DmaError::Forbidden));
    assert_eq!(map.load(PAGE), Err(DmaError::Forbidden));
    assert_eq!(map.read(PAGE - 2, &mut bytes), Err(DmaError::Forbidden));
}

#[test]
fn neighbours_are_crossed() {
    let mut map = mapped(0, 1);
    map.map(PAGE, PAGE, file(3), 2 * PAGE, BOTH).unwrap();
    let mut bytes = [9; 4];
    map.read(PAGE - 2, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 0, 2, 2]);
}

#[test]
fn a_part_is_unmapped_from_every_side() {
    let base = 0x4000_0000;
    let cases: [(u64, u64, [Option<u8>; 4]); 4] = [
        (0, 1, [None, Some(1), Some(2), Some(3)]),
        (3, 1, [Some(0), Some(1), Some(2), None]),
        (1, 2, [Some(0), None, None, Some(3)]),
        (0, 4, [None; 4]),
    ];
    for (page, count, expected) in cases {
        let mut map = mapped(base, 4);
        map.unmap(base + page * PAGE, count * PAGE);
        assert_eq!(view(&map, base, 4), expected);
        let ranges =
            [0, 1, 2][usize::from(expected[0].is_some()) + usize::from(expected[3].is_some())];
        assert_eq!(map.len(), ranges);
    }
}

#[test]
fn one_unmap_covers_many_maps_and_the_holes_between() {
    let mut map = mapped(PAGE, 2);
    map.map(4 * PAGE, 2 * PAGE, file(2), 0, BOTH).unwrap();
    map.map(8 * PAGE, 2 * PAGE, file(2), 0, BOTH).unwrap();
    map.unmap(2 * PAGE, 7 * PAGE);
    assert_eq!(map.len(), 2);
    assert_eq!(view(&map, PAGE, 9)[0], Some(0));
    assert_eq!(view(&map, 2 * PAGE, 7), [None; 7]);
    assert_eq!(view(&map, 9 * PAGE, 1), [Some(1)]);
    map.unmap(0x1_0000_0000, PAGE);
    assert_eq!(map.len(), 2);
}

#[test]
fn ranges_go_up_to_the_end_of_all_addresses() {
    let last = u64::MAX - PAGE + 1;
    let mut map = mapped(last - PAGE, 2);
    assert_eq!(view(&map, last, 1), [Some(1)]);
    let mut bytes = [0; 2];
    assert_eq!(map.read(u64::MAX, &mut bytes), Err(DmaError::Unmapped));
    // Half of everything, as QEMU takes the address space away, and a size that would go beyond the
    // end.
    map.unmap(1 << 63, 1 << 63);
    assert!(map.is_empty());
    let mut map = mapped(last, 1);
    map.unmap(0, u64::MAX);
    assert_eq!(map.len(), 1, "the very last byte is left");
    map.unmap(last, u64::MAX);
    assert!(map.is_empty());
}

#[test]
fn what_is_no_range_is_refused() {
    let mut map = DmaMap::new();
    assert!(matches!(
        map.map(0, 0, file(1), 0, BOTH),
        Err(MapError::Range { .. })
    ));
    let beyond = map.map(u64::MAX, PAGE, file(1), 0, BOTH);
    assert!(matches!(beyond, Err(MapError::Range { .. })));
    let past_the_file = map.map(0, 4 * PAGE, file(1), 0, BOTH);
    assert!(matches!(past_the_file, Err(MapError::File { .. })));
    assert!(map.is_empty());
    map.unmap(0, 0);
}

#[test]
fn a_map_over_others_replaces_them() {
    let mut map = mapped(0, 4);
    map.map(PAGE, PAGE, file(8), 7 * PAGE, BOTH).unwrap();
    assert_eq!(view(&map, 0, 4), [Some(0), Some(7), Some(2), Some(3)]);
    assert_eq!(map.len(), 3);
    map.clear();
    assert!(map.is_empty());
}

/// Maps and unmaps at random against a plain table of pages.
#[test]
fn agrees_with_a_table() {
    const PAGES: u64 = 32;
    let base = 0x1000_0000;
    let mut state = 88_172_645_463_325_252u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let source = file(PAGES);
    let mut map = DmaMap::new();
    let mut table = vec![None; PAGES as usize];
    for _ in 0..500 {
        let first = random(PAGES);
        let count = 1 + random(PAGES - first);
        let at = base + first * PAGE;
        let offset = random(PAGES - count + 1);
        let mapping = random(2) == 0;
        if mapping {
            let file = source.try_clone().unwrap();
            map.map(at, count * PAGE, file, offset * PAGE, BOTH)
                .unwrap();
        } else {
            map.unmap(at, count * PAGE);
        }
        for page in 0..count {
            table[(first + page) as usize] = mapping.then_some((offset + page) as u8);
        }
        assert_eq!(view(&map, base, PAGES), table);
    }
}

/// Returns how many descriptors this process has. Tests beside this one have a few.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn pages_of_one_file_share_a_descriptor() {
    let pages = file(16);
    let read_only = Rights {
        read: true,
        write: false,
    };
    let before = descriptors();
    let mut map = DmaMap::new();
    for page in 0..400 {
        let rights = if page % 2 == 0 { BOTH } else { read_only };
        let clone = pages.try_clone().unwrap();
        map.map(page * PAGE, PAGE, clone, (page % 16) * PAGE, rights)
            .unwrap();
    }
    let more = descriptors().saturating_sub(before);
    assert!(more < 100, "400 pages of one file hold {more} descriptors");
    assert_eq!(view(&map, 32 * PAGE, 2), [Some(0), Some(1)]);

    // Another file is another, even when the first is gone.
    map.clear();
    map.map(0, PAGE, file(1), 0, BOTH).unwrap();
    assert_eq!(view(&map, 0, 1), [Some(0)]);
}

/// A client takes every other page away, again and again: what it leaves are ranges of their own.
#[test]
fn there_are_so_many_ranges_and_no_more() {
    let pages = 2 * RANGES as u64 + 100;
    let file = file(1);
    file.set_len(pages * PAGE).unwrap();
    let mut map = DmaMap::new();
    map.map(0, pages * PAGE, file, 0, BOTH).unwrap();
    for page in (1..pages).step_by(2) {
        map.unmap(page * PAGE, PAGE);
    }
    assert_eq!(map.len(), RANGES);
    assert_eq!(map.read(0, &mut [0]), Ok(()));
    assert_eq!(map.read(PAGE, &mut [0]), Err(DmaError::Unmapped));
    assert_eq!(
        map.read((pages - 2) * PAGE, &mut [0]),
        Err(DmaError::Unmapped)
    );
    let more = map.map(pages * PAGE, PAGE, self::file(1), 0, BOTH);
    assert!(matches!(more, Err(MapError::Many { .. })), "{more:?}");
    // One that takes the place of another needs no room.
    map.map(0, PAGE, self::file(1), 0, BOTH).unwrap();
    assert_eq!(map.len(), RANGES);
    // Into the middle of one: two ends and the middle, of which there is room for the first alone.
    let pages = 2 * RANGES as u64 + 1;
    let file = self::file(3);
    file.set_len(pages * PAGE).unwrap();
    let mut map = DmaMap::new();
    map.map(0, pages * PAGE, file, 0, BOTH).unwrap();
    for page in (3..pages).step_by(2) {
        map.unmap(page * PAGE, PAGE);
    }
    assert_eq!(map.len(), RANGES);
    let middle = map.map(PAGE, PAGE, self::file(1), 0, BOTH);
    assert!(matches!(middle, Err(MapError::Many { .. })), "{middle:?}");
    assert_eq!(view(&map, 0, 3), [Some(0), None, None]);

    for page in 0..2 * WITHOUT_FILE as u64 {
        map.note_without_file(page * PAGE, PAGE);
    }
    assert_eq!(map.without_file.len(), WITHOUT_FILE);
}
