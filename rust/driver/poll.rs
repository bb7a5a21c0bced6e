// SPDX-License-Identifier: GPL-2.0

//! What becomes of the chip's events, and of the frames that it has finished: what the interrupt handler and
//! the poll of [`Nic`] are made of.

use super::{
    memory::Descriptors,
    nic::{
        Nic,
        Poll, //
    },
    regs::event,
    ring::{
        desc::{
            self,
            RxChecksum,
            RxError,
            RxFrameInfo, //
        },
        rx::Received, //
    }, //
};
use crate::net::{
    contexts::{
        PollContext,
        RxContext, //
    },
    device::NetDevice,
    fragment::Completed,
    page_pool::{
        PagePool,
        RxBuffer, //
    },
    phy::Phy, //
};
use kernel::sync::atomic::Relaxed;

/// Frames up to this many bytes are copied, so that their buffer stays in the ring: for a small
/// frame that is cheaper than a page taken out of the pool for as long as a socket holds it.
const COPY_BREAK: u32 = 256;

/// What is handed up besides good frames.
struct Wanted {
    /// Damaged frames.
    damaged: bool,
    /// So many bytes of the FCS at the end of each: all or none.
    fcs: u32,
    /// Frames up to this many bytes are copied out of their buffers.
    copied: u32,
}

impl<'a> Nic<'a> {
    /// Returns all that the chip tells, or `None` if nothing of it was asked for.
    ///
    /// A chip that is gone answers all ones, also to the other devices of a shared line; it has
    /// nothing to tell.
    pub(super) fn events(&self) -> Option<u16> {
        let events = self.hw.events();
        let (all, ours) = (events.bits(event::GONE), events.bits(self.hw.chip().events));
        (ours != 0 && all != event::GONE).then_some(all)
    }

    /// Leaves the events of the rings to the poll, and acknowledges and acts on the others; those that
    /// nobody has asked for are acknowledged, too (r8169).
    pub(super) fn take(&self, dev: &NetDevice, events: u16) {
        let others = events & !event::RINGS;
        if others != 0 {
            self.hw.acknowledge(others);
        }
        let events = events & self.hw.chip().events;
        if events & event::RINGS != 0 {
            self.interrupted.store(true, Relaxed);
        }
        if events & event::LINK_CHANGE != 0 {
            dev.phy().map(Phy::mac_interrupt);
        }
        if events & event::RX_FIFO_OVERFLOW != 0 {
            // The chip receives nothing more until it is reset (r8169 6.1, Realtek's r8168).
            dev.errors().rx_fifo_errors.count();
            dev.schedule_reset();
        }
    }

    /// Looks at both rings once; returns how many frames were received, or 1 if only some were sent.
    pub(super) fn work(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut Poll<'a>) -> u32 {
        let sent = self.complete_sent(cx, poll);
        let Some(rx) = cx.receiver() else {
            return sent.into();
        };
        let mut done = 0;
        let (mut missed, mut bytes) = (0u32, 0u32);
        let wanted = Wanted {
            damaged: self.keep_damaged.load(Relaxed),
            fcs: if self.keep_fcs.load(Relaxed) {
                desc::FCS_LENGTH
            } else {
                0
            },
            copied: if rx.has_xdp() {
                0
            } else if rx.is_bounced() {
                u32::MAX
            } else {
                COPY_BREAK
            },
        };
        while done < rx.budget() {
            let Some(length) = Self::receive_one(&rx, poll, &wanted, &mut missed) else {
                break;
            };
            done += 1;
            bytes = bytes.wrapping_add(length);
        }
        if done > missed {
            rx.received(done - missed, bytes);
        }
        done.max(sent.into())
    }

