// SPDX-License-Identifier: GPL-2.0

//! Every operation of the stand-in, on the host.

#![cfg(not(loom))]

use standin::alloc::{flags::GFP_KERNEL, AllocError, KBox, KVVec, KVec};
use standin::error::{code::*, from_err_ptr, from_result, to_result, Error};
use standin::fake;
use standin::sync::atomic::{Acquire, Atomic, Full, Relaxed, Release};
use standin::sync::{Arc, Mutex};
use standin::time::{delay::fsleep, Delta};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;

#[test]
fn a_box_owns_its_value() {
    let counted = Rc::new(());
    let boxed = KBox::new(counted.clone(), GFP_KERNEL).unwrap();
    assert_eq!((Rc::strong_count(&counted), fake::live()), (2, 1));
    let raw = KBox::into_raw(boxed);
    assert_eq!(Rc::strong_count(&counted), 2);
    // SAFETY: It is of `into_raw`.
    drop(unsafe { KBox::from_raw(raw) });
    assert_eq!((Rc::strong_count(&counted), fake::live()), (1, 0));
    fake::fail(true);
    assert_eq!(
        KBox::new(counted.clone(), GFP_KERNEL).err(),
        Some(AllocError)
    );
    assert_eq!(
        KBox::pin_init(standin::new_mutex!(1), GFP_KERNEL).err(),
        Some(ENOMEM)
    );
    assert_eq!(Rc::strong_count(&counted), 1);
    drop(KBox::pin((), GFP_KERNEL).unwrap());
    fake::fail(false);
    let mut number = KBox::new(1, GFP_KERNEL).unwrap();
    *number += 1;
    assert_eq!(*number, 2);
}

#[test]
fn a_vector_owns_its_elements() {
    let counted = Rc::new(());
    let mut vector = KVVec::with_capacity(2, GFP_KERNEL).unwrap();
    vector.push_within_capacity(counted.clone()).unwrap();
    vector.push_within_capacity(counted.clone()).unwrap();
    assert!(Rc::ptr_eq(
        &vector.push_within_capacity(counted.clone()).unwrap_err().0,
        &counted
    ));
    assert_eq!((vector.len(), Rc::strong_count(&counted)), (2, 3));
    drop(vector);
    assert_eq!((Rc::strong_count(&counted), fake::live()), (1, 0));
    assert!(KVec::<u64>::with_capacity(usize::MAX, GFP_KERNEL).is_err());
    assert!(KVec::<u8>::with_capacity(isize::MAX as usize + 1, GFP_KERNEL).is_err());
}

#[test]
fn a_vector_grows_and_stays_as_it_was_if_it_cannot() {
    let mut vector = KVec::with_capacity(0, GFP_KERNEL).unwrap();
    for n in 0..100u16 {
        vector.extend_from_slice(&[n, n + 1], GFP_KERNEL).unwrap();
        assert_eq!((vector.len(), fake::live()), (2 * usize::from(n) + 2, 1));
    }
    fake::fail(true);
    assert!(vector.extend_from_slice(&[0; 1000], GFP_KERNEL).is_err());
    assert!(vector
        .chunks(2)
        .zip(0..)
        .all(|(pair, n)| *pair == [n, n + 1]));
    assert_eq!(vector.len(), 200);
    let mut empty = KVec::with_capacity(0, GFP_KERNEL).unwrap();
    empty.push_within_capacity(()).unwrap();
    assert_eq!(empty.len(), 1);
}

#[test]
fn the_last_owner_drops_the_value() {
    let counted = std::sync::Arc::new(());
    let one = Arc::new(counted.clone(), GFP_KERNEL).unwrap();
    let two = one.clone();
    assert!(Arc::ptr_eq(&one, &two));
    assert!(!Arc::ptr_eq(
        &one,
        &Arc::new(counted.clone(), GFP_KERNEL).unwrap()
    ));
    drop(one);
    assert_eq!(std::sync::Arc::strong_count(&counted), 2);
    drop(two);
    assert_eq!(
        (std::sync::Arc::strong_count(&counted), fake::live()),
        (1, 0)
    );
}

#[test]
fn a_count_that_overflows_leaks() {
    let arc = Arc::new((), GFP_KERNEL).unwrap();
    arc.count()
        .store(isize::MAX as usize + 1, Ordering::Relaxed);
    let other = arc.clone();
    let saturated = arc.count().load(Ordering::Relaxed);
    assert!(saturated > usize::MAX / 2 + usize::MAX / 8 && saturated < usize::MAX - usize::MAX / 8);
    drop(other);
    assert_eq!(arc.count().load(Ordering::Relaxed), saturated);
    drop(arc);
    assert_eq!((fake::live(), fake::warnings()), (1, 3));
}

#[test]
fn one_thread_at_a_time_has_the_lock() {
    let mutex: Pin<KBox<Mutex<u32>>> = KBox::pin_init(standin::new_mutex!(0), GFP_KERNEL).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let mut guard = mutex.lock();
                    let value = *guard;
                    std::thread::yield_now();
                    *guard = value + 1;
                }
            });
        }
    });
    assert_eq!(*mutex.lock(), 4000);
}

#[test]
fn atomics_do_what_they_say() {
    let word = Atomic::new(1u64);
    word.add(u64::MAX, Relaxed);
    assert_eq!(word.load(Acquire), 0);
    word.store(7, Release);
    assert_eq!((word.xchg(9, Full), word.load(Relaxed)), (7, 9));
}

#[test]
fn errors_are_numbers_from_minus_4095() {
    for (number, error) in [
        (-1, -1),
        (-4095, -4095),
        (-4096, -22),
        (0, -22),
        (5, -22),
        (i32::MIN, -22),
    ] {
        assert_eq!(Error::from_errno(number).to_errno(), error);
    }
    assert_eq!(
        (to_result(0), to_result(1), to_result(-12)),
        (Ok(()), Ok(()), Err(ENOMEM))
    );
    assert_eq!(
        (from_result(|| Ok(7)), from_result(|| Err(ENOMEM))),
        (7, -12)
    );
    for (address, error) in [
        (-1isize, Some(-1)),
        (-4095, Some(-4095)),
        (-4096, None),
        (0, None),
        (1, None),
    ] {
        let result = from_err_ptr(address as usize as *mut u8);
        assert_eq!(result.err().map(Error::to_errno), error);
    }
}

#[test]
fn sleeps_are_rounded_up_and_bounded() {
    let max = i32::MAX as usize;
    for (micros, slept) in [
        (0, 0),
        (1, 1),
        (-1, max),
        (i64::from(i32::MAX) + 1, max),
        (i64::MAX, max),
    ] {
        fsleep(Delta::from_micros(micros));
        assert_eq!(fake::slept(), slept);
    }
    fsleep(Delta::from_millis(10));
    assert_eq!(fake::slept(), 10_000);
}

#[test]
fn words_are_joined() {
    macro_rules! named {
        ($name:ident) => {
            standin::macros::paste! { fn [<with_ $name _2>]() -> [u8; 1] { [3] } }
        };
    }
    named!(bit);
    assert_eq!(with_bit_2(), [3]);
}
