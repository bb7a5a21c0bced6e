// SPDX-License-Identifier: GPL-2.0

//! The parts that `rust/driver/xmit.rs` uses of `rust/net`, by the same names: frames that are no
//! more than what is asked of them, and a device that counts.

pub mod pci {
    pub struct Device;

    pub static DEVICE: Device = Device;
}

pub mod device {
    use std::cell::Cell;

    #[derive(Default)]
    pub struct Counter(pub Cell<u32>);

    impl Counter {
        pub fn count(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[derive(Default)]
    pub struct Errors {
        pub tx_dropped: Counter,
    }

    #[derive(Default)]
    pub struct NetDevice {
        errors: Errors,
        /// The number of times that the poll was scheduled.
        pub polls: Cell<u32>,
    }

    impl NetDevice {
        pub fn errors(&self) -> &Errors {
            &self.errors
        }

        pub fn schedule_poll(&self) {
            self.polls.set(self.polls.get() + 1);
        }
    }
}

pub mod contexts {
    use super::device::NetDevice;
    use crate::queue::Queue;

    pub struct XmitContext<'a> {
        pub dev: &'a NetDevice,
        pub queue: &'a Queue,
        /// Another frame follows at once.
        pub more: bool,
    }

    impl XmitContext<'_> {
        pub fn device(&self) -> &NetDevice {
            self.dev
        }

        pub fn queue(&self) -> &Queue {
            self.queue
        }

        pub fn sent(&self, _bytes: u32) -> bool {
            !self.more
        }

        pub fn segmented(&self, _segments: u32) {}
    }

    pub struct XdpContext<'a> {
        pub dev: &'a NetDevice,
        pub queue: &'a Queue,
    }

    impl XdpContext<'_> {
        pub fn device(&self) -> &NetDevice {
            self.dev
        }

        pub fn queue(&self) -> &Queue {
            self.queue
        }
    }
}

pub mod features {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Features {
        All,
        WithoutChecksums,
    }

    impl Features {
        pub fn without_checksums(self) -> Self {
            Self::WithoutChecksums
        }
    }
}

pub mod fragment {
    use super::owned::Owned;
    use super::pci;
    use super::skb::SkBuff;
    use super::xdp::XdpFrame;
    use rings::driver::ring::tx::{TxFragment, TxFrame};
    use std::marker::PhantomData;

    pub struct MappedFragment<'a>(u32, PhantomData<&'a ()>);

    impl MappedFragment<'_> {
        pub fn xdp(_pdev: &pci::Device, frame: XdpFrame) -> Result<Self, ()> {
            if !frame.is_mapped {
                return Err(());
            }
            Ok(Self(frame.length, PhantomData))
        }
    }

    impl TxFragment for MappedFragment<'_> {
        fn dma_address(&self) -> u64 {
            0x1000
        }

        fn length(&self) -> u32 {
            self.0
        }
    }

    /// Maps the pieces of a frame, as far as that frame says.
    pub fn map<'a>(
        _pdev: &'a pci::Device,
        skb: Owned<SkBuff>,
        frame: &mut TxFrame<'_, MappedFragment<'a>>,
    ) -> Result<(), ()> {
        for nth in 0..skb.fragments {
            if nth >= skb.mapped {
                return Err(());
            }
            frame
                .push(MappedFragment(skb.length, PhantomData))
                .map_err(drop)?;
        }
        Ok(())
    }
}

pub mod owned {
    use std::ops::Deref;

    pub struct Owned<T>(pub T);

    impl<T> Deref for Owned<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }
}

pub mod skb {
    use super::owned::Owned;

    pub const MAX_FRAGMENTS: u32 = 18;

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Protocol {
        Tcp,
        Udp,
        Other,
    }

    /// The answers of a frame.
    pub struct SkBuff {
        pub length: u32,
        pub fragments: u32,
        pub gso_size: u32,
        pub checksum: Option<Protocol>,
        /// The core cannot compute its checksum.
        pub fails: bool,
        /// The number of its fragments that can be mapped.
        pub mapped: u32,
    }

    impl SkBuff {
        /// One that there is nothing wrong with.
        pub fn good() -> Self {
            Self {
                length: 100,
                fragments: 1,
                gso_size: 0,
                checksum: Some(Protocol::Tcp),
                fails: false,
                mapped: u32::MAX,
            }
        }

        pub fn length(&self) -> u32 {
            self.length
        }

        pub fn fragments(&self) -> u32 {
            self.fragments
        }

        pub fn gso_size(&self) -> u32 {
            self.gso_size
        }

        pub fn gso_segs(&self) -> u32 {
            self.length.div_ceil(self.gso_size)
        }

        pub fn checksum(&self) -> Option<Protocol> {
            self.checksum
        }

        pub fn wants_checksum(&self) -> bool {
            self.gso_size == 0 && self.checksum.is_some()
        }

        pub fn exceeds(&self, mtu: u32) -> bool {
            self.length > 14 + mtu
        }

        pub fn vlan_tag(&self) -> Option<u16> {
            None
        }

        pub fn tx_timestamp(&self) {}
    }

    impl Owned<SkBuff> {
        pub fn checksum_help(&mut self) -> Result<(), ()> {
            if self.fails {
                return Err(());
            }
            Ok(())
        }
    }
}

pub mod xdp {
    pub struct XdpFrame {
        pub length: u32,
        pub is_mapped: bool,
    }

    impl XdpFrame {
        pub fn length(&self) -> u32 {
            self.length
        }
    }
}

pub mod operations {
    use super::contexts::{XdpContext, XmitContext};
    use super::features::Features;
    use super::owned::Owned;
    use super::skb::SkBuff;
    use super::xdp::XdpFrame;

    pub(crate) trait Transmit {
        type TxState;

        fn check_features(&self, skb: &SkBuff, features: Features) -> Features;

        fn has_room(&self, cx: &XmitContext<'_>, xmit: &mut Self::TxState, skb: &SkBuff) -> bool;

        fn start_xmit(&self, cx: &XmitContext<'_>, xmit: &mut Self::TxState, skb: Owned<SkBuff>);

        fn has_room_xdp(
            &self,
            cx: &XdpContext<'_>,
            xmit: &mut Self::TxState,
            frame: &XdpFrame,
        ) -> bool;

        fn send_xdp(&self, cx: &XdpContext<'_>, xmit: &mut Self::TxState, frame: XdpFrame);

        fn flush_xdp(&self, cx: &XdpContext<'_>, xmit: &mut Self::TxState);
    }
}
