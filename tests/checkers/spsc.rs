// SPDX-License-Identifier: GPL-2.0

//! The ring between a producer and a consumer (`rust/net/spsc.rs`), for a model checker of C
//! (`scripts/check-models`): functions that spsc.c calls in any order. What the ring uses of the
//! kernel is here, in memory that is never freed.

#![no_std]

// The ring finds the kernel crate by this name.
extern crate self as kernel;

/// See `rust/net`.
#[path = "../../rust/net"]
pub mod net {
    pub mod spsc;

    /// The barrier, at which spsc.c lets the other half run.
    pub mod barrier {
        extern "C" {
            fn barrier();
        }

        /// The full barrier.
        pub fn smp_mb() {
            // SAFETY: spsc.c has it.
            unsafe { barrier() };
        }
    }
}

/// Memory.
pub mod alloc {
    use core::ops::{Deref, DerefMut};

    /// The flags of an allocation.
    pub mod flags {
        /// The flags that the ring uses.
        pub const GFP_KERNEL: () = ();
    }

    /// An error: there is no memory.
    pub struct AllocError;

    /// The number of words that there are.
    const WORDS: usize = 40;

    #[repr(align(64))]
    struct Arena([u64; WORDS]);

    static mut NEXT: usize = 0;
    static mut ARENA: Arena = Arena([0; WORDS]);

    /// Returns room for values that are never freed.
    pub(crate) fn room<T>(count: usize) -> Result<*mut T, AllocError> {
        let words = (count * size_of::<T>()).div_ceil(8);
        // SAFETY: There is one thread, and what is handed out is handed out once.
        unsafe {
            let align = align_of::<T>().div_ceil(8);
            let start = NEXT.next_multiple_of(align);
            if start + words > WORDS {
                return Err(AllocError);
            }
            NEXT = start + words;
            Ok((&raw mut ARENA).cast::<u64>().add(start).cast())
        }
    }

    /// A vector whose capacity is fixed.
    pub struct KVVec<T> {
        values: *mut T,
        length: usize,
        capacity: usize,
    }

    impl<T> KVVec<T> {
        /// Makes an empty one.
        pub fn with_capacity(capacity: usize, _flags: ()) -> Result<Self, AllocError> {
            let values = room(capacity)?;
            Ok(Self {
                values,
                length: 0,
                capacity,
            })
        }

        /// Appends a value.
        pub fn push_within_capacity(&mut self, value: T) -> Result<(), T> {
            if self.length == self.capacity {
                return Err(value);
            }
            // SAFETY: There is room.
            unsafe { self.values.add(self.length).write(value) };
            self.length += 1;
            Ok(())
        }
    }

    impl<T> Deref for KVVec<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            // SAFETY: So many were written.
            unsafe { core::slice::from_raw_parts(self.values, self.length) }
        }
    }

    impl<T> DerefMut for KVVec<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            // SAFETY: So many were written.
            unsafe { core::slice::from_raw_parts_mut(self.values, self.length) }
        }
    }
}

/// The parts of the kernel that threads share.
pub mod sync {
    use crate::alloc::{room, AllocError};
    use core::ops::Deref;

    /// Atomic values.
    pub mod atomic {
        use core::sync::atomic::{AtomicU32, Ordering};

        /// The order of a load.
        pub struct Acquire;
        /// The order of a store.
        pub struct Release;

        /// An atomic value; all of them are words.
        pub struct Atomic<T>(AtomicU32, core::marker::PhantomData<T>);

        impl Atomic<u32> {
            /// Makes one.
            pub const fn new(value: u32) -> Self {
                Self(AtomicU32::new(value), core::marker::PhantomData)
            }

            /// Reads it.
            pub fn load(&self, _order: Acquire) -> u32 {
                self.0.load(Ordering::Acquire)
            }

            /// Writes it.
            pub fn store(&self, value: u32, _order: Release) {
                self.0.store(value, Ordering::Release);
            }
        }
    }

    /// A value that is never freed.
    pub struct Arc<T>(*const T);

    impl<T> Arc<T> {
        /// Makes one.
        pub fn new(value: T, _flags: ()) -> Result<Self, AllocError> {
            let place: *mut T = room(1)?;
            // SAFETY: There is room.
            unsafe { place.write(value) };
            Ok(Self(place))
        }

        /// Returns whether both are the same.
        pub fn ptr_eq(one: &Self, other: &Self) -> bool {
            one.0 == other.0
        }
    }

    impl<T> Clone for Arc<T> {
        fn clone(&self) -> Self {
            Self(self.0)
        }
    }

