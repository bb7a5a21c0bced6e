// SPDX-License-Identifier: GPL-2.0

//! The descriptor rings of the RTL8111B.
//!
//! Nothing here touches hardware: memory that the device shares is behind
//! [`desc::DescriptorMemory`], buffers are behind [`rx::RxBuffer`] and [`tx::TxFragment`]. So the
//! same code runs in the kernel and in the tests of the host (`tests/rings`).

pub mod desc;
pub mod rx;
pub mod tx;
