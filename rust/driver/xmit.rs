// SPDX-License-Identifier: GPL-2.0

//! The path of a frame from the network core to the doorbell of the chip, top to bottom:
//! [`Transmit`] for [`Nic`]. What happens in the ring is in [`ring::tx`](super::ring::tx); the
//! frame is completed in [`napi`](super::napi).

use super::{
    hw::{
        HEADER,
        ORDINARY_MTU, //
    },
    memory::Descriptors,
    nic::Nic,
    ring::{
        desc::{
            self,
            TxChecksum,
            TxCommand, //
        },
        tx::TxProducer, //
    }, //
};
use crate::net::{
    contexts::{
        XdpContext,
        XmitContext, //
    },
    device::NetDevice,
    features::Features,
    fragment::{
        self,
        MappedFragment, //
    },
    operations::Transmit,
    owned::Owned,
    skb::{
        self,
        Protocol,
        SkBuff, //
    },
    xdp::XdpFrame, //
};

/// The most that an ordinary frame has behind its header, in bytes: two VLAN tags may be in it, as
/// in what a bridge forwards.
const ORDINARY_LENGTH: u32 = ORDINARY_MTU + 8;

/// The shortest frame whose checksum the chip computes right, in bytes; r8169 calls it a bug of
/// the hardware.
const CHECKSUM_MIN: u32 = 60;

/// The half of the driver's state that sending needs.
pub(crate) struct TxState<'a> {
    pub(super) memory: Descriptors<'a>,
    pub(super) ring: TxProducer<MappedFragment<'a>>,
    /// The MTU is above [`ORDINARY_MTU`].
    jumbo: bool,
}

impl<'a> TxState<'a> {
    /// Makes the half of an empty ring that sends.
    pub(super) fn new(
        memory: Descriptors<'a>,
        ring: TxProducer<MappedFragment<'a>>,
        jumbo: bool,
    ) -> Self {
        Self {
            memory,
            ring,
            jumbo,
        }
    }

    /// Returns whether the MTU is above [`ORDINARY_MTU`].
    pub(super) fn is_jumbo(&self) -> bool {
        self.jumbo
    }
}

impl<'a> Transmit for Nic<'a> {
    type TxState = TxState<'a>;

    fn check_features(&self, skb: &SkBuff, features: Features) -> Features {
        if Self::needs_sw_csum(skb) || Self::is_too_long(skb) {
            features.without_checksums()
        } else {
            features
        }
    }

    #[inline]
    fn has_room(&self, cx: &XmitContext<'_>, xmit: &mut TxState<'a>, skb: &SkBuff) -> bool {
        let room = xmit.ring.has_room(skb.fragments());
        if !room {
            // The queue should have been stopped: it is now, and the poll will wake it.
            xmit.ring.stop_if_full(cx.queue(), skb::MAX_FRAGMENTS);
        }
        room
    }

    #[inline]
    fn start_xmit(&self, cx: &XmitContext<'_>, xmit: &mut TxState<'a>, mut skb: Owned<SkBuff>) {
        let dev = cx.device();
        // `check_features` covers this, except for the last segment of a frame that the core has
        // segmented, which it does not check again. (r8169 has the chip do it.)
        if Self::needs_sw_csum(&skb) && skb.checksum_help().is_err() {
            return self.drop_frame(dev, xmit);
        }
        // From a connection that does not know of the smaller MTU yet.
        if !xmit.jumbo && Self::is_too_long(&skb) {
            return self.drop_frame(dev, xmit);
        }
        let Some(command) = Self::command(&skb) else {
            return self.drop_frame(dev, xmit);
        };

        let length = skb.length();
        let segments = if command.is_tso() { skb.gso_segs() } else { 0 };
        skb.tx_timestamp();
        let mut frame = xmit.ring.frame();
        if fragment::map(self.pdev, skb, &mut frame).is_err() {
            drop(frame);
            return self.drop_frame(dev, xmit);
        }
        if segments > 0 {
            cx.segmented(segments);
        }
        let last_of_batch = cx.sent(length);
        frame.commit(&xmit.memory, command);

        let stopped = xmit.ring.stop_if_full(cx.queue(), skb::MAX_FRAGMENTS);
        if last_of_batch || stopped {
            self.send_queued(dev, xmit);
        }
    }

    fn has_room_xdp(&self, _cx: &XdpContext<'_>, xmit: &mut TxState<'a>, frame: &XdpFrame) -> bool {
        xmit.ring.has_room(1) && desc::TX_FRAGMENT_SIZES.contains(&frame.length())
    }

    fn send_xdp(&self, cx: &XdpContext<'_>, xmit: &mut TxState<'a>, frame: XdpFrame) {
        let posted = MappedFragment::xdp(self.pdev, frame).is_ok_and(|fragment| {
            let ring = &mut xmit.ring;
            ring.post(&xmit.memory, fragment, TxCommand::plain())
                .is_ok()
        });
        if !posted {
            cx.device().errors().tx_dropped.count();
        }
    }

    fn flush_xdp(&self, cx: &XdpContext<'_>, xmit: &mut TxState<'a>) {
        xmit.ring.stop_if_full(cx.queue(), skb::MAX_FRAGMENTS);
        self.send_queued(cx.device(), xmit);
    }
}

impl<'a> Nic<'a> {
    /// Returns whether a frame wants a checksum that the chip gets wrong.
    fn needs_sw_csum(skb: &SkBuff) -> bool {
        skb.length() < CHECKSUM_MIN && skb.wants_checksum()
    }

    /// Returns whether a frame is a jumbo frame, or its segments are. The chip computes no
    /// checksums of these, and while the MTU is being changed they may come when the chip is not
    /// set up for them. (r8169 has the chip send them.)
    fn is_too_long(skb: &SkBuff) -> bool {
        skb.length() > ORDINARY_LENGTH + HEADER && skb.exceeds(ORDINARY_LENGTH)
    }

    /// Returns what the chip is to do with a frame; `None` if it cannot do what is asked, which the
    /// features that it announces rule out.
    #[inline]
    fn command(skb: &SkBuff) -> Option<TxCommand> {
        let size = skb.gso_size();
        let command = if size > desc::TX_MSS_MAX {
            return None;
        } else if size != 0 {
            TxCommand::plain().segment(size)
        } else {
            match skb.checksum() {
                None => TxCommand::plain(),
                Some(Protocol::Tcp) => TxCommand::plain().checksum(TxChecksum::Tcp),
                Some(Protocol::Udp) => TxCommand::plain().checksum(TxChecksum::Udp),
                Some(Protocol::Other) => return None,
            }
        };
        Some(match skb.vlan_tag() {
            Some(tag) => command.vlan(tag),
            None => command,
        })
    }

    /// Has the chip send what is in the ring. If it was still at work and has finished that
    /// already, its interrupt may have found nothing: the poll is scheduled.
    #[inline(never)]
    fn send_queued(&self, dev: &NetDevice, xmit: &TxState<'a>) {
        self.hw.ring_doorbell();
        if xmit.ring.finished_early(&xmit.memory) {
            dev.schedule_poll();
        }
    }

    /// Counts a frame that could not be sent.
    fn drop_frame(&self, dev: &NetDevice, xmit: &TxState<'a>) {
        dev.errors().tx_dropped.count();
        // If it was the last of a batch, the other frames still wait for the doorbell.
        self.send_queued(dev, xmit);
    }
}
