// SPDX-License-Identifier: GPL-2.0

//! Tests that want a kernel that watches itself (`scripts/debug-kernel`): it also fails on purpose.
//!
//! Every other test that boots a guest can run on such a kernel as well, which is asked at the end
//! what it has seen (see [`lab::bench::Bench::finish`]); `scripts/lab debug` has some of them do
//! so.

mod changes;
mod faults;
mod itself;
mod kunit;
mod pressure;
mod runtime_pm;