    impl<T> Deref for Arc<T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: It was written, and is never freed.
            unsafe { &*self.0 }
        }
    }
}

/// Errors.
pub mod error {
    use crate::alloc::AllocError;

    /// A number.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct Error(pub i32);

    /// The numbers that are used.
    pub mod code {
        use super::Error;

        /// An argument is out of its range.
        pub const EINVAL: Error = Error(-22);
        /// There is no memory.
        pub const ENOMEM: Error = Error(-12);
    }

    impl From<AllocError> for Error {
        fn from(_: AllocError) -> Self {
            code::ENOMEM
        }
    }
}

use net::spsc::{self, Consumer, Producer, TxQueue};

extern "C" {
    fn queue_stop();
    fn queue_wake();
    fn queue_is_stopped() -> u32;
    fn restarted(item: u32);
}

struct Queue;

impl TxQueue for Queue {
    fn stop(&self) {
        // SAFETY: spsc.c has it.
        unsafe { queue_stop() };
    }
    fn wake(&self) {
        // SAFETY: As above.
        unsafe { queue_wake() };
    }
    fn is_stopped(&self) -> bool {
        // SAFETY: As above.
        unsafe { queue_is_stopped() != 0 }
    }
}

static mut PRODUCER: Option<Producer<u32>> = None;
static mut CONSUMER: Option<Consumer<u32>> = None;

/// The half that puts in. The other half runs in its barriers, which touches nothing of it.
fn producer() -> &'static mut Producer<u32> {
    // SAFETY: `open` has made it, and each function here uses it once.
    unsafe { (*(&raw mut PRODUCER)).as_mut().unwrap_unchecked() }
}

/// The half that takes out.
fn consumer() -> &'static mut Consumer<u32> {
    // SAFETY: As above.
    unsafe { (*(&raw mut CONSUMER)).as_mut().unwrap_unchecked() }
}

const NONE: u64 = 1 << 63;

fn pair(index: u32, item: u32) -> u64 {
    u64::from(index) << 32 | u64::from(item)
}

/// Makes the ring; 0 if that is refused.
#[no_mangle]
pub extern "C" fn open(capacity: u32) -> u32 {
    match spsc::channel(capacity) {
        Ok((producer, consumer)) => {
            // SAFETY: There is one thread.
            unsafe {
                PRODUCER = Some(producer);
                CONSUMER = Some(consumer);
            }
            1
        }
        Err(_) => 0,
    }
}

#[no_mangle]
pub extern "C" fn push(item: u32) -> u64 {
    match producer().push(item) {
        Ok(index) => pair(index, item),
        Err(back) => NONE | u64::from(back),
    }
}

#[no_mangle]
pub extern "C" fn unpush() -> u64 {
    producer().unpush().map_or(NONE, u64::from)
}

#[no_mangle]
pub extern "C" fn publish() {
    producer().publish();
}

#[no_mangle]
pub extern "C" fn peek(n: u32) -> u64 {
    producer()
        .peek_unpublished(n)
        .map_or(NONE, |(index, item)| pair(index, *item))
}

#[no_mangle]
pub extern "C" fn unpublished() -> u32 {
    producer().unpublished()
}

#[no_mangle]
pub extern "C" fn free_now() -> u32 {
    producer().free()
}

#[no_mangle]
pub extern "C" fn has_room(need: u32) -> u32 {
    u32::from(producer().has_room(need))
}

#[no_mangle]
pub extern "C" fn index_after(n: u32) -> u32 {
    producer().index_after(n)
}

#[no_mangle]
pub extern "C" fn stop_if_full(need: u32) -> u32 {
    u32::from(producer().stop_if_full(&Queue, need))
}

#[no_mangle]
pub extern "C" fn pop(wanted: u32) -> u64 {
    let mut place = 0;
    let item = consumer().pop_if(|index, _| {
        place = index;
        wanted != 0
    });
    item.map_or(NONE, |item| pair(place, item))
}

#[no_mangle]
pub extern "C" fn pending() -> u32 {
    consumer().pending()
}

#[no_mangle]
pub extern "C" fn release() {
    consumer().release();
}

#[no_mangle]
pub extern "C" fn wake_if_stopped(threshold: u32) {
    consumer().wake_if_stopped(&Queue, threshold);
}

#[no_mangle]
pub extern "C" fn restart() -> u32 {
    // SAFETY: spsc.c has it.
    let each = |item| unsafe { restarted(item) };
    u32::from(spsc::restart(producer(), consumer(), each))
}
