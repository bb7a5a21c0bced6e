// SPDX-License-Identifier: GPL-2.0

//! A lock-free ring between one producer and one consumer, which owns its items.
//!
//! It carries the slots of the TX ring: `ndo_start_xmit` holds the [`Producer`] (under the lock of
//! the TX queue), the NAPI poll holds the [`Consumer`]. Both run at the same time on two CPUs and
//! share nothing but two counters. The index of a slot is the index of its hardware descriptor.
//!
//! # Counters
//!
//! All four counters are `u32`, count slots since the ring was made and wrap freely:
//!
//! ```text
//!   released <= popped <= published <= pushed <= released + capacity     (modulo 2^32)
//!   `---- the consumer's ----'    `-------- the producer's --------'
//! ```
//!
//! `published` and `released` are shared, each on a cache line of its own; `pushed` and `popped`
//! are private to their half. Each half keeps the last value it saw of the other's counter and
//! looks again only when that value says "full" or "empty".
//!
//! The counters start two laps before they wrap, so that a mistake in their arithmetic shows in
//! the first second of every test and not after 2^32 frames.
//!
//! # Stop and wake
//!
//! [`Producer::stop_if_full`] and [`Consumer::wake_if_stopped`] each write (the stop flag,
//! `released`), pass a full barrier and then read what the other side writes. So at least one of
//! them sees the other, and a queue cannot stay stopped while its slots are free.
//!
//! The reverse can happen: the consumer decides to wake, the producer fills the ring and stops, and
//! the wake-up comes after that. So a producer that finds no room in a running queue calls
//! [`Producer::stop_if_full`] again and answers "busy" if it returns `true`.
//!
//! # Examples
//!
//! ```
//! use crate::net::spsc::{
//!     self,
//!     Consumer,
//!     Error,
//!     Producer,
//!     TxQueue, //
//! };
//!
//! fn ring() -> Result<(Producer<u64>, Consumer<u64>), Error> {
//!     spsc::channel(256)
//! }
//!
//! /// Returns the descriptor of an item; gives the item back if the ring is full.
//! fn send(queue: &impl TxQueue, ring: &mut Producer<u64>, item: u64) -> Result<u32, u64> {
//!     let index = ring.push(item)?;
//!     ring.publish();
//!     ring.stop_if_full(queue, 1);
//!     Ok(index)
//! }
//!
//! /// Takes out what is done, by the index of its descriptor.
//! fn complete(queue: &impl TxQueue, ring: &mut Consumer<u64>, mut done: impl FnMut(u32) -> bool) {
//!     while ring.pop_if(|index, _| done(index)).is_some() {}
//!     ring.release();
//!     ring.wake_if_stopped(queue, 64);
//! }
//! ```

#[path = "spsc/shared.rs"]
mod shared;
#[path = "spsc/sync.rs"]
mod sync;

use core::marker::PhantomData;
use shared::Inner;
use sync::{
    Arc,
    Counter,
    SlotCell, //
};

pub use sync::Error;
pub(crate) use sync::{
    full_barrier,
    Table,
    EINVAL, //
};

/// The largest capacity of a ring, in slots.
pub const MAX_CAPACITY: u32 = 4096;

/// The stop flag of a transmit queue, as the network core keeps it.
///
/// The methods must not order anything by themselves: the ring adds the barriers.
pub trait TxQueue {
    /// Has the network core send no more frames for now.
    fn stop(&self);

    /// Clears the stop flag and lets the network core send again.
    fn wake(&self);

    /// Returns whether the queue is stopped.
    fn is_stopped(&self) -> bool;
}

/// Makes a ring of `capacity` slots.
///
/// # Errors
///
/// `EINVAL` unless `capacity` is a power of two in `2..=MAX_CAPACITY`; `ENOMEM` when there is no
/// memory for the slots.
pub fn channel<T>(capacity: u32) -> Result<(Producer<T>, Consumer<T>), Error> {
    if !capacity.is_power_of_two() || !(2..=MAX_CAPACITY).contains(&capacity) {
        return Err(EINVAL);
    }

    let start = first_count(capacity);
    // INVARIANT: `capacity` was checked above, is no 0, and `slots` has that many elements. Both
    // counters are equal: every slot is empty and belongs to the producer.
    let inner = sync::shared(Inner {
        published: Counter::new(start),
        released: Counter::new(start),
        slots: Table::from_fn(capacity, |_| Ok::<_, Error>(SlotCell::new(None)))?,
        mask: capacity.wrapping_sub(1),
    })?;

    // INVARIANT: All counters of both halves equal the shared ones, and these are the only halves.
    Ok((
        Producer {
            inner: inner.clone(),
            pushed: start,
            published: start,
            end: start.wrapping_add(capacity),
            _items: PhantomData,
        },
        Consumer {
            inner,
            popped: start,
            released: start,
            published: start,
            _items: PhantomData,
        },
    ))
}

