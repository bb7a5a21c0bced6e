// SPDX-License-Identifier: GPL-2.0

//! The path of a frame to the doorbell (`rust/driver/xmit.rs`), with a chip that sends a frame as
//! soon as it has the descriptors: before the consumer has the slots. Its interrupt finds nothing
//! then, and there is no other.

#![cfg(not(loom))]

#[path = "../memory/mod.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod memory;
#[path = "../queue/mod.rs"]
mod queue;

mod driver;
mod net;

use driver::memory::{Chip, Descriptors};
use driver::nic::Nic;
use driver::xmit::TxState;
use net::contexts::{XdpContext, XmitContext};
use net::device::NetDevice;
use net::features::Features;
use net::operations::Transmit;
use net::owned::Owned;
use net::pci;
use net::skb::{Protocol, SkBuff};
use net::xdp::XdpFrame;
use queue::Queue;
use rings::driver::ring::desc::TX_MSS_MAX;
use rings::net::spsc::TxQueue;
use std::rc::Rc;

const COUNT: u32 = 64;

struct Bench {
    nic: Nic<'static>,
    chip: Rc<Chip>,
    xmit: TxState<'static>,
    dev: NetDevice,
    queue: Queue,
}

impl Bench {
    /// A chip that is still at work when the frames come, or one that waits for the doorbell.
    fn new(busy: bool) -> Self {
        let chip = Rc::new(Chip::new(COUNT, busy));
        let memory = Descriptors::of(&chip);
        let producer = chip.open(&memory);
        Self {
            nic: driver::nic(&pci::DEVICE, &chip),
            chip,
            xmit: driver::xmit(memory, producer),
            dev: NetDevice::default(),
            queue: Queue::default(),
        }
    }

    /// Sends a frame as the core does; `more` says that another one follows at once.
    fn send(&mut self, skb: SkBuff, more: bool) {
        let cx = XmitContext {
            dev: &self.dev,
            queue: &self.queue,
            more,
        };
        assert!(self.nic.has_room(&cx, &mut self.xmit, &skb));
        self.nic.start_xmit(&cx, &mut self.xmit, Owned(skb));
    }

    /// Runs the poll if it was scheduled; returns how many frames have been completed in all.
    fn completed(&mut self) -> u32 {
        if self.dev.polls.take() > 0 {
            self.chip.poll();
        }
        self.chip.completed.get()
    }

    /// Dropped frames, doorbells.
    fn seen(&self) -> (u32, u32) {
        (
            self.dev.errors().tx_dropped.0.get(),
            self.chip.doorbells.get(),
        )
    }
}

/// A frame for each way in which one is dropped.
fn impossible() -> [(&'static str, SkBuff); 6] {
    let good = SkBuff::good;
    [
        (
            "its checksum cannot be computed",
            SkBuff {
                length: 50,
                checksum: Some(Protocol::Udp),
                fails: true,
                ..good()
            },
        ),
        (
            "it is too long",
            SkBuff {
                length: 4000,
                ..good()
            },
        ),
        (
            "its segments are too large",
            SkBuff {
                gso_size: TX_MSS_MAX + 1,
                ..good()
            },
        ),
        (
            "its protocol is unknown",
            SkBuff {
                checksum: Some(Protocol::Other),
                ..good()
            },
        ),
        (
            "nothing of it can be mapped",
            SkBuff {
                mapped: 0,
                ..good()
            },
        ),
        (
            "not all of it can be mapped",
            SkBuff {
                fragments: 3,
                mapped: 2,
                ..good()
            },
        ),
    ]
}

/// The interrupt for a frame of a batch has found nothing, and the last frame is dropped: the
/// driver must look by itself.
#[test]
fn a_frame_dropped_at_the_end_of_a_batch_loses_no_completion() {
    for (why, skb) in impossible() {
        let mut bench = Bench::new(true);
        bench.send(SkBuff::good(), true);
        assert_eq!((bench.chip.sent.get(), bench.completed()), (1, 0), "{why}");
        bench.send(skb, false);
        assert_eq!(bench.seen(), (1, 1), "{why}");
        assert_eq!(bench.completed(), 1, "lost after a frame of which {why}");
    }
}

/// The same for a batch whose last frame is sent.
#[test]
fn a_batch_loses_no_completion() {
    let mut bench = Bench::new(true);
    for _ in 0..3 {
        bench.send(SkBuff::good(), true);
    }
    // Each interrupt finds the frame before.
    assert_eq!((bench.chip.sent.get(), bench.completed()), (3, 2));
    bench.send(SkBuff::good(), false);
    assert_eq!(bench.seen(), (0, 1));
    assert_eq!(bench.completed(), 4);
}

/// The same for a batch that ends because there is no more room.
#[test]
fn a_batch_that_fills_the_ring_loses_no_completion() {
    let mut bench = Bench::new(true);
    // They come too late.
    bench.chip.interrupts.set(false);
    let mut frames = 0;
    while !bench.queue.is_stopped() {
        bench.send(SkBuff::good(), true);
        frames += 1;
    }
    assert_eq!(bench.seen(), (0, 1));
    assert_eq!(bench.completed(), frames);
}

/// The same for frames without an `sk_buff`, of which the last one is dropped or not.
#[test]
fn frames_of_xdp_lose_no_completion() {
    for mapped in [true, false] {
        let mut bench = Bench::new(true);
        let cx = XdpContext {
            dev: &bench.dev,
            queue: &bench.queue,
        };
        for mapped in [true, mapped] {
            let frame = XdpFrame {
                length: 60,
                is_mapped: mapped,
            };
            assert!(bench.nic.has_room_xdp(&cx, &mut bench.xmit, &frame));
            bench.nic.send_xdp(&cx, &mut bench.xmit, frame);
        }
        bench.nic.flush_xdp(&cx, &mut bench.xmit);
        assert_eq!(bench.seen(), (u32::from(!mapped), 1));
        assert_eq!(bench.completed(), 1 + u32::from(mapped));
    }
}

/// A chip that has not finished interrupts later, and the poll is not scheduled for nothing.
#[test]
fn no_poll_is_scheduled_without_need() {
    for (why, skb) in impossible() {
        let mut bench = Bench::new(false);
        bench.send(SkBuff::good(), true);
        assert_eq!(bench.seen(), (0, 0));
        bench.send(skb, false);
        assert_eq!(bench.seen(), (1, 1), "{why}");
        assert_eq!(bench.dev.polls.get(), 0, "after a frame of which {why}");
        assert_eq!(bench.chip.sent.get(), 0);
    }
}

/// Frames that the chip gets wrong are asked of the core.
#[test]
fn checksums_that_the_chip_gets_wrong_are_the_cores() {
    let good = SkBuff::good;
    for (length, checksum, expected) in [
        (59, Some(Protocol::Tcp), Features::WithoutChecksums),
        (59, None, Features::All),
        (60, Some(Protocol::Tcp), Features::All),
        // Two VLAN tags may be in it.
        (1522, Some(Protocol::Tcp), Features::All),
        (1523, Some(Protocol::Tcp), Features::WithoutChecksums),
    ] {
        let bench = Bench::new(false);
        let skb = SkBuff {
            length,
            checksum,
            ..good()
        };
        let found = bench.nic.check_features(&skb, Features::All);
        assert_eq!(found, expected, "{length} bytes");
    }
}
