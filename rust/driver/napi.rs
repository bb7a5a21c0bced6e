// SPDX-License-Identifier: GPL-2.0

//! The path of a received frame from the interrupt to the stack, and of a sent one to its
//! completion: [`Napi`] for [`Nic`]. What happens in the rings is in [`ring::rx`](super::ring::rx)
//! and [`ring::tx`](super::ring::tx).
//!
//! In order: [`Napi::interrupt`] masks the interrupts and schedules [`Napi::poll`], which looks at
//! both rings: [`Nic::poll_rings`] hands up what was received and completes what was sent. When
//! nothing was found, [`Nic::acknowledge`] looks once more, and interrupts are unmasked.

use super::{
    memory::Descriptors,
    nic::Nic,
    regs::event,
    ring::{
        desc::{
            self,
            RxChecksum,
            RxError,
            RxFrameInfo, //
        },
        rx::{
            Received,
            RxRing, //
        },
        tx::TxConsumer, //
    }, //
};
use crate::net::{
    atomic::Flag,
    contexts::{
        PollContext,
        RxContext, //
    },
    device::NetDevice,
    fragment::{
        Completed,
        MappedFragment, //
    },
    operations::{
        IrqReturn,
        Napi,
        Polled, //
    },
    page_pool::{
        PagePool,
        RxBuffer, //
    },
    phy::Phy, //
};
use kernel::sync::atomic::{
    Full,
    Relaxed, //
};

/// The number of polls after which the events are read in any case: while interrupts are masked,
/// events that do not concern the rings cause none.
const POLLS_UNREAD: u32 = 256;

/// The most polls in a row that may find nothing before interrupts are unmasked. After a short
/// burst it is fewer: half as many as the polls that found something since interrupts were last
/// unmasked. A stream of frames has gaps, and an interrupt after each would cost more than these
/// polls. A request and its answer are one poll or two, so that one poll at most is spent on
/// nothing.
const IDLE_POLLS: u32 = 8;

/// Frames up to this many bytes are copied, so that their buffer stays in the ring: for a small
/// frame that is cheaper than a page taken out of the pool for as long as a socket holds it.
const COPY_BREAK: u32 = 256;

/// The settings of reception during one poll.
struct RxSettings {
    /// Frames received in error are handed up, too.
    keep_damaged: bool,
    /// The length of the FCS that is handed up with each frame: 4 or 0.
    fcs: u32,
    /// Frames up to this many bytes are copied out of their buffers.
    copy_break: u32,
}

/// The state that the handler and the poll share.
pub(super) struct IrqState {
    /// Interrupts are unmasked, except while the handler looks.
    unmasked: Flag,
    /// The chip interrupted, and the poll has not acknowledged the events of the rings yet.
    interrupted: Flag,
}

impl IrqState {
    pub(super) const fn new() -> Self {
        Self {
            unmasked: Flag::new(false),
            interrupted: Flag::new(false),
        }
    }
}

/// The half of the driver's state that the poll needs.
pub(crate) struct NapiState<'a> {
    pub(super) tx_memory: Descriptors<'a>,
    pub(super) tx: TxConsumer<MappedFragment<'a>>,
    pub(super) rx_memory: Descriptors<'a>,
    pub(super) rx: RxRing<RxBuffer<'a>>,
    /// The free descriptors at which a stopped queue wakes: enough for a burst, so that it
    /// does not stop at once again.
    wake_threshold: u32,
    /// Something was found in the rings, whose events have not been acknowledged since.
    unacknowledged: bool,
    /// Polls since the events were read.
    unread: u32,
    /// Polls that found something, since interrupts were unmasked.
    busy: u32,
    /// Polls that found nothing, since one that did.
    idle: u32,
}

impl<'a> NapiState<'a> {
    /// Makes what polls two rings in which nothing has happened yet.
    pub(super) fn new(
        tx_memory: Descriptors<'a>,
        tx: TxConsumer<MappedFragment<'a>>,
        wake_threshold: u32,
        rx_memory: Descriptors<'a>,
        rx: RxRing<RxBuffer<'a>>,
    ) -> Self {
        Self {
            tx_memory,
            tx,
            rx_memory,
            rx,
            wake_threshold,
            unacknowledged: false,
            unread: 0,
            busy: 0,
            idle: 0,
        }
    }
}

