// SPDX-License-Identifier: GPL-2.0

//! What becomes of the chip's events, and of the frames that it has finished: what the interrupt handler and
//! the poll of [`Nic`] are made of.

use super::{
    nic::{
        Nic,
        Poll, //
    },
    regs::event,
    ring::desc::{
        self,
        RxChecksum,
        RxError, //
    }, //
};
use crate::net::{
    contexts::{
        PollContext,
        RxContext, //
    },
    device::NetDevice,
    fragment::Completed,
    page_pool::PagePool,
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
    /// The FCS at the end of each.
    fcs: bool,
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
        let (mut packets, mut bytes) = (0u32, 0u32);
        let wanted = Wanted {
            damaged: self.keep_damaged.load(Relaxed),
            fcs: self.keep_fcs.load(Relaxed),
        };
        while done < rx.budget() {
            let Some(length) = Self::receive_one(&rx, poll, &wanted) else {
                break;
            };
            done += 1;
            if length > 0 {
                packets = packets.wrapping_add(1);
                bytes = bytes.wrapping_add(length);
            }
        }
        if packets > 0 {
            rx.received(packets, bytes);
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

    /// Hands up the next frame if the chip has finished a descriptor; returns the length of the frame, 0 if none went up.
    #[inline]
    fn receive_one(
        rx: &RxContext<'_, PagePool<'a>>,
        poll: &mut Poll<'a>,
        wanted: &Wanted,
    ) -> Option<u32> {
        let received = poll.rx.next(&poll.rx_memory)?;
        let frame = match received.info() {
            Ok(frame) => frame,
            Err(error) => {
                count_error(rx.device(), error);
                let Some(frame) = wanted.damaged.then(|| received.damaged()).flatten() else {
                    received.recycle(&poll.rx_memory);
                    return Some(0);
                };
                frame
            }
        };
        let length = if wanted.fcs {
            frame.length_with_fcs()
        } else {
            frame.length()
        };

        let tag = desc::rx_vlan(received.opts2());
        let copied = !rx.has_xdp() && (length <= COPY_BREAK || rx.is_bounced());
        // The ring gets another buffer before the frame's is used up.
        let new = if copied { None } else { rx.alloc() };
        let skb = match new {
            Some(new) => {
                let buffer = received.replace(&poll.rx_memory, new);
                if rx.has_xdp() {
                    match rx.run_xdp(buffer, length) {
                        Some(skb) => Some(skb),
                        // The program has it, or it is counted.
                        None => return Some(0),
                    }
                } else {
                    buffer.into_skb(rx, length)
                }
            }
            None => {
                let skb = copied.then(|| received.buffer().copy_to_skb(rx, length));
                received.recycle(&poll.rx_memory);
                skb.flatten()
            }
        };
        let Some(mut skb) = skb else {
            rx.device().errors().rx_dropped.count();
            return Some(0);
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
}

/// Counts a descriptor that holds no good frame.
#[cold]
fn count_error(dev: &NetDevice, error: RxError) {
    let errors = dev.errors();
    errors.rx_errors.count();
    match error {
        RxError::Crc => errors.rx_crc_errors.count(),
        _ => errors.rx_length_errors.count(),
    }
}
