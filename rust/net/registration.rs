// SPDX-License-Identifier: GPL-2.0

//! Network devices that are registered.

use super::{
    address::StationAddress,
    callbacks,
    device::NetDevice,
    driver::Interface,
    operations::Operations,
    phy::Phy,
    private::Private,
    runtime_pm, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// A registered network device; dropping it unregisters the device first.
///
/// # Invariants
///
/// `dev` was allocated for a `Private<T>` that is initialized. It is registered, and its parent may
/// be runtime-suspended if `may_suspend` says so.
pub(super) struct Registration<'a, T: Operations + 'a> {
    dev: NonNull<bindings::net_device>,
    may_suspend: bool,
    _owns: PhantomData<(&'a (), T)>,
}

impl<'a, T: Operations + 'a> Registration<'a, T> {
    /// Makes and registers a network device. All of its driver is called from now on.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is no PHY where one is to be; `ENOMEM`; those of `register_netdev`.
    ///
    /// # Safety
    ///
    /// What is returned must be dropped, and not leaked, before the device is unbound.
    pub(super) unsafe fn new(interface: Interface<'a, T>) -> Result<Self> {
        const {
            assert!(
                align_of::<Private<T>>() <= 32,
                "NETDEV_ALIGN is all that the private area is aligned to"
            )
        };
        let Interface {
            pdev,
            address,
            mdio,
            driver,
        } = interface;
        let size = c_int::try_from(size_of::<Private<T>>())?;
        let phy = match mdio {
            // SAFETY: By the safety requirement what is made is dropped while the device is bound,
            // and before the driver.
            Some(mdio) => Some(unsafe { Phy::new(pdev, mdio) }?),
            None => None,
        };
        // SAFETY: Allocating has no requirements.
        let dev = unsafe { bindings::alloc_etherdev_mqs(size, 1, 1) };
        let dev = NonNull::new(dev).ok_or(ENOMEM)?;
        // SAFETY: The device is live.
        let config = match to_result(unsafe { bindings::pci_save_state(pdev.as_raw()) }) {
            // SAFETY: It was just saved. Without memory there is none, which restoring then leaves
            // out.
            Ok(()) => unsafe { bindings::pci_store_saved_state(pdev.as_raw()) },
            Err(_) => core::ptr::null_mut(),
        };
        // SAFETY: The private area is that large and aligned, and not used yet. A `pci::Device` is
        // had of one that is enabled, and lives longer. The PHY and the configuration are of that
        // device.
        unsafe { callbacks::init(dev, pdev, phy, config, driver) };
        if config.is_null() {
            // SAFETY: It was initialized above and is not registered.
            unsafe { callbacks::free::<T>(dev) };
            return Err(ENOMEM);
        }

        // SAFETY: The device is not registered, so it has no other user, and it was initialized for
        // `T` above.
        let private = unsafe {
            let kind = match address {
                StationAddress::Own(_) => bindings::NET_ADDR_PERM,
                StationAddress::Random(_) => bindings::NET_ADDR_RANDOM,
            };
            bindings::eth_hw_addr_set(dev.as_ptr(), address.bytes().as_ptr());
            bindings::netdev_set_addr_assign_type(dev.as_ptr(), kind as u8);
            Private::<T>::of(dev.as_ptr()).1
        };
        private.driver().set_mac_address(address.bytes());

        // SAFETY: The device is complete.
        if let Err(e) = to_result(unsafe { bindings::register_netdev(dev.as_ptr()) }) {
            // SAFETY: It was initialized above and is not registered.
            unsafe { callbacks::free::<T>(dev) };
            return Err(e);
        }
        private.driver().registered();
        // SAFETY: It is registered.
        let may_suspend = runtime_pm::allow(unsafe { NetDevice::from_raw(dev.as_ptr()) });
        // INVARIANT: `register_netdev` succeeded; `may_suspend` is what `allow` returned.
        Ok(Self {
            dev,
            may_suspend,
            _owns: PhantomData,
        })
    }

    pub(super) fn as_raw(&self) -> NonNull<bindings::net_device> {
        self.dev
    }
}

impl<'a, T: Operations + 'a> Drop for Registration<'a, T> {
    /// Runs while the parent is being bound or unbound, when the bus keeps it resumed.
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is registered, for `T`. Once it is not, the interface
        // is down, its interrupt is freed and no callback runs, nor will one, so that it may be
        // freed.
        unsafe {
            let (dev, private) = Private::<T>::of(self.dev.as_ptr());
            if self.may_suspend {
                runtime_pm::forbid(dev);
            }
            bindings::unregister_netdev(self.dev.as_ptr());
            private.driver().hand_over(dev.phy());
            callbacks::free::<T>(self.dev);
        }
    }
}