impl<'a> Napi for Nic<'a> {
    type NapiState = NapiState<'a>;
    type Pool = PagePool<'a>;

    fn enable_interrupts(&self) {
        self.irq.unmasked.store(true, Relaxed);
        self.hw.unmask();
    }

    fn disable_interrupts(&self) {
        self.irq.unmasked.store(false, Relaxed);
        self.hw.mask();
    }

    #[inline]
    fn interrupt(&self, dev: &NetDevice) -> IrqReturn {
        if let Some(answer) = self.interrupt_test.handle(&self.hw) {
            return answer;
        }
        // Masked first, so that the read waits until the chip has released the line: an interrupt
        // handler that returns before is called once more for nothing, and pays for a second read.
        self.hw.mask();
        let Some(events) = self.pending_events() else {
            // Another device on the line interrupted. The poll may unmask at the same time, and
            // sets the flag first: either the flag is seen here, or the poll unmasks after the mask
            // above has reached the chip. In both cases interrupts are unmasked in the end.
            if self.irq.unmasked.load(Relaxed) {
                self.hw.unmask();
            }
            return IrqReturn::None;
        };
        self.irq.unmasked.store(false, Relaxed);
        self.handle_events(dev, events);
        dev.schedule_poll();
        IrqReturn::Handled
    }

    #[inline]
    fn poll(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut NapiState<'a>) -> Polled {
        let mut work = self.poll_rings(cx, poll);
        if cx.receiver().is_none() {
            // Only completions are wanted. Nothing is acknowledged, because what has been received
            // is not looked at.
            return Polled::Idle;
        }
        poll.unread = poll.unread.saturating_add(1);
        if work == 0 {
            if poll.idle < (poll.busy / 2).min(IDLE_POLLS) {
                poll.idle += 1;
                return Polled::Again;
            }
            work = self.acknowledge(cx, poll);
        }
        if poll.unread >= POLLS_UNREAD {
            // Where the core polls by a timer even without frames, interrupts are never unmasked.
            self.read_events(cx, poll);
        }
        if work == 0 {
            poll.busy = 0;
            return Polled::Idle;
        }
        poll.unacknowledged = true;
        poll.busy = poll.busy.saturating_add(1);
        poll.idle = 0;
        Polled::Busy(work)
    }
}

impl<'a> Nic<'a> {
    /// Returns all events of the chip, or `None` if none of them is one that was asked for.
    ///
    /// A chip that is gone answers all ones, also to the other devices of a shared line; it has
    /// no events.
    fn pending_events(&self) -> Option<u16> {
        let events = self.hw.events();
        let (all, ours) = (events.bits(event::GONE), events.bits(self.hw.chip().events));
        (ours != 0 && all != event::GONE).then_some(all)
    }

