// SPDX-License-Identifier: GPL-2.0

//! Error codes that `kernel::error::code` of some supported kernels has no name for.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use crate::bindings;
use kernel::prelude::*;

/// Returns `EOPNOTSUPP`: the device has no such operation.
pub(super) fn not_supported() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// Returns `ENETDOWN`: the interface is down.
pub(super) fn net_down() -> Error {
    Error::from_errno(-(bindings::ENETDOWN as c_int))
}
