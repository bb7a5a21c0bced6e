// SPDX-License-Identifier: GPL-2.0

//! Stands for `kernel::module` and the macro `module!`: what the kernel loads and unloads.

use crate::{
    c,
    error::Result,
    ffi::c_void, //
};

/// Stands for `kernel::ThisModule`: C's `THIS_MODULE`.
// Invariant: The pointer is `THIS_MODULE`.
pub struct ThisModule(*mut c_void);

// SAFETY: The pointer is never followed here, and it is the same in all threads.
unsafe impl Sync for ThisModule {}
// SAFETY: The pointer is never followed here, and it is the same in all threads.
unsafe impl Send for ThisModule {}

impl ThisModule {
    #[doc(hidden)]
    pub fn here() -> Self {
        // SAFETY: It has no requirements.
        Self(unsafe { c::standin_this_module() })
    }

    /// Returns the pointer, to be given to C; in the real crate it is a `*mut bindings::module`.
    pub const fn as_ptr(&self) -> *mut c_void {
        self.0
    }
}

/// Stands for `kernel::Module`: what a module consists of while it is loaded.
///
/// The value is dropped when the module is unloaded.
pub trait Module: Sized + Sync + Send + 'static {
    /// Makes it, when the module is loaded.
    ///
    /// # Errors
    ///
    /// The module is not loaded then, and the error is that of `insmod`.
    fn init(module: &'static ThisModule) -> Result<Self>;
}

/// Stands for `macros::module`: makes a type the module.
///
/// The keys are those of the real one, in this order; there are no parameters, and no module that
/// is built into the kernel.
#[macro_export]
macro_rules! module {
    (
        type: $type:ident,
        name: $name:literal,
        authors: [$($author:literal),*],
        description: $text:literal,
        license: $license:literal $(,)?
    ) => {
        const _: () = {
            use ::core::mem::MaybeUninit;

            $( $crate::modinfo!("author", $author); )*
            $crate::modinfo!("description", $text);
            $crate::modinfo!("license", $license);

            // The addresses are taken, or objtool would have the ENDBR of both removed ("sealed"):
            // what calls them is in the kernel, by a pointer.
            #[used(compiler)]
            #[link_section = ".init.data"]
            static INIT: unsafe extern "C" fn() -> $crate::ffi::c_int = init_module;
            #[used(compiler)]
            #[link_section = ".exit.data"]
            static EXIT: unsafe extern "C" fn() = cleanup_module;

            static mut THIS: MaybeUninit<$crate::ThisModule> = MaybeUninit::uninit();
            static mut MODULE: MaybeUninit<$type> = MaybeUninit::uninit();

            /// Loads the module.
            ///
            /// # Safety
            ///
            /// Called once, by the kernel, before anything else of the module runs.
            #[no_mangle]
            #[link_section = ".init.text"]
            unsafe extern "C" fn init_module() -> $crate::ffi::c_int {
                // SAFETY: It is called once, before all else, so there is no other reference to
                // `THIS`; from here on there are shared ones only.
                let this: &'static $crate::ThisModule =
                    unsafe { (*(&raw mut THIS)).write($crate::ThisModule::here()) };
                match <$type as $crate::Module>::init(this) {
                    Ok(module) => {
                        // SAFETY: Only `cleanup_module` uses `MODULE` besides, which the kernel
                        // calls after this has returned.
                        unsafe { (*(&raw mut MODULE)).write(module) };
                        0
                    }
                    Err(error) => error.to_errno(),
                }
            }

            /// Unloads the module.
            ///
            /// # Safety
            ///
            /// Called once, by the kernel, after `init_module` has succeeded and when nothing of
            /// the module runs or is used any more.
            #[no_mangle]
            #[link_section = ".exit.text"]
            unsafe extern "C" fn cleanup_module() {
                // SAFETY: `init_module` has succeeded, so `MODULE` is initialised; there is no
                // reference to it, and this is its last use.
                unsafe { (*(&raw mut MODULE)).assume_init_drop() };
            }
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! modinfo {
    ($key:literal, $value:literal) => {
        const _: () = {
            const TEXT: &str = concat!($key, "=", $value, "\0");
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static INFO: [u8; TEXT.len()] = {
                let mut bytes = [0; TEXT.len()];
                let mut i = 0;
                while i < bytes.len() {
                    bytes[i] = TEXT.as_bytes()[i];
                    i += 1;
                }
                bytes
            };
        };
    };
}