/// Empties the ring and starts it over at index 0, as a chip does after a reset.
///
/// `each` gets every item inside, oldest first, those which were not published yet included.
/// Returns `false`, and does nothing, when the halves belong to different rings.
pub fn restart<T>(
    producer: &mut Producer<T>,
    consumer: &mut Consumer<T>,
    mut each: impl FnMut(T),
) -> bool {
    if !Arc::ptr_eq(&producer.inner, &consumer.inner) {
        return false;
    }

    producer.publish();
    while let Some(item) = consumer.pop() {
        each(item);
    }

    // INVARIANT: The ring is empty, and nothing else looks at it: both halves are borrowed
    // exclusively. All counters become equal again, so every slot is the producer's.
    let start = first_count(producer.inner.capacity());
    producer.inner.released.release(start);
    producer.inner.published.release(start);
    producer.pushed = start;
    producer.published = start;
    producer.end = start.wrapping_add(producer.inner.capacity());
    consumer.popped = start;
    consumer.released = start;
    consumer.published = start;
    true
}

/// The count of the first slot: index 0, two laps before the counters wrap.
fn first_count(capacity: u32) -> u32 {
    0u32.wrapping_sub(capacity.wrapping_mul(2))
}

/// The half of a ring that puts items in.
///
/// # Invariants
///
/// - It is the only producer of `inner`, and `published` equals the shared counter.
/// - `end - capacity` is a value that the shared counter `released` had: it is never ahead of it.
/// - `published <= pushed <= end` modulo 2^32; the slots of `published..pushed`
///   are full, the slots of `pushed..end` are empty.
pub struct Producer<T> {
    inner: Arc<Inner<T>>,
    pushed: u32,
    published: u32,
    end: u32,
    _items: PhantomData<T>,
}

impl<T> Producer<T> {
    /// Returns the number of slots of the ring.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.inner.capacity()
    }

    /// Returns how many more items fit at this moment; the consumer can only make it more.
    ///
    /// Reads the consumer's cache line: use [`Producer::has_room`] on the hot path.
    pub fn free(&self) -> u32 {
        self.end_now().wrapping_sub(self.pushed)
    }

    /// Returns whether `need` more items fit; looks at the consumer's counter only if it must.
    #[inline]
    pub fn has_room(&mut self, need: u32) -> bool {
        if self.end.wrapping_sub(self.pushed) < need {
            // INVARIANT: `released` only grows, up to `published`.
            self.end = self.end_now();
        }
        self.end.wrapping_sub(self.pushed) >= need
    }

    /// Returns where the slots end that are the producer's at this moment.
    fn end_now(&self) -> u32 {
        let released = self.inner.released.acquire();
        released.wrapping_add(self.inner.capacity())
    }

    /// Returns the index that the next push takes, in `0..capacity`.
    pub fn next_index(&self) -> u32 {
        self.index_after(0)
    }

    /// Returns the index that the push after `n` others takes, in `0..capacity`.
    pub fn index_after(&self, n: u32) -> u32 {
        self.inner.index(self.pushed.wrapping_add(n))
    }

    /// Stores `item` in the next slot and returns the slot's index.
    ///
    /// The consumer sees it after [`Producer::publish`]; [`Producer::unpush`] takes it back until
    /// then.
    ///
    /// # Errors
    ///
    /// Gives the item back when the ring is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<u32, T> {
        if !self.has_room(1) {
            return Err(item);
        }
        // SAFETY: There was room by an acquired value of `released`, so by the type invariants the
        // slot is the producer's and empty, and `&mut self` makes this its only access.
        unsafe { self.inner.fill(self.pushed, item) };

        let index = self.next_index();
        // INVARIANT: There was room, and the slot is full now.
        self.pushed = self.pushed.wrapping_add(1);
        Ok(index)
    }

    /// Takes back the newest item that is not published yet.
    #[inline]
    pub fn unpush(&mut self) -> Option<T> {
        if self.pushed == self.published {
            return None;
        }
        // INVARIANT: `pushed` was ahead of `published`, so it is not behind it now; the slot that
        // it leaves is emptied below.
        self.pushed = self.pushed.wrapping_sub(1);

        // SAFETY: The slot was pushed and is not published, so by the type invariants it is full
        // and the producer's, and `&mut self` makes this its only access.
        Some(unsafe { self.inner.take(self.pushed) })
    }

    /// Returns how many items are pushed and not published.
    pub fn unpublished(&self) -> u32 {
        self.pushed.wrapping_sub(self.published)
    }

    /// Returns the `n`th item that is pushed and not published, oldest first, with its index.
    #[inline]
    pub fn peek_unpublished(&self, n: u32) -> Option<(u32, &T)> {
        if n >= self.unpublished() {
            return None;
        }
        let count = self.published.wrapping_add(n);

        // SAFETY: The slot is pushed and not published, so by the type invariants it is full and
        // the producer's, which writes slots with `&mut self` only.
        let item = unsafe { self.inner.get(count) };
        Some((self.inner.index(count), item))
    }

    /// Shows everything pushed so far to the consumer (release).
    ///
    /// What this CPU wrote before, descriptors included, is seen by a consumer that sees the items.
    pub fn publish(&mut self) {
        // INVARIANT: The slots up to `pushed` are full; they become the consumer's.
        self.published = self.pushed;
        self.inner.published.release(self.published);
    }

    /// Stops `queue` if fewer than `need` items fit; returns whether it is left stopped.
    ///
    /// Call it after [`Producer::publish`]: the consumer wakes the queue when it releases slots,
    /// and it never releases what it cannot see. `need` must be at most the capacity.
    #[inline]
    pub fn stop_if_full(&mut self, queue: &impl TxQueue, need: u32) -> bool {
        !self.has_room(need) && self.stop(queue, need)
    }

    #[cold]
    fn stop(&mut self, queue: &impl TxQueue, need: u32) -> bool {
        queue.stop();
        // Pairs with the barrier in `Consumer::wake_if_stopped`: either the consumer sees the flag
        // or this half sees the slots it released.
        full_barrier();
        if self.has_room(need) {
            queue.wake();
            return false;
        }
        true
    }
}