    /// Frees the frames that were sent and wakes the queue; returns whether there were any.
    fn complete_sent(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut Poll<'a>) -> bool {
        let mut all = Completed::default();
        let mut done = false;
        while let Some(fragment) = poll
            .tx
            .next_done_if(&poll.tx_memory, |fragment| cx.may_complete(fragment))
        {
            done = true;
            cx.complete(fragment, &mut all);
        }
        if !done {
            return false;
        }
        poll.tx.release();
        cx.completed(all);
        poll.tx.wake_if_stopped(cx.queue(), poll.wake_threshold);
        // The chip loses doorbells that come while it is busy with the frame before.
        if poll.tx.pending() > 0 {
            self.hw.ring_doorbell();
        }
        true
    }

    /// Hands up the next frame if the chip has finished a descriptor; returns the length of the frame. If none went up it is missed, and
    /// that is 0.
    #[inline]
    fn receive_one(
        rx: &RxContext<'_, PagePool<'a>>,
        poll: &mut Poll<'a>,
        wanted: &Wanted,
        missed: &mut u32,
    ) -> Option<u32> {
        let received = poll.rx.next(&poll.rx_memory)?;
        let length = match received.info() {
            Ok(frame) => Self::receive(rx, &poll.rx_memory, received, frame, wanted),
            Err(error) => Self::receive_damaged(rx, poll, error, wanted)?,
        };
        Some(length.unwrap_or_else(|| {
            *missed = missed.wrapping_add(1);
            0
        }))
    }

    /// Hands up a frame; returns its length, or `None` if it did not go up.
    #[inline(always)]
    fn receive(
        rx: &RxContext<'_, PagePool<'a>>,
        memory: &Descriptors<'a>,
        received: Received<'_, RxBuffer<'a>>,
        frame: RxFrameInfo,
        wanted: &Wanted,
    ) -> Option<u32> {
        // Both are small.
        let length = frame.length().wrapping_add(wanted.fcs);
        let tag = desc::rx_vlan(received.opts2());
        let copied = length <= wanted.copied;
        // The ring gets another buffer before the frame's is used up.
        let new = if copied { None } else { rx.alloc() };
        let skb = match new {
            Some(new) if rx.has_xdp() => {
                // Without an answer the program has it, or it is counted.
                Some(rx.run_xdp(received.replace(memory, new), length)?)
            }
            Some(new) => received.replace(memory, new).into_skb(rx, length),
            None => {
                let skb = copied.then(|| received.buffer().copy_to_skb(rx, length));
                received.recycle(memory);
                skb.flatten()
            }
        };
        let Some(mut skb) = skb else {
            rx.device().errors().rx_dropped.count();
            return None;
        };
        if frame.checksum() != RxChecksum::Unknown {
            skb.set_checksum_right();
        }
        if let Some(tag) = tag {
            skb.set_vlan_tag(tag);
        }
        // A program may have changed it.
        let length = skb.length();
        rx.receive(skb);
        Some(length)
    }

    /// Counts the next descriptor, which holds no good frame, and hands up what is in it if that is wanted.
    // It looks the descriptor up once more: to be passed it would have to be put into memory for every good frame as well.
    #[cold]
    #[inline(never)]
    fn receive_damaged(
        rx: &RxContext<'_, PagePool<'a>>,
        poll: &mut Poll<'a>,
        error: RxError,
        wanted: &Wanted,
    ) -> Option<Option<u32>> {
        count_error(rx.device(), error);
        let memory = &poll.rx_memory;
        let received = poll.rx.next(memory)?;
        Some(match wanted.damaged.then(|| received.damaged()).flatten() {
            Some(frame) => Self::receive(rx, memory, received, frame, wanted),
            None => {
                received.recycle(memory);
                None
            }
        })
    }
}

/// Counts a descriptor that holds no good frame.
fn count_error(dev: &NetDevice, error: RxError) {
    let errors = dev.errors();
    errors.rx_errors.count();
    match error {
        RxError::Crc => errors.rx_crc_errors.count(),
        _ => errors.rx_length_errors.count(),
    }
}
