// SPDX-License-Identifier: GPL-2.0

//! The self-test: registers, loopback, interrupt, link.
//!
//! All but the last want the chip for themselves; they begin and end with a chip that is stopped.

use super::{
    irq_test::within_timeout,
    napi::NapiState,
    nic::Nic,
    ring::desc::TxCommand,
    xmit::TxState, //
};
use crate::net::{
    contexts::Rtnl,
    device::NetDevice,
    ethtool::TestResult,
    fragment,
    operations::{
        Operations,
        RxFilter, //
    },
    owned::Owned,
    skb::SkBuff, //
};
use core::ffi::CStr;
use kernel::prelude::*;

/// The tests, by their place in [`NAMES`].
const REGISTERS: usize = 0;
const LOOPBACK: usize = 1;
const INTERRUPT: usize = 2;
const LINK: usize = 3;

/// The names of the tests.
pub(super) const NAMES: [&CStr; 4] = [
    c"register test (offline)",
    c"loopback test (offline)",
    c"interrupt test (offline)",
    c"link test (on/offline)",
];

/// The length of the test frame, in bytes.
const FRAME: usize = 512;

/// Its EtherType: one that IEEE 802 leaves to experiments.
const ETHER_TYPE: [u8; 2] = [0x88, 0xb5];

impl<'a> Nic<'a> {
    /// The tests that want the chip for themselves.
    pub(super) fn test_chip(
        &self,
        rtnl: &Rtnl<'_>,
        xmit: &mut TxState<'a>,
        poll: &mut NapiState<'a>,
        results: &mut [TestResult],
    ) {
        let mut set = |test: usize, passed| {
            if let Some(result) = results.get_mut(test) {
                *result = TestResult::of(passed);
            }
        };
        set(REGISTERS, self.hw.test_registers());
        set(INTERRUPT, self.interrupt_test.run(&self.hw));
        self.start(rtnl.device(), xmit, poll);
        self.hw.set_loopback();
        self.hw.set_rx_filter(RxFilter::Own, false);
        set(LOOPBACK, self.loopback(rtnl, xmit, poll).unwrap_or(false));
        self.stop(rtnl.device(), xmit, poll);
    }

    /// The test that needs no quiet device.
    pub(super) fn test_link(dev: &NetDevice, results: &mut [TestResult]) {
        if let Some(result) = results.get_mut(LINK) {
            *result = TestResult::of(dev.has_link());
        }
    }

    /// Sends a frame in loopback and returns whether it came back unchanged. It is not counted in
    /// the statistics of the interface.
    fn loopback(
        &self,
        rtnl: &Rtnl<'_>,
        xmit: &mut TxState<'a>,
        poll: &mut NapiState<'a>,
    ) -> Result<bool> {
        let address = rtnl.address();
        let mut sent: [u8; FRAME] = core::array::from_fn(|nth| nth as u8);
        let header = [&address[..], &address[..], &ETHER_TYPE[..]];
        for (to, from) in sent.iter_mut().zip(header.into_iter().flatten()) {
            *to = *from;
        }

        let skb = Owned::<SkBuff>::from_slice(rtnl.device(), &sent)?;
        let mut frame = xmit.ring.frame();
        fragment::map(self.pdev, skb, &mut frame)?;
        frame.commit(&xmit.memory, TxCommand::plain());
        self.hw.ring_doorbell();

        let mut back = false;
        let received = within_timeout(&mut || {
            // What came in by the cable before the loopback was on is passed over.
            while let Some(received) = poll.rx.next(&poll.rx_memory) {
                let mut frame = [0; FRAME];
                back = received
                    .info()
                    .is_ok_and(|info| info.length() as usize == FRAME)
                    && received.buffer().copy_to_slice(&mut frame)
                    && frame == sent;
                received.recycle(&poll.rx_memory);
                if back {
                    break;
                }
            }
            back
        });
        let mut completed = false;
        while let Some(fragment) = poll.tx.next_done(&poll.tx_memory) {
            completed |= fragment.is_last();
        }
        poll.tx.release();
        Ok(received && completed)
    }
}
