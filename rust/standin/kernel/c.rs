// SPDX-License-Identifier: GPL-2.0

//! The C side: `rust/standin/standin.c`. Tests on the host have another one,
//! `tests/standin/src/c.rs`.

use crate::ffi::{
    c_char,
    c_int,
    c_ulong,
    c_void, //
};

// `MUTEX_BYTES` and `LOCK_CLASS_KEY_BYTES`, as the C compiler has them; see `sizes.c`.
include!(env!("STANDIN_SIZES"));

extern "C" {
    /// `kmalloc` with `GFP_KERNEL`.
    pub(crate) fn standin_kmalloc(size: usize) -> *mut c_void;
    /// `kfree`.
    pub(crate) fn standin_kfree(memory: *mut c_void);
    /// `kvmalloc` with `GFP_KERNEL`.
    pub(crate) fn standin_kvmalloc(size: usize) -> *mut c_void;
    /// `kvfree`.
    pub(crate) fn standin_kvfree(memory: *mut c_void);
    /// `__mutex_init`.
    pub(crate) fn standin_mutex_init(mutex: *mut c_void, name: *const c_char, key: *mut c_void);
    /// `mutex_lock`.
    pub(crate) fn standin_mutex_lock(mutex: *mut c_void);
    /// `mutex_unlock`.
    pub(crate) fn standin_mutex_unlock(mutex: *mut c_void);
    /// `fsleep`.
    pub(crate) fn standin_fsleep(us: c_ulong);
    /// Prints the text and calls `BUG()`.
    pub(crate) fn standin_panic(text: *const c_char, length: c_int) -> !;
    /// Warns, once, of an `Arc` whose count is wrong.
    pub(crate) fn standin_warn_count();
    /// Logs the name of a test of KUnit; see `rust/standin/kunit.c`.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn standin_kunit_begin(name: *const c_char, length: c_int);
    /// Has the current test of KUnit fail with this text.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn standin_kunit_fail(text: *const c_char, length: c_int);
    /// `THIS_MODULE`.
    pub(crate) fn standin_this_module() -> *mut c_void;
}
