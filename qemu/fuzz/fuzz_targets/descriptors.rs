// SPDX-License-Identifier: GPL-2.0

//! See `rtl8111b_fuzz::descriptors`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rtl8111b_fuzz::descriptors(data));
