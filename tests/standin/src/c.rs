// SPDX-License-Identifier: GPL-2.0

//! The C side for tests.

#![allow(clippy::missing_safety_doc)]

use crate::ffi::{c_char, c_int, c_ulong, c_void};
use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Mutex;

#[cfg(loom)]
use loom::{
    sync::atomic::{AtomicU64, Ordering},
    thread::yield_now,
};
#[cfg(not(loom))]
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::yield_now,
};

pub(crate) const MUTEX_BYTES: usize = 32;
pub(crate) const LOCK_CLASS_KEY_BYTES: usize = 0;

/// The state that a test sees and sets; all is per thread.
pub mod fake {
    use super::*;

    thread_local! {
        pub(super) static LIVE: Cell<isize> = const { Cell::new(0) };
        pub(super) static FAILING: Cell<bool> = const { Cell::new(false) };
        pub(super) static WARNINGS: Cell<u32> = const { Cell::new(0) };
        pub(super) static SLEPT: Cell<usize> = const { Cell::new(0) };
        pub(super) static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    /// Returns how many pieces of memory were got and not given back.
    pub fn live() -> isize {
        LIVE.get()
    }
    /// Lets allocations fail, or succeed again.
    pub fn fail(failing: bool) {
        FAILING.set(failing);
    }
    /// Returns the number of warnings of a wrong count.
    pub fn warnings() -> u32 {
        WARNINGS.get()
    }
    /// Returns what was logged of tests of KUnit: names, and why one failed.
    pub fn log() -> Vec<String> {
        LOG.take()
    }
    /// Returns the microseconds of the last sleep.
    pub fn slept() -> usize {
        SLEPT.get()
    }
}

/// Address, layout, and whether of `kvmalloc`.
static MEMORY: Mutex<Option<HashMap<usize, (Layout, bool)>>> = Mutex::new(None);

fn allocate(size: usize, kv: bool) -> *mut c_void {
    assert_ne!(size, 0, "nothing is asked for");
    if fake::FAILING.get() {
        return std::ptr::null_mut();
    }
    let align = (1 << size.trailing_zeros()).clamp(8, 4096);
    let layout = Layout::from_size_align(size, align).unwrap();
    // SAFETY: The size is not 0.
    let memory = unsafe { std::alloc::alloc(layout) };
    assert!(!memory.is_null());
    // SAFETY: It is memory of that size.
    unsafe { memory.write_bytes(0xa5, size) };
    let mut all = MEMORY.lock().unwrap();
    all.get_or_insert_default()
        .insert(memory as usize, (layout, kv));
    fake::LIVE.set(fake::LIVE.get() + 1);
    memory.cast()
}

fn give_back(memory: *mut c_void, kv: bool) {
    let known = MEMORY
        .lock()
        .unwrap()
        .as_mut()
        .and_then(|all| all.remove(&(memory as usize)));
    let (layout, of) = known.expect("given back twice, or not allocated");
    assert_eq!(of, kv, "given back to the wrong allocator");
    fake::LIVE.set(fake::LIVE.get() - 1);
    // SAFETY: It is of `allocate` with this layout and was not given back.
    unsafe {
        memory.cast::<u8>().write_bytes(0xdd, layout.size());
        std::alloc::dealloc(memory.cast(), layout);
    }
}

pub(crate) unsafe fn standin_kmalloc(size: usize) -> *mut c_void {
    allocate(size, false)
}
pub(crate) unsafe fn standin_kfree(memory: *mut c_void) {
    give_back(memory, false);
}
pub(crate) unsafe fn standin_kvmalloc(size: usize) -> *mut c_void {
    allocate(size, true)
}
pub(crate) unsafe fn standin_kvfree(memory: *mut c_void) {
    give_back(memory, true);
}

/// The lock: 1 is free, 2 is taken.
#[cfg(not(loom))]
unsafe fn word<'a>(mutex: *mut c_void) -> &'a AtomicU64 {
    // SAFETY: The caller's mutex is memory of 32 bytes, of which this is the first word.
    unsafe { AtomicU64::from_ptr(mutex.cast()) }
}
/// The same for loom, whose atomics are larger: the first word points to it.
#[cfg(loom)]
unsafe fn word<'a>(mutex: *mut c_void) -> &'a AtomicU64 {
    // SAFETY: The caller's mutex is memory of 32 bytes, which `standin_mutex_init` has written.
    unsafe { *mutex.cast::<&AtomicU64>() }
}
pub(crate) unsafe fn standin_mutex_init(mutex: *mut c_void, name: *const c_char, _: *mut c_void) {
    // SAFETY: The name is a string.
    assert_ne!(unsafe { *name }, 0);
    #[cfg(loom)]
    // SAFETY: The caller's mutex is memory of 32 bytes.
    unsafe {
        mutex
            .cast::<&AtomicU64>()
            .write(Box::leak(Box::new(AtomicU64::new(0))))
    };
    // SAFETY: By the safety requirements.
    unsafe { word(mutex) }.store(1, Ordering::Relaxed);
}
pub(crate) unsafe fn standin_mutex_lock(mutex: *mut c_void) {
    // SAFETY: By the safety requirements.
    let word = unsafe { word(mutex) };
    while let Err(state) = word.compare_exchange(1, 2, Ordering::Acquire, Ordering::Relaxed) {
        assert_eq!(state, 2, "not initialised");
        yield_now();
    }
}
pub(crate) unsafe fn standin_mutex_unlock(mutex: *mut c_void) {
    // SAFETY: By the safety requirements.
    let word = unsafe { word(mutex) };
    assert_eq!(word.swap(1, Ordering::Release), 2, "not locked");
}
pub(crate) unsafe fn standin_fsleep(us: c_ulong) {
    fake::SLEPT.set(us);
}
fn log(text: *const c_char, length: c_int) {
    // SAFETY: The caller's text has that many bytes.
    let text = unsafe { std::slice::from_raw_parts(text, length.try_into().unwrap()) };
    fake::LOG.with_borrow_mut(|log| log.push(std::str::from_utf8(text).unwrap().to_owned()));
}
pub(crate) unsafe fn standin_kunit_begin(name: *const c_char, length: c_int) {
    log(name, length);
}
pub(crate) unsafe fn standin_kunit_fail(text: *const c_char, length: c_int) {
    log(text, length);
}
pub(crate) unsafe fn standin_warn_count() {
    fake::WARNINGS.set(fake::WARNINGS.get() + 1);
}