    /// Leaves the events of the rings to the poll, and acknowledges and acts on the others; those
    /// that were not asked for are acknowledged, too (r8169).
    #[inline]
    fn handle_events(&self, dev: &NetDevice, events: u16) {
        let others = events & !event::RINGS;
        if others != 0 {
            self.hw.acknowledge(others);
        }
        let events = events & self.hw.chip().events;
        if events & event::RINGS != 0 {
            self.irq.interrupted.store(true, Relaxed);
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

    /// Looks at both rings once; returns how many frames were received, or 1 if only some were
    /// sent.
    fn poll_rings(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut NapiState<'a>) -> u32 {
        let sent = self.complete_sent(cx, poll);
        let Some(rx) = cx.receiver() else {
            return sent.into();
        };
        let mut done = 0;
        let (mut missed, mut bytes) = (0u32, 0u32);
        let settings = RxSettings {
            keep_damaged: self.keep_damaged.load(Relaxed),
            fcs: if self.keep_fcs.load(Relaxed) {
                desc::FCS_LENGTH
            } else {
                0
            },
            copy_break: if rx.has_xdp() {
                0
            } else if rx.is_bounced() {
                u32::MAX
            } else {
                COPY_BREAK
            },
        };
        while done < rx.budget() {
            let Some(length) = Self::receive_one(&rx, poll, &settings, &mut missed) else {
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

    /// Hands up the next frame, if the chip has finished a descriptor. Returns the length of the
    /// frame; or, if it was not handed up, 0, and counts it in `missed`.
    #[inline]
    fn receive_one(
        rx: &RxContext<'_, PagePool<'a>>,
        poll: &mut NapiState<'a>,
        settings: &RxSettings,
        missed: &mut u32,
    ) -> Option<u32> {
        let received = poll.rx.next(&poll.rx_memory)?;
        let length = match received.info() {
            Ok(frame) => Self::receive(rx, &poll.rx_memory, received, frame, settings),
            Err(error) => Self::receive_damaged(rx, poll, error, settings)?,
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
        settings: &RxSettings,
    ) -> Option<u32> {
        // A length is below 2^14.
        let length = frame.length().wrapping_add(settings.fcs);
        let tag = desc::rx_vlan(received.opts2());
        let copied = length <= settings.copy_break;
        // The ring gets a new buffer before that of the frame leaves it.
        let new = if copied { None } else { rx.alloc() };
        let skb = match new {
            Some(new) if rx.has_xdp() => {
                // `None`: the program has taken the frame, or it was counted as dropped.
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
            skb.set_csum_unnecessary();
        }
        if let Some(tag) = tag {
            skb.set_vlan_tag(tag);
        }
        // An XDP program may have changed the length.
        let length = skb.length();
        rx.receive(skb);
        Some(length)
    }

    /// Counts the next descriptor, which holds no good frame, and hands up what is in it if that is
    /// wanted.
    // It looks the descriptor up once more: to be passed, it would have to be stored to memory for
    // every good frame as well.
    #[cold]
    #[inline(never)]
    fn receive_damaged(
        rx: &RxContext<'_, PagePool<'a>>,
        poll: &mut NapiState<'a>,
        error: RxError,
        settings: &RxSettings,
    ) -> Option<Option<u32>> {
        count_error(rx.device(), error);
        let memory = &poll.rx_memory;
        let received = poll.rx.next(memory)?;
        let kept = settings.keep_damaged.then(|| received.damaged()).flatten();
        Some(match kept {
            Some(frame) => Self::receive(rx, memory, received, frame, settings),
            None => {
                received.recycle(memory);
                None
            }
        })
    }

    /// Frees the frames that were sent and wakes the queue; returns whether there were any.
    fn complete_sent(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut NapiState<'a>) -> bool {
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

    /// Acknowledges the events of the rings, if there can be any, before interrupts are unmasked;
    /// returns what is in the rings after that.
    ///
    /// While interrupts are masked nothing waits for events, so they are acknowledged once, when
    /// the rings are empty, and not by each poll that finds something. Were they not acknowledged
    /// at all, unmasking would cause an interrupt for frames that have been handled long ago.
    ///
    /// Why no frame is overlooked: The chip writes a descriptor before it sets its event. An
    /// acknowledgement is a posted write and takes its time, so it may also clear the event of a
    /// frame that came after the poll has looked. The read that follows does not overtake it, and
    /// its answer does not overtake what the chip wrote to memory before: so of each event that was
    /// cleared the descriptor is seen by the look after the read. An event that comes after the
    /// acknowledgement stays, and interrupts as soon as that is possible. The handler may run
    /// meanwhile, if an interrupt that was masked too late is still on its way: it sets its flag
    /// before it schedules a poll, which comes here again. The exchange is a full barrier, so the
    /// events of a flag that it clears are older than the acknowledgement.
    fn acknowledge(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut NapiState<'a>) -> u32 {
        if !self.irq.interrupted.xchg(false, Full) && !poll.unacknowledged {
            // Nothing was found since the last acknowledgement: an event that is set belongs to a
            // later frame, and is to interrupt.
            return 0;
        }
        self.hw.acknowledge(event::RINGS);
        poll.unacknowledged = false;
        self.read_events(cx, poll);
        self.poll_rings(cx, poll)
    }

    /// Reads the events and acts on those that are not about the rings.
    fn read_events(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut NapiState<'a>) {
        poll.unread = 0;
        if let Some(events) = self.pending_events() {
            self.handle_events(cx.device(), events);
        }
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
