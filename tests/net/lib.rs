// SPDX-License-Identifier: GPL-2.0

//! rust/net as a crate of its own, against which the snippets in misuse/ are compiled.


#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../../rust/bindings/mod.rs"]
mod bindings;

#[path = "../../rust/net/mod.rs"]
pub mod net;