/// The half of a ring that takes items out.
///
/// # Invariants
///
/// - It is the only consumer of `inner`, and `released` equals the shared counter.
/// - `published` is a value that the shared counter had: it is never ahead of it.
/// - `released <= popped <= published` modulo 2^32; the slots of `released..popped` are empty, the
///   slots of `popped..published` are full.
pub struct Consumer<T> {
    inner: Arc<Inner<T>>,
    popped: u32,
    released: u32,
    published: u32,
    _items: PhantomData<T>,
}

impl<T> Consumer<T> {
    /// Returns how many published items are not popped yet.
    pub fn pending(&self) -> u32 {
        let published = self.inner.published.acquire();
        published.wrapping_sub(self.popped)
    }

    /// Takes the oldest item out; its slot is free only after [`Consumer::release`].
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.pop_if(|_, _| true)
    }

    /// The same, if `wanted` says so, which gets the index of the oldest item and the item.
    #[inline]
    pub fn pop_if(&mut self, wanted: impl FnOnce(u32, &T) -> bool) -> Option<T> {
        if self.popped == self.published {
            // INVARIANT: This is a value of the shared counter. It only grows.
            self.published = self.inner.published.acquire();
            if self.popped == self.published {
                return None;
            }
        }

        // SAFETY: `popped` is behind an acquired value of `published`, so by the type invariants
        // the slot is full and the consumer's, and `&mut self` makes this its only access.
        let item = unsafe { self.inner.get(self.popped) };
        if !wanted(self.inner.index(self.popped), item) {
            return None;
        }
        // SAFETY: The slot is full and the consumer's, as was shown, and the reference to its item
        // is not used again.
        let item = unsafe { self.inner.take(self.popped) };

        // INVARIANT: `popped` was behind `published`, and its slot is empty now.
        self.popped = self.popped.wrapping_add(1);
        Some(item)
    }

    /// Gives all popped slots back to the producer (release).
    pub fn release(&mut self) {
        if self.released != self.popped {
            // INVARIANT: The slots up to `popped` are empty; they become the producer's.
            self.released = self.popped;
            self.inner.released.release(self.released);
        }
    }

    /// Wakes `queue` if it is stopped and at least `threshold` slots are free.
    ///
    /// Call it after the last [`Consumer::release`] of a poll. `threshold` must be at least the
    /// `need` of [`Producer::stop_if_full`], and at most the capacity, above which no queue would
    /// ever be woken.
    pub fn wake_if_stopped(&mut self, queue: &impl TxQueue, threshold: u32) {
        // Pairs with the barrier in `Producer::stop_if_full`.
        full_barrier();
        if queue.is_stopped() {
            let used = self.inner.published.acquire().wrapping_sub(self.released);
            if self.inner.capacity().wrapping_sub(used) >= threshold {
                queue.wake();
            }
        }
    }
}
