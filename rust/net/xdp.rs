// SPDX-License-Identifier: GPL-2.0

//! XDP: programs that look at frames before there is an `sk_buff`, and frames without one.
//!
//! A program sees a frame in its receive buffer, which has room in front of the frame then. The
//! program's answer is acted on here; a driver only gets the frames that go up the stack, and those
//! that are to be sent. No frame is in several buffers: with an MTU that needs those, a program is
//! refused.
//!
//! [`run`] runs them, [`ops`] has what the network core calls.
//!
//! # Examples
//!
//! ```
//! use crate::net::{
//!     fragment::MappedFragment,
//!     pci,
//!     xdp::XdpFrame, //
//! };
//! use kernel::prelude::*;
//!
//! /// Maps a frame that a program sends, if it is no jumbo frame; otherwise it is freed.
//! fn map(pdev: &pci::Device, frame: XdpFrame) -> Result<MappedFragment<'_>> {
//!     if frame.length() > 1514 {
//!         return Err(EINVAL);
//!     }
//!     MappedFragment::xdp(pdev, frame)
//! }
//! ```
//!
//! C header: [`include/net/xdp.h`](srctree/include/net/xdp.h)

pub(super) mod ops;
pub(super) mod run;

use super::atomic::Pointer;
use crate::bindings;
use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        Acquire,
        Relaxed, //
    },
    types::Opaque, //
};

/// The most frames that a poll collects to be sent: its budget is no larger
/// (`contexts::MAX_BUDGET`).
const BATCH: usize = bindings::NET_NAPI_WEIGHT as usize;

/// A frame without an `sk_buff`, which this value owns.
///
/// # Invariants
///
/// The pointer is to a live `xdp_frame` that is one buffer, and this value owns it.
pub struct XdpFrame(pub(super) NonNull<bindings::xdp_frame>);

// SAFETY: A frame belongs to no CPU; ownership may move.
unsafe impl Send for XdpFrame {}

impl XdpFrame {
    /// Returns the length of the frame in bytes.
    pub fn length(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { bindings::xdp_frame_len(self.0.as_ptr()) }
    }

    /// Returns where the frame is: that many bytes from there on.
    pub(super) fn data(&self) -> *mut c_void {
        // SAFETY: By the type invariants.
        unsafe { bindings::xdp_frame_data(self.0.as_ptr()) }
    }
}

impl Drop for XdpFrame {
    /// Gives the buffer back to where it is from. Any context that page pools allow.
    fn drop(&mut self) {
        // SAFETY: By the type invariants this gives up what is owned.
        unsafe { bindings::xdp_return_frame(self.0.as_ptr()) };
    }
}

/// XDP's state of a device.
pub(super) struct Xdp {
    /// The attached program, or null. Written under RTNL; the poll reads it, and a program that was
    /// taken out lives until polls that may have read it are over (RCU).
    pub(super) program: Pointer<bindings::bpf_prog>,
    pub(super) batch: UnsafeCell<Batch>,
}

/// The frames that a poll has collected, and what is due at its end.
pub(super) struct Batch {
    pub(super) frames: [Option<XdpFrame>; BATCH],
    pub(super) count: usize,
    pub(super) redirected: bool,
    /// There is something to be done at the end of the poll.
    pub(super) due: bool,
}

impl Xdp {
    pub(super) fn new() -> Self {
        Self {
            program: Pointer::null(),
            batch: UnsafeCell::new(Batch {
                frames: [const { None }; BATCH],
                count: 0,
                redirected: false,
                due: false,
            }),
        }
    }

    /// Returns the attached program, or null.
    pub(super) fn program(&self) -> *mut bindings::bpf_prog {
        self.program.load(Acquire)
    }

    /// Returns whether a program is attached.
    pub(super) fn is_attached(&self) -> bool {
        !self.program.load(Relaxed).is_null()
    }
}

/// The identity of a receive ring, for programs (`struct xdp_rxq_info`).
///
/// # Invariants
///
/// It is registered for a live device, and for a page pool that outlives it.
pub(super) struct RxQueue(pub(super) KBox<Opaque<bindings::xdp_rxq_info>>);

// SAFETY: It belongs to no CPU.
unsafe impl Send for RxQueue {}

impl RxQueue {
    /// Registers the receive ring whose buffers are from `pool`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// `dev` must be live, and `pool`, which must be destroyed after what is returned is dropped.
    pub(super) unsafe fn new(
        dev: *mut bindings::net_device,
        pool: NonNull<bindings::page_pool>,
    ) -> Result<Self> {
        let queue = KBox::new(Opaque::zeroed(), GFP_KERNEL)?;
        // SAFETY: The structure is zeroed and stays where it is; the rest by the safety
        // requirements.
        to_result(unsafe { bindings::xdp_rxq_info_reg(queue.get(), dev) })?;
        // INVARIANT: It just was.
        let this = Self(queue);
        // SAFETY: It is registered; the rest by the safety requirements.
        to_result(unsafe {
            bindings::xdp_rxq_info_reg_mem_model(
                this.0.get(),
                bindings::xdp_mem_type_MEM_TYPE_PAGE_POOL,
                pool.as_ptr().cast(),
            )
        })?;
        Ok(this)
    }
}

impl Drop for RxQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::xdp_rxq_info_unreg(self.0.get()) };
    }
}
