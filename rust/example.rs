// SPDX-License-Identifier: GPL-2.0

//! An example for `rust/net`: a network interface on QEMU's `edu`, a PCI device for teaching that
//! can copy between memory and a buffer of its own. A frame to be sent is copied into that buffer,
//! and from there into a receive buffer: it comes back. One is under way at a time.
//!
//! It has no PHY, no rings to choose from, nothing that wakes a machine, no EEPROM, no XDP and no
//! self-test, and writes nothing for them. The device is described in QEMU's `docs/specs/edu.rst`.

use crate::net::{
    address::StationAddress,
    contexts::{
        PollContext,
        XmitContext, //
    },
    device::NetDevice,
    driver::{
        self,
        Interface, //
    },
    ethtool::Ethtool,
    fragment::{
        self,
        MappedFragment, //
    },
    mmio::{
        register,
        Bar, //
    },
    operations::{
        IrqReturn,
        Napi,
        Opened,
        Operations,
        Polled,
        RingConfig,
        Transmit, //
    },
    owned::Owned,
    page_pool::{
        PagePool,
        RxBuffer, //
    },
    pci::{
        Enabled,
        Probing, //
    },
    phy::NoPhy,
    poll::read_poll_timeout,
    skb::SkBuff,
    spsc::{
        self,
        Consumer,
        Producer, //
    }, //
};
use core::ffi::CStr;
use kernel::{
    prelude::*,
    time::Delta, //
};

register! {
    /// The interrupts that are raised, and their acknowledgement.
    IRQ_STATUS(u32) @ 0x24 {}
    IRQ_ACK(u32) @ 0x64 {}
    /// Source, target and size of the copy.
    DMA_SOURCE(u32) @ 0x80 {}
    DMA_TARGET(u32) @ 0x88 {}
    DMA_COUNT(u32) @ 0x90 {}
    /// Begins to copy; is set until the device has.
    DMA_COMMAND(u32) @ 0x98 {
        0:0 run => bool;
        1:1 to_memory => bool;
        2:2 interrupt => bool;
    }
}

/// The device's buffer, and its size.
const BUFFER: u64 = 0x40000;
const SIZE: u32 = 4096;

pub(crate) struct Driver;

impl driver::Driver for Driver {
    const NAME: &'static CStr = c"edu_net";
    type Operations<'a> = Edu<'a>;

    fn probe(pdev: Probing<'_>) -> Result<Interface<'_, Edu<'_>>> {
        let enabled = Enabled::new::<32>(pdev)?;
        let pdev = enabled.device();
        enabled.set_master(true);
        let bar = Bar::new(pdev, 0, Self::NAME)?;
        let edu = Edu { bar, enabled };
        Ok(Interface::new(pdev, StationAddress::random(), None, edu))
    }
}

pub(crate) struct Edu<'a> {
    bar: Bar<'a, 0x9c>,
    enabled: Enabled<'a>,
}

/// The half of the state that the poll needs: frames to be sent, the one that is on its way back,
/// and a buffer for it.
pub(crate) struct NapiState<'a> {
    sent: Consumer<MappedFragment<'a>>,
    back: Option<MappedFragment<'a>>,
    buffer: RxBuffer<'a>,
}

impl Edu<'_> {
    fn copy(&self, source: u64, target: u64, count: u32, to_memory: bool) {
        self.bar.write_reg(DMA_SOURCE::from(source as u32));
        self.bar.write_reg(DMA_TARGET::from(target as u32));
        self.bar.write_reg(DMA_COUNT::from(count));
        let command = DMA_COMMAND::zeroed().with_run(true).with_interrupt(true);
        self.bar.write_reg(command.with_to_memory(to_memory));
    }

    fn is_busy(&self) -> bool {
        self.bar.read(DMA_COMMAND).run()
    }
}

impl Ethtool for Edu<'_> {}

impl<'a> Operations for Edu<'a> {
    type Mdio = NoPhy;

    fn open(&self, dev: &NetDevice, config: &RingConfig) -> Result<Opened<Self>> {
        let (xmit, sent) = spsc::channel(2)?;
        let mut pool = PagePool::new(self.enabled.device(), dev, 2, config.mtu + 18, false)?;
        let buffer = pool.alloc().ok_or(ENOMEM)?;
        let poll = NapiState {
            sent,
            back: None,
            buffer,
        };
        Ok(Opened { xmit, poll, pool })
    }

    fn start(&self, _dev: &NetDevice, _xmit: &mut Self::TxState, _poll: &mut NapiState<'a>) {}

    fn stop(&self, _dev: &NetDevice, xmit: &mut Self::TxState, poll: &mut NapiState<'a>) {
        // It cannot be stopped, and takes 0.1 s.
        let (step, limit) = (Delta::from_millis(10), Delta::from_millis(1000));
        let _ = read_poll_timeout(|| Ok(self.is_busy()), |busy| !busy, step, limit);
        spsc::restart(xmit, &mut poll.sent, drop);
        poll.back = None;
    }
}

impl<'a> Transmit for Edu<'a> {
    type TxState = Producer<MappedFragment<'a>>;

    fn has_room(&self, cx: &XmitContext<'_>, xmit: &mut Self::TxState, _skb: &SkBuff) -> bool {
        !xmit.stop_if_full(cx.queue(), 2)
    }

    fn start_xmit(&self, cx: &XmitContext<'_>, xmit: &mut Self::TxState, skb: Owned<SkBuff>) {
        let piece = fragment::map_linear(self.enabled.device(), skb).ok();
        let Some(piece) = piece.filter(|piece| piece.length() <= SIZE) else {
            cx.device().errors().tx_dropped.count();
            return;
        };
        let (address, length) = (piece.dma_address(), piece.length());
        let _ = cx.sent(length);
        if xmit.push(piece).is_ok() {
            xmit.publish();
            self.copy(address, BUFFER, length, false);
        }
        xmit.stop_if_full(cx.queue(), 2);
    }
}

impl<'a> Napi for Edu<'a> {
    type NapiState = NapiState<'a>;
    type Pool = PagePool<'a>;

    // Its interrupts cannot be masked; each is asked for by `copy`.
    fn enable_interrupts(&self) {}
    fn disable_interrupts(&self) {}

    fn interrupt(&self, dev: &NetDevice) -> IrqReturn {
        let raised = self.bar.read(IRQ_STATUS).into_raw();
        if raised == 0 {
            return IrqReturn::None;
        }
        self.bar.write_reg(IRQ_ACK::from(raised));
        dev.schedule_poll();
        IrqReturn::Handled
    }

    fn poll(&self, cx: &PollContext<'_, PagePool<'a>>, poll: &mut NapiState<'a>) -> Polled {
        let Some(rx) = cx.receiver().filter(|_| !self.is_busy()) else {
            return Polled::Idle;
        };
        let Some(sent) = poll.back.take() else {
            // It is in the device's buffer now.
            poll.back = poll.sent.pop();
            if let Some(sent) = &poll.back {
                let target = poll.buffer.dma_address();
                self.copy(BUFFER, target, sent.length(), true);
            }
            return Polled::Idle;
        };
        rx.receive_one(poll.buffer.replace_to_skb(&rx, sent.length()));
        cx.complete_one(sent);
        poll.sent.release();
        poll.sent.wake_if_stopped(cx.queue(), 2);
        Polled::Busy(1)
    }
}
