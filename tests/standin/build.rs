// SPDX-License-Identifier: GPL-2.0

//! Tells the shared sources that they are compiled for the host.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=host_test");
}
