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
    },
};
use crate::net::{
    contexts::PollContext,
    device::NetDevice,
    skb::Sent, //
};
use kernel::sync::atomic::Relaxed;

/// Frames up to this many bytes are copied, so that their buffer stays in the ring: for a small
/// frame that is cheaper than a page taken out of the pool for as long as a socket holds it.
const COPY_BREAK: u32 = 256;

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
            self.phy.mac_interrupt();
        }
        if events & event::RX_FIFO_OVERFLOW != 0 {
            // The chip receives nothing more until it is reset (r8169 6.1, Realtek's r8168).
            dev.errors().rx_fifo_errors.count();
            dev.schedule_reset();
        }
    }

    /// Looks at both rings once; returns how many frames were received, or 1 if only some were sent.
    pub(super) fn work(&self, cx: &PollContext<'_>, poll: &mut Poll<'a>) -> u32 {
        let sent = self.complete_sent(cx, poll);
        let mut received = 0;
        while received < cx.budget() && self.receive_one(cx, poll) {
            received += 1;
        }
        received.max(sent.into())
    }

    /// Frees the frames that were sent and wakes the queue; returns whether there were any.
    fn complete_sent(&self, cx: &PollContext<'_>, poll: &mut Poll<'a>) -> bool {
        let (mut packets, mut bytes) = (0, 0u32);
        let (mut xdp_packets, mut xdp_bytes) = (0, 0u32);
        let mut done = false;
        // Without a budget this may be any context, in which the buffers of XDP cannot be freed.
        let any = cx.budget() > 0;
        while let Some(fragment) = poll
            .tx
            .next_done_if(&poll.tx_memory, |fragment| any || !fragment.is_xdp())
        {
            done = true;
            match fragment.complete(cx.napi_budget()) {
                Some(Sent::Skb(length)) => {
                    packets += 1;
                    bytes = bytes.wrapping_add(length);
                }
                Some(Sent::Xdp(length)) => {
                    xdp_packets += 1;
                    xdp_bytes = xdp_bytes.wrapping_add(length);
                }
                None => {}
            }
        }
        if !done {
            return false;
        }
        poll.tx.release();
        cx.completed(packets, bytes);
        if xdp_packets > 0 {
            cx.completed_xdp(xdp_packets, xdp_bytes);
        }
        poll.tx.wake_if_stopped(cx.device(), poll.wake_threshold);
        // The chip loses doorbells that come while it is busy with the frame before.
        if poll.tx.pending() > 0 {
            self.hw.ring_doorbell();
        }
        true
    }

    /// Hands up the next frame; returns whether the chip had finished a descriptor.
    fn receive_one(&self, cx: &PollContext<'_>, poll: &mut Poll<'a>) -> bool {
        let errors = cx.device().errors();
        let Some(received) = poll.rx.next(&poll.rx_memory) else {
            return false;
        };
        let frame = received.info().or_else(|error| {
            errors.rx_errors.count();
            match error {
                RxError::Crc => errors.rx_crc_errors.count(),
                _ => errors.rx_length_errors.count(),
            }
            let wanted = self.keep_damaged.load(Relaxed);
            wanted.then(|| received.damaged()).flatten().ok_or(error)
        });
        let Ok(frame) = frame else {
            received.recycle(&poll.rx_memory);
            return true;
        };
        let length = if self.keep_fcs.load(Relaxed) {
            frame.length_with_fcs()
        } else {
            frame.length()
        };

        let tag = desc::rx_vlan(received.opts2());
        let skb = if poll.pool.has_xdp() {
            // What becomes of the buffer is the program's to say, so the ring gets another one first.
            let Some(new) = poll.pool.alloc() else {
                received.recycle(&poll.rx_memory);
                errors.rx_dropped.count();
                return true;
            };
            let buffer = received.replace(&poll.rx_memory, new);
            let Some(skb) = poll.pool.run_xdp(cx, buffer, length) else {
                return true;
            };
            Some(skb)
        } else if length <= COPY_BREAK || poll.pool.is_bounced() {
            let skb = received.buffer().copy_to_skb(cx, length);
            received.recycle(&poll.rx_memory);
            skb
        } else if let Some(new) = poll.pool.alloc() {
            received.replace(&poll.rx_memory, new).into_skb(length)
        } else {
            received.recycle(&poll.rx_memory);
            None
        };
        match skb {
            Some(mut skb) => {
                if frame.checksum() != RxChecksum::Unknown {
                    skb.set_checksum_right();
                }
                if let Some(tag) = tag {
                    skb.set_vlan_tag(tag);
                }
                cx.receive(skb);
            }
            None => errors.rx_dropped.count(),
        }
        true
    }
}
