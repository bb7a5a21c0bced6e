// SPDX-License-Identifier: GPL-2.0

use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use rtl8111b_chip::BusError;
use rtl8111b_chip::Chip;
use rtl8111b_chip::Config;
use rtl8111b_chip::FaultKind;
use rtl8111b_chip::Reg;
use rtl8111b_chip::RxMode;
use rtl8111b_pci::ConfigSpace;
use rtl8111b_pci::Identity;
use rtl8111b_trace::Event;
use rtl8111b_trace::Recorder;
use rtl8111b_transport::Rights;
use rtl8111b_wire::Sender;

use super::card::ACK_WAIT;
use super::card::RING;
use super::*;

const PAGE: u64 = 4096;
const RAM: u64 = 0x10_0000;
const BAR: Region = Region::Bar(2);

fn device() -> Device {
    let chip = Chip::new(Config::default());
    let config = ConfigSpace::new(Identity::default(), chip.eeprom());
    Device::new(chip, config, Sender::none().unwrap())
}

/// A device with 64 KiB of memory, awake and allowed to use it.
fn ready() -> Device {
    let mut device = device();
    let path = std::env::temp_dir().join(format!(
        "rtl8111b-device-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(16 * PAGE).unwrap();
    let rights = Rights {
        read: true,
        write: true,
    };
    device.dma().map(RAM, 16 * PAGE, file, 0, rights).unwrap();
    device.write(Region::Config, 4, &[0x06, 0]);
    device
}

fn at(reg: Reg) -> u64 {
    reg.offset().into()
}

fn read32(device: &mut Device, reg: Reg) -> u32 {
    let mut bytes = [0; 4];
    device.read(BAR, at(reg), &mut bytes);
    u32::from_le_bytes(bytes)
}

fn write32(device: &mut Device, reg: Reg, value: u32) {
    device.write(BAR, at(reg), &value.to_le_bytes());
}

/// One frame of 60 bytes in a transmit ring.
fn one_frame(device: &mut Device) {
    let mut descriptor = [0; 16];
    descriptor[..4].copy_from_slice(&(0xf000_0000u32 | 60).to_le_bytes());
    descriptor[8..].copy_from_slice(&(RAM + PAGE).to_le_bytes());
    device.dma.write(RAM, &descriptor).unwrap();
    device.dma.write(RAM + PAGE, &[0x42; 60]).unwrap();
    write32(device, Reg::TxDescStartAddrHigh, 0);
    write32(device, Reg::TxDescStartAddrLow, RAM as u32);
    device.write(BAR, at(Reg::MaxTxPacketSize), &[0x3f]);
    device.write(BAR, at(Reg::ChipCmd), &[0x0c]);
}

#[test]
fn both_windows_show_the_same_registers() {
    let mut device = device();
    let mut io = [0; 4];
    device.read(Region::Bar(0), 0x40, &mut io);
    assert_eq!(u32::from_le_bytes(io), read32(&mut device, Reg::TxConfig));
    assert_eq!(read32(&mut device, Reg::TxConfig), 0x3000_0000);
}

#[test]
fn vital_product_data_are_the_eeprom() {
    let mut device = device();
    device.write(Region::Config, 0x4a, &[0, 0]);
    let mut bytes = [0; 4];
    device.read(Region::Config, 0x4c, &mut bytes);
    assert_eq!(u32::from_le_bytes(bytes), 0x10ec_8129);
}

#[test]
fn accesses_of_any_size_do_no_harm() {
    let mut device = device();
    for len in 0..20 {
        for offset in [0, 1, 0xfd, 0xffe, u64::MAX - 1] {
            let mut bytes = vec![0; len];
            device.read(BAR, offset, &mut bytes);
            device.write(BAR, offset, &bytes);
            device.read(Region::Bar(1), offset, &mut bytes);
            assert!(bytes.iter().all(|&byte| byte == 0xff));
        }
    }
    let mut eight = [0; 8];
    device.read(BAR, at(Reg::TxConfig), &mut eight);
    assert_eq!(eight[..4], read32(&mut device, Reg::TxConfig).to_le_bytes());
}

#[test]
fn a_frame_goes_from_memory_to_the_cable() {
    let mut device = ready();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    device.card().sender.attach(Some(Link::Stream(ours)));
    one_frame(&mut device);
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    let mut frame = [0; 64];
    theirs.read_exact(&mut frame).unwrap();
    assert_eq!(frame[..4], [0, 0, 0, 60]);
    assert_eq!(frame[4..], [0x42; 60]);
    assert_eq!(device.chip.counters().violations, 0);
}

/// The file that comes along with share=off holds nothing of the guest's memory.
#[test]
fn a_ring_of_zeroes_is_memory_that_is_not_shared() {
    let mut device = ready();
    one_frame(&mut device);
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    assert!(device.ring_seen && !device.unshared);
    device.disconnected();

    let mut device = ready();
    one_frame(&mut device);
    device.dma.write(RAM, &[0; RING]).unwrap();
    assert!(!device.unshared);
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    assert!(device.unshared);
    assert_eq!(device.chip.counters().violations, 0);
}

#[test]
fn memory_without_a_file_is_no_violation() {
    let mut device = ready();
    one_frame(&mut device);
    device.dma().note_without_file(RAM, 16 * PAGE);
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    let counters = device.chip.counters();
    assert_eq!((counters.dma_faults, counters.violations), (1, 0));
}

#[test]
fn without_bus_master_memory_is_out_of_reach() {
    let mut device = ready();
    one_frame(&mut device);
    device.write(Region::Config, 4, &[0x02, 0]);
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    assert_eq!(device.chip.counters().tx_frames, 0);
    let mut status = [0; 2];
    device.read(Region::Config, 6, &mut status);
    assert_eq!(status[1] & 0x20, 0, "no master abort: it does not try");
    device.write(Region::Config, 4, &[0x06, 0]);
    assert_eq!(device.chip.counters().tx_frames, 1);
    let counters = device.chip.counters();
    assert_eq!((counters.dma_faults, counters.violations), (0, 0));
}

/// A message is a memory write. One that is due is sent when it may be.
#[test]
fn without_bus_master_there_are_no_messages() {
    let mut device = ready();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    // Index 1 is MSI; an eventfd that triggers it.
    let file = File::from(std::os::fd::OwnedFd::from(ours));
    device.lines().configure(1, 0x24, 1, vec![file]);
    let mut messages = || theirs.read(&mut [0; 64]).unwrap_or(0) / 8;
    device.write(BAR, at(Reg::IntrMask), &0x20u16.to_le_bytes());
    device.write(Region::Config, 4, &[0x02, 0]);
    device.set_link(false);
    assert_eq!(messages(), 0);
    device.write(Region::Config, 4, &[0x06, 0]);
    assert_eq!(messages(), 1);
    device.write(BAR, at(Reg::IntrStatus), &0x20u16.to_le_bytes());
    device.set_link(true);
    assert_eq!(messages(), 1);
}

/// The host side lets nothing through either, should the chip try.
#[test]
fn without_bus_master_the_host_refuses() {
    let mut device = ready();
    device.write(Region::Config, 4, &[0x02, 0]);
    let result = device.card().with_bus(|_, host| host.load(RAM));
    assert_eq!(result, Err(BusError::BusMasterOff));
}

#[test]
fn a_fault_is_a_master_abort() {
    let mut device = ready();
    one_frame(&mut device);
    device.dma().clear();
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    let mut status = [0; 2];
    device.read(Region::Config, 6, &mut status);
    assert_eq!(status[1] & 0x20, 0x20);
}

#[test]
fn a_sleeping_device_answers_all_ones() {
    let mut device = device();
    device.write(Region::Config, 0x44, &[3, 0]);
    assert_eq!(read32(&mut device, Reg::TxConfig), u32::MAX);
    assert_eq!(device.chip.counters().violations, 0, "to read is harmless");
    write32(&mut device, Reg::RxConfig, 0xe70a);
    assert_eq!(device.chip.counters().violations, 1);
    let text = device.chip.counters().violation_log().next_back().unwrap();
    assert!(text.contains("(RxConfig) written outside D0"), "{text}");
    device.write(Region::Config, 0x44, &[0, 0]);
    assert_eq!(read32(&mut device, Reg::TxConfig), 0x3000_0000);
    assert_eq!(read32(&mut device, Reg::RxConfig), 0);
}

#[test]
fn a_sleeping_device_receives_nothing() {
    let shared = Shared(Mutex::new(ready()));
    let receive = |power: u8| {
        let mut device = shared.lock();
        device.write(Region::Config, 0x44, &[power, 0]);
        drop(device);
        assert!(shared.offer(&[0xff; 60], false));
        shared.lock().chip.counters().rx_ignored
    };
    {
        let mut device = shared.lock();
        write32(&mut device, Reg::RxDescAddrLow, (RAM + 2 * PAGE) as u32);
        write32(&mut device, Reg::RxConfig, 0xe700);
        device.write(BAR, at(Reg::RxMaxSize), &[0x00, 0x06]);
        device.write(BAR, at(Reg::ChipCmd), &[0x08]);
    }
    assert_eq!(receive(2), 1);
    assert_eq!(receive(0), 1, "awake, and filtered");
    assert_eq!(receive(1), 2);
    let mut device = shared.lock();
    device.reset();
    assert_eq!(
        read32(&mut device, Reg::TxConfig),
        0x3000_0000,
        "reset wakes it"
    );
}

#[test]
fn the_interrupt_shows_in_the_status_register_and_can_be_cut_off() {
    let mut device = device();
    let status = |device: &mut Device| {
        let mut bytes = [0; 1];
        device.read(Region::Config, 6, &mut bytes);
        bytes[0] & 0x08
    };
    device.set_link(false);
    assert_eq!(status(&mut device), 0);
    device.write(BAR, at(Reg::IntrMask), &0x20u16.to_le_bytes());
    assert_eq!(status(&mut device), 0x08);
    device.write(Region::Config, 4, &[0, 0x04]);
    assert_eq!(
        status(&mut device),
        0x08,
        "cut off, and pending all the same"
    );
    device.write(BAR, at(Reg::IntrStatus), &0x20u16.to_le_bytes());
    assert_eq!(status(&mut device), 0);
}

#[test]
fn reset_is_like_power_on() {
    let mut device = ready();
    one_frame(&mut device);
    device.set_link(false);
    device.reset();
    assert_eq!(read32(&mut device, Reg::TxDescStartAddrLow), 0);
    assert!(!device.config.bus_master());
    assert!(!device.chip.phy().cable(), "it is not plugged in again");
}

#[test]
fn d3hot_loses_all_but_pme() {
    let mut device = ready();
    one_frame(&mut device);
    device.write(BAR, at(Reg::Cfg9346), &[0xc0]);
    device.write(BAR, at(Reg::Config3), &[0x20]);
    device.write(Region::Config, 0x44, &[1, 1]);
    device.write(Region::Config, 0x44, &[0, 1]);
    let mut config3 = [0];
    device.read(BAR, at(Reg::Config3), &mut config3);
    assert_eq!(config3, [0x20], "D1 forgets nothing");
    device.write(Region::Config, 0x44, &[3, 1]);
    device.write(Region::Config, 0x44, &[0, 1]);
    assert!(!device.config.bus_master());
    assert!(device.pme().1);
    assert_eq!(read32(&mut device, Reg::TxDescStartAddrLow), 0);
    device.read(BAR, at(Reg::Config3), &mut config3);
    assert_eq!(config3, [0]);
}

#[test]
fn frames_wait_for_room() {
    let shared = Shared(Mutex::new(ready()));
    let ring = RAM + 2 * PAGE;
    {
        let mut device = shared.lock();
        device.card().chip = Chip::new(Config {
            rx_mode: RxMode::Wait,
            ..Config::default()
        });
        device.card().follow_bus_master();
        write32(&mut device, Reg::RxDescAddrHigh, 0);
        write32(&mut device, Reg::RxDescAddrLow, ring as u32);
        write32(&mut device, Reg::RxConfig, 0xe70f);
        device.write(BAR, at(Reg::RxMaxSize), &0x3fffu16.to_le_bytes());
        device.write(BAR, at(Reg::ChipCmd), &[0x0c]);
    }
    let mut frame = [0xff; 60];
    frame[6..].fill(1);
    assert!(!shared.offer(&frame, false));
    {
        let device = shared.lock();
        assert!(device.frame_waits);
        let mut descriptor = [0; 16];
        descriptor[..4].copy_from_slice(&0xc000_0800u32.to_le_bytes());
        descriptor[8..].copy_from_slice(&(RAM + 4 * PAGE).to_le_bytes());
        device.dma.write(ring, &descriptor).unwrap();
    }
    assert!(shared.offer(&frame, true));
    let device = shared.lock();
    let mut seen = [0; 60];
    device.dma.read(RAM + 4 * PAGE, &mut seen).unwrap();
    assert_eq!(seen, frame);
}

#[test]
fn an_ordered_abort_is_no_violation() {
    let mut device = ready();
    one_frame(&mut device);
    device.fault(FaultConfig {
        until_reset: true,
        ..FaultConfig::on(FaultKind::PciAbort)
    });
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    let mut status = [0; 2];
    device.read(Region::Config, 6, &mut status);
    assert_eq!(status[1] & 0x20, 0x20);
    let mut interrupts = [0; 2];
    device.read(BAR, at(Reg::IntrStatus), &mut interrupts);
    assert_eq!(interrupts[1] & 0x80, 0x80, "SYSErr");
    let counters = device.chip.counters();
    assert_eq!((counters.dma_faults, counters.violations), (1, 0));
    device.write(BAR, at(Reg::ChipCmd), &[0x10]);
    assert!(!device.faults(FaultKind::PciAbort).on(FaultKind::PciAbort));
}

#[test]
fn transfers_that_an_iommu_blocks_go_wrong_in_silence() {
    let mut device = ready();
    device.fault(FaultConfig::on(FaultKind::DmaFault));
    write32(&mut device, Reg::CounterAddrHigh, 0);
    write32(&mut device, Reg::CounterAddrLow, RAM as u32 | 8);
    let mut before = [0x5a; 64];
    device.dma.read(RAM, &mut before).unwrap();
    assert_eq!(before, [0; 64]);
    assert_eq!(device.chip.counters().dma_faults, 0);
    let ones = device.card().with_bus(|_, host| host.load(RAM));
    assert_eq!(ones, Ok(u32::MAX));
}

#[test]
fn a_card_that_was_pulled_out_comes_back_new() {
    let mut device = ready();
    device.fault(FaultConfig::on(FaultKind::Gone));
    let mut id = [0; 4];
    device.read(Region::Config, 0, &mut id);
    assert_eq!(id, [0xff; 4]);
    assert_eq!(read32(&mut device, Reg::TxConfig), u32::MAX);
    device.write(Region::Config, 4, &[0x04, 0]);
    device.fault(FaultConfig::off(FaultKind::Gone));
    device.read(Region::Config, 0, &mut id);
    assert_eq!(id, [0xec, 0x10, 0x68, 0x81]);
    assert!(!device.config.bus_master());
}

#[test]
fn the_clock_rings_by_itself() {
    let shared = Arc::new(Shared(Mutex::new(device())));
    let clock = shared.clone();
    std::thread::spawn(move || clock.keep_time());
    shared.lock().fault(FaultConfig {
        millis: 1,
        count: Some(3),
        ..FaultConfig::on(FaultKind::LinkFlap)
    });
    let begin = Instant::now();
    while shared.lock().chip.faults().hits(FaultKind::LinkFlap) < 3 {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!shared.lock().chip.phy().cable());
}

#[test]
fn a_device_that_behaves_has_its_cable() {
    let shared = Arc::new(Shared(Mutex::new(device())));
    let clock = shared.clone();
    std::thread::spawn(move || clock.keep_time());
    // This fault ends by itself, and leaves the cable out.
    shared.lock().fault(FaultConfig {
        millis: 1,
        count: Some(1),
        ..FaultConfig::on(FaultKind::LinkFlap)
    });
    let begin = Instant::now();
    while shared.lock().chip.phy().cable() {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    shared.lock().behave();
    assert!(shared.lock().chip.phy().cable());
}

#[test]
fn frames_wait_for_an_acknowledgement_if_they_are_to() {
    let shared = Shared(Mutex::new(ready()));
    let offer = |again| {
        let taken = shared.offer(&[0xff; 60], again);
        let device = shared.lock();
        (taken, device.chip.counters().rx_ignored)
    };
    let read_event = || {
        let mut device = shared.lock();
        device.set_link(false);
        device.set_link(true);
        let mut status = [0; 2];
        device.read(BAR, at(Reg::IntrStatus), &mut status);
        assert_eq!(status, [0x20, 0]);
    };
    read_event();
    assert_eq!(offer(false), (true, 1), "it was not asked for");
    shared.lock().set_prompt_acks(true);
    read_event();
    assert_eq!(offer(false), (false, 1));
    assert_eq!(offer(true), (false, 1));
    shared.lock().write(BAR, at(Reg::IntrStatus), &[0x20, 0]);
    assert_eq!(offer(true), (true, 2));
    assert!(!shared.lock().frame_unseen);
    read_event();
    read32(&mut shared.lock(), Reg::TxConfig);
    assert_eq!(offer(false), (true, 3), "it was not acknowledged");
    read_event();
    let late = Duration::from_nanos(ACK_WAIT);
    std::thread::sleep(late);
    assert_eq!(offer(false), (true, 4), "it will not be acknowledged");
}

/// A driver reads the event, has its acknowledgement on the way, and makes room.
#[test]
fn a_frame_that_was_kept_waits_for_the_acknowledgement() {
    let shared = Shared(Mutex::new(ready()));
    let ring = RAM + 2 * PAGE;
    let give = |device: &mut Device| {
        let mut descriptor = [0; 16];
        descriptor[..4].copy_from_slice(&(0xc000_0000_u32 | 1536).to_le_bytes());
        descriptor[8..].copy_from_slice(&(RAM + 3 * PAGE).to_le_bytes());
        device.dma.write(ring, &descriptor).unwrap();
    };
    {
        let mut device = shared.lock();
        device.set_prompt_acks(true);
        give(&mut device);
        write32(&mut device, Reg::RxDescAddrLow, ring as u32);
        device.write(BAR, at(Reg::RxMaxSize), &[0x00, 0x06]);
        device.write(BAR, at(Reg::ChipCmd), &[0x08]);
        write32(&mut device, Reg::RxConfig, 0x0f);
    }
    for _ in 0..2 {
        assert!(shared.offer(&[0xff; 60], false));
    }
    let mut device = shared.lock();
    assert_eq!(device.chip.counters().rx_frames, 1);
    let mut status = [0; 2];
    device.read(BAR, at(Reg::IntrStatus), &mut status);
    assert_eq!(status[0] & 0x01, 0x01, "{status:x?}");
    give(&mut device);
    device.write(BAR, at(Reg::IntrStatus), &status);
    assert_eq!(device.chip.counters().rx_frames, 2);
    device.read(BAR, at(Reg::IntrStatus), &mut status);
    assert_eq!(
        status[0] & 0x01,
        0x01,
        "the second event was cleared with the first"
    );
}

#[test]
fn a_sleeping_card_raises_pme() {
    let shared = Shared(Mutex::new(ready()));
    {
        let mut device = shared.lock();
        write32(&mut device, Reg::RxDescAddrLow, (RAM + 2 * PAGE) as u32);
        device.write(BAR, at(Reg::ChipCmd), &[0x08]);
        device.write(BAR, at(Reg::Cfg9346), &[0xc0]);
        device.write(BAR, at(Reg::Config5), &[0x40]);
        device.write(Region::Config, 0x44, &[3, 1]);
    }
    shared.offer(&[0xff; 60], false);
    let mut device = shared.lock();
    assert_eq!(device.pme(), (true, true, 1));
    let mut status = [0; 2];
    device.read(Region::Config, 0x44, &mut status);
    assert_eq!(status, [3, 0x81]);
}

#[test]
fn a_traced_device_can_be_played_again() {
    let path = std::env::temp_dir().join(format!("rtl8111b-trace-{}", std::process::id()));
    let mut device = ready();
    device.record(Recorder::create(&path, Config::default(), None).unwrap());
    device.reset();
    device.write(Region::Config, 4, &[0x06, 0]);
    one_frame(&mut device);
    device.write(BAR, at(Reg::IntrMask), &[0xff, 0xff]);
    device.write(Region::Config, 4, &[0x02, 0]);
    device.write(BAR, at(Reg::TxPoll), &[0x40]);
    device.write(Region::Config, 4, &[0x06, 0]);
    device.set_link(false);
    device.fault(FaultConfig::on(FaultKind::Lie));
    for _ in 0..100 {
        read32(&mut device, Reg::Timer);
    }
    let multi_intr = (at(Reg::MultiIntr) / 4) as u8;
    device.script(vec![multi_intr, 1, 2, 0, 1, 2, 3, 4]);
    for _ in 0..4 {
        device.behave();
        device.script(vec![multi_intr, 1, 2, 0, 1, 2, 3, 4]);
        assert_eq!(read32(&mut device, Reg::MultiIntr), 0);
        assert_eq!(read32(&mut device, Reg::MultiIntr), 0x0403_0201);
    }
    device.behave();
    assert!(!device.faults(FaultKind::Lie).on(FaultKind::Lie));
    assert_eq!(read32(&mut device, Reg::MultiIntr), 0);
    assert_eq!(device.chip.faults().lies(), 4);
    device.write(Region::Config, 0x44, &[3, 0]);
    device.flush_trace();
    let events: Vec<Event> = rtl8111b_trace::Reader::open(&path)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    std::fs::remove_file(&path).unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::Sent(_))));
    let played = rtl8111b_trace::replay(&events, |_, _| true).unwrap();
    assert_eq!(played.events, events.len());
    let (now, then) = (device.chip.state(), played.chip.state());
    assert_eq!(now.registers, then.registers);
}
