// SPDX-License-Identifier: GPL-2.0

//! Tests of what threads share of the stand-in, in every order that the memory model allows.

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::thread;
use standin::alloc::{flags::GFP_KERNEL, KBox};
use standin::sync::atomic::{Acquire, Atomic, Release};
use standin::sync::{Arc, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Cell(UnsafeCell<u32>);
// SAFETY: Loom checks the use.
unsafe impl Sync for Cell {}
// SAFETY: As above.
unsafe impl Send for Cell {}

/// A value whose drops are counted.
struct Owned(Cell, std::sync::Arc<AtomicUsize>);

impl Drop for Owned {
    fn drop(&mut self) {
        // Conflicts with the reads of other owners unless they happened before.
        self.0 .0.with_mut(|_| ());
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

fn owned() -> (Arc<Owned>, std::sync::Arc<AtomicUsize>) {
    let drops = std::sync::Arc::new(AtomicUsize::new(0));
    let value = Owned(Cell(UnsafeCell::new(1)), drops.clone());
    (Arc::new(value, GFP_KERNEL).unwrap(), drops)
}

#[test]
fn the_value_is_dropped_after_all_uses() {
    loom::model(|| {
        let (one, drops) = owned();
        let two = one.clone();
        let other = thread::spawn(move || two.0 .0.with(|_| ()));
        one.0 .0.with(|_| ());
        drop(one);
        other.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn owners_come_while_others_go() {
    loom::model(|| {
        let (one, drops) = owned();
        let two = one.clone();
        let other = thread::spawn(move || {
            let three = two.clone();
            drop(two);
            three.0 .0.with(|_| ());
        });
        let four = one.clone();
        drop(one);
        four.0 .0.with(|_| ());
        drop(four);
        other.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_mutex_hands_its_value_over() {
    loom::model(|| {
        let value = Cell(UnsafeCell::new(0));
        let mutex = KBox::pin_init(standin::new_mutex!(value), GFP_KERNEL).unwrap();
        let mutex = std::sync::Arc::new(mutex);
        let add = |mutex: &Mutex<Cell>| {
            // SAFETY: Loom checks that there is no other use.
            mutex.lock().0.with_mut(|value| unsafe { *value += 1 });
        };
        let other = thread::spawn({
            let mutex = mutex.clone();
            move || add(&mutex)
        });
        add(&mutex);
        other.join().unwrap();
        // SAFETY: As above.
        let sum = mutex.lock().0.with(|value| unsafe { *value });
        assert_eq!(sum, 2);
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
