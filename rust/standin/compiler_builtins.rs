// SPDX-License-Identifier: GPL-2.0

//! An empty crate of the name that rustc links into everything: what it would contain is in the
//! kernel (`memcpy` and the like), and modpost finds whatever is not.

#![allow(internal_features)]
#![feature(compiler_builtins)]
#![compiler_builtins]
#![no_builtins]
#![no_std]
