// SPDX-License-Identifier: GPL-2.0

//! A TAP interface of the host.
#![expect(
    unsafe_code,
    reason = "if_nametoindex and these ioctls have no safe wrapper in the crates used"
)]

use std::ffi::CString;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;

/// A request about interface `name`.
fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data for which all zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    if name.len() > room {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// Returns whether there is an interface `name`.
pub(crate) fn exists(name: &str) -> bool {
    CString::new(name).is_ok_and(|name| {
        // SAFETY: the pointer is to a string that ends with NUL and lives until the call returns.
        unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
    })
}

/// Returns whether interface `name` is up.
pub(crate) fn is_up(name: &str) -> io::Result<bool> {
    let socket = UnixDatagram::unbound()?;
    let mut request = request(name)?;
    // SAFETY: the descriptor is open, and SIOCGIFFLAGS reads and writes one `ifreq`, which
    // `request` is.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: SIOCGIFFLAGS has set this member of the union; and any value is one for an integer.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(flags & libc::IFF_UP as libc::c_short != 0)
}

/// Attaches to interface `name` (linux/if_tun.h), making it if we may.
pub(crate) fn open(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one `ifreq`, which `request`
    // is.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}
