// SPDX-License-Identifier: GPL-2.0

//! The transmit ring.
//!
//! It is an [`spsc`] ring whose slots are the descriptors: a slot owns the mapping of its fragment,
//! and that of the last fragment owns the frame as well. Nothing is written to the memory of the
//! device before a frame is complete, so giving up half-way is dropping a [`TxFrame`]. Of what the
//! chip wrote only [`desc::OWN`] is ever read.

use super::desc::{
    self,
    DescriptorMemory,
    TxCommand, //
};
use crate::net::spsc::{
    self,
    Consumer,
    Error,
    Producer,
    TxQueue,
    EINVAL, //
};
use core::mem::ManuallyDrop;

/// A piece of a frame that the chip can send from.
///
/// Both answers come from the memory of the CPU and do not change.
pub trait TxFragment {
    /// Returns the address at which the chip sees the fragment.
    fn dma_address(&self) -> u64;

    /// Returns the length in bytes, in [`desc::TX_FRAGMENT_SIZES`].
    fn length(&self) -> u32;
}

/// The reason why a fragment was not taken. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// There is no free descriptor.
    Full,
    /// The length is not in [`desc::TX_FRAGMENT_SIZES`].
    Length,
}

/// Makes a ring for all descriptors of `memory`, none of them owned by the chip.
///
/// # Errors
///
/// `EINVAL` unless the number of descriptors is a power of two in `2..=MAX_DESCRIPTORS`; `ENOMEM`.
pub fn channel<F: TxFragment>(
    memory: &impl DescriptorMemory,
) -> Result<(TxProducer<F>, TxConsumer<F>), Error> {
    let count = memory.count();
    if count > desc::MAX_DESCRIPTORS {
        return Err(EINVAL);
    }
    let (producer, consumer) = spsc::channel(count)?;
    clear(memory, count);
    Ok((TxProducer { ring: producer }, TxConsumer { ring: consumer }))
}

/// Empties the ring and starts it over at index 0, as after a reset of the chip.
///
/// The chip must be stopped. `each` gets every fragment that was inside, oldest first. Returns
/// `false`, and does nothing, when the halves belong to different rings.
pub fn restart<F: TxFragment>(
    producer: &mut TxProducer<F>,
    consumer: &mut TxConsumer<F>,
    memory: &impl DescriptorMemory,
    each: impl FnMut(F),
) -> bool {
    if !spsc::restart(&mut producer.ring, &mut consumer.ring, each) {
        return false;
    }
    clear(memory, producer.ring.capacity());
    true
}

/// Takes all descriptors back from the chip.
fn clear(memory: &impl DescriptorMemory, count: u32) {
    for index in 0..count {
        memory.publish(index, 0, desc::tx_idle(is_end(index, count)), 0);
    }
}

/// Returns whether `index` is the last descriptor of a ring of `count`.
fn is_end(index: u32, count: u32) -> bool {
    index.wrapping_add(1) >= count
}

/// The half that sends: `ndo_start_xmit` holds it.
pub struct TxProducer<F> {
    ring: Producer<F>,
}

impl<F: TxFragment> TxProducer<F> {
    /// Returns whether a frame of `need` fragments fits.
    pub fn has_room(&mut self, need: u32) -> bool {
        self.ring.has_room(need)
    }

    /// Begins a frame with its first fragment.
    ///
    /// # Errors
    ///
    /// Drops the fragment if the ring is full or its length is impossible.
    pub fn begin(&mut self, first: F) -> Result<TxFrame<'_, F>, PushError> {
        let mut frame = self.frame();
        frame.push(first)?;
        Ok(frame)
    }

    /// Begins a frame that has no fragment yet.
    #[inline]
    pub fn frame(&mut self) -> TxFrame<'_, F> {
        // A frame that was leaked and not dropped is still here.
        take_back(&mut self.ring);
        TxFrame {
            ring: &mut self.ring,
        }
    }

    /// Sends a frame that is one fragment.
    ///
    /// # Errors
    ///
    /// Drops the fragment if the ring is full or its length is impossible.
    pub fn post(
        &mut self,
        memory: &impl DescriptorMemory,
        fragment: F,
        command: TxCommand,
    ) -> Result<(), PushError> {
        self.begin(fragment)?.commit(memory, command);
        Ok(())
    }

    /// Returns whether the chip may have finished the last frame before the consumer could see it.
    ///
    /// The chip can send a frame, and interrupt, between the moment it gets the descriptors and
    /// the moment the consumer gets the slots; that interrupt finds nothing to do, and there is no
    /// other. Ask this after the last [`TxFrame::commit`] of a batch, and schedule the poll if it
    /// says so. It may be true without need, but is never false when there is need.
    #[must_use = "the poll must be scheduled if this is true"]
    pub fn finished_early(&self, memory: &impl DescriptorMemory) -> bool {
        // Orders the counter that `commit` published before the read of OWN: if the chip has not
        // finished by then, its interrupt comes later, and the poll sees the slots.
        spsc::full_barrier();
        let newest = self.ring.index_after(u32::MAX);
        memory.opts1(newest).bits(desc::OWN) == 0 && self.ring.free() < self.ring.capacity()
    }

    /// Stops `queue` if fewer than `need` descriptors are free; see [`Producer::stop_if_full`].
    pub fn stop_if_full(&mut self, queue: &impl TxQueue, need: u32) -> bool {
        self.ring.stop_if_full(queue, need)
    }
}

