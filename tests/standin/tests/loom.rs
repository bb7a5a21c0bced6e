// SPDX-License-Identifier: GPL-2.0

//! What threads share of the stand-in, in every order that the memory model allows.

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::thread;
use standin::alloc::flags::GFP_KERNEL;
use standin::sync::atomic::{Acquire, Atomic, Release};
use standin::sync::Arc;

struct Cell(UnsafeCell<u32>);
// SAFETY: Loom checks the use.
unsafe impl Sync for Cell {}
// SAFETY: As above.
unsafe impl Send for Cell {}

struct Owned(Cell);

impl Drop for Owned {
    fn drop(&mut self) {
        // Conflicts with the reads of other owners unless they happened before.
        self.0 .0.with_mut(|_| ());
    }
}

#[test]
fn the_value_is_dropped_after_all_uses() {
    loom::model(|| {
        let one = Arc::new(Owned(Cell(UnsafeCell::new(1))), GFP_KERNEL).unwrap();
        let two = one.clone();
        let other = thread::spawn(move || two.0 .0.with(|_| ()));
        one.0 .0.with(|_| ());
        drop(one);
        other.join().unwrap();
    });
}

#[test]
fn a_release_hands_over_to_an_acquire() {
    loom::model(|| {
        let shared = std::sync::Arc::new((Cell(UnsafeCell::new(0)), Atomic::new(0u32)));
        let other = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.0 .0.with_mut(|_| ());
                shared.1.store(1, Release);
            }
        });
        if shared.1.load(Acquire) == 1 {
            shared.0 .0.with(|_| ());
        }
        other.join().unwrap();
    });
}