/// A frame that is being put together; dropping it takes it back.
#[must_use = "the frame is sent by `commit`"]
pub struct TxFrame<'a, F: TxFragment> {
    ring: &'a mut Producer<F>,
}

impl<F: TxFragment> TxFrame<'_, F> {
    /// Adds the next fragment.
    ///
    /// # Errors
    ///
    /// Drops the fragment if the ring is full or its length is impossible.
    // A call would move the fragment once more.
    #[inline(always)]
    pub fn push(&mut self, fragment: F) -> Result<(), PushError> {
        if !desc::TX_FRAGMENT_SIZES.contains(&fragment.length()) {
            return Err(PushError::Length);
        }
        match self.ring.push(fragment) {
            Ok(_) => Ok(()),
            Err(_) => Err(PushError::Full),
        }
    }

    /// Gives the frame to the chip, then to the consumer.
    ///
    /// The descriptors are written back to front, so that the chip gets the first one last and
    /// never finds half a frame. The consumer must not see a slot whose descriptor still shows the
    /// cleared OWN of the lap before, so it gets the slots after that. What must precede the
    /// completion (time stamp, byte queue limits) must be done before this is called.
    #[inline]
    pub fn commit(self, memory: &impl DescriptorMemory, command: TxCommand) {
        // Then there is nothing to take back.
        let mut this = ManuallyDrop::new(self);
        let count = this.ring.unpublished();
        if count == 1 {
            // The most frequent by far.
            this.write(memory, command, 0, true, true);
        } else {
            this.write_all(memory, command, count);
        }
        this.ring.publish();
    }

    #[inline(never)]
    fn write_all(&self, memory: &impl DescriptorMemory, command: TxCommand, count: u32) {
        for nth in (0..count).rev() {
            self.write(memory, command, nth, nth == 0, is_end(nth, count));
        }
    }

    /// Gives the descriptor of the `nth` fragment to the chip.
    #[inline(always)]
    fn write(
        &self,
        memory: &impl DescriptorMemory,
        command: TxCommand,
        nth: u32,
        first: bool,
        last: bool,
    ) {
        if let Some((index, fragment)) = self.ring.peek_unpublished(nth) {
            let end = is_end(index, self.ring.capacity());
            let opts1 = command.opts1(fragment.length(), first, last, end);
            memory.publish(index, fragment.dma_address(), opts1, command.opts2());
        }
    }
}

impl<F: TxFragment> Drop for TxFrame<'_, F> {
    fn drop(&mut self) {
        take_back(self.ring);
    }
}

/// Takes all fragments back that are not published.
#[inline]
fn take_back<F>(ring: &mut Producer<F>) {
    if ring.unpublished() > 0 {
        take_back_some(ring);
    }
}

#[cold]
fn take_back_some<F>(ring: &mut Producer<F>) {
    while ring.unpush().is_some() {}
}

/// The half that completes: the NAPI poll holds it.
pub struct TxConsumer<F> {
    ring: Consumer<F>,
}

impl<F: TxFragment> TxConsumer<F> {
    /// Takes the oldest fragment out if the chip is done with it.
    ///
    /// Its descriptor is free for the producer after [`TxConsumer::release`].
    pub fn next_done(&mut self, memory: &impl DescriptorMemory) -> Option<F> {
        self.next_done_if(memory, |_| true)
    }

    /// The same, if it is one that `wanted` says.
    #[inline]
    pub fn next_done_if(
        &mut self,
        memory: &impl DescriptorMemory,
        wanted: impl FnOnce(&F) -> bool,
    ) -> Option<F> {
        self.ring
            .pop_if(|index, fragment| memory.opts1(index).bits(desc::OWN) == 0 && wanted(fragment))
    }

    /// Returns how many fragments are in the ring, done or not.
    pub fn pending(&self) -> u32 {
        self.ring.pending()
    }

    /// Gives the descriptors of all fragments taken out back to the producer.
    pub fn release(&mut self) {
        self.ring.release();
    }

    /// Wakes `queue` if it is stopped and `threshold` descriptors are free; see
    /// [`Consumer::wake_if_stopped`].
    pub fn wake_if_stopped(&mut self, queue: &impl TxQueue, threshold: u32) {
        self.ring.wake_if_stopped(queue, threshold);
    }
}
