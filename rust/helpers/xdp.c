/* SPDX-License-Identifier: GPL-2.0 */
/* XDP. */

u32 net_helper_xdp_frame_len(const struct xdp_frame *frame)
{
	return frame->len;
}

void *net_helper_xdp_frame_data(const struct xdp_frame *frame)
{
	return frame->data;
}

int net_helper_xdp_rxq_info_reg(struct xdp_rxq_info *rxq, struct net_device *dev)
{
	return xdp_rxq_info_reg(rxq, dev, 0, 0);
}

bool net_helper_netdev_bpf_is_setup_prog(const struct netdev_bpf *command)
{
	return command->command == XDP_SETUP_PROG;
}

struct bpf_prog *net_helper_netdev_bpf_prog(const struct netdev_bpf *command)
{
	return command->prog;
}

void net_helper_netdev_bpf_refuse_mtu(struct netdev_bpf *command, unsigned int limit)
{
	NL_SET_ERR_MSG_FMT_MOD(command->extack,
			       "XDP takes frames of one buffer: the MTU must be %u or less", limit);
}

void net_helper_netdev_warn_xdp_mtu(struct net_device *dev, unsigned int limit)
{
	netdev_warn(dev, "with an XDP program the MTU must be %u or less\n", limit);
}

void net_helper_bpf_prog_put(struct bpf_prog *prog)
{
	bpf_prog_put(prog);
}

/* Not in Rust, because the structure that a program sees would take three calls more a frame. */
u32 net_helper_xdp_run(struct net_device *dev, struct bpf_prog *prog, struct xdp_rxq_info *rxq,
		       struct net_helper_xdp *frame)
{
	struct xdp_buff xdp;
	u32 act;

	xdp_init_buff(&xdp, frame->size, rxq);
	xdp_prepare_buff(&xdp, frame->start, frame->headroom, frame->length, true);
	act = bpf_prog_run_xdp(prog, &xdp);
	switch (act) {
	case XDP_PASS:
		frame->headroom = xdp.data - xdp.data_hard_start;
		frame->length = xdp.data_end - xdp.data;
		frame->metadata = xdp.data - xdp.data_meta;
		return act;
	case XDP_TX:
		frame->frame = xdp_convert_buff_to_frame(&xdp);
		if (frame->frame)
			return act;
		break;
	case XDP_REDIRECT:
		if (!xdp_do_redirect(dev, &xdp, prog))
			return act;
		break;
	case XDP_DROP:
		return act;
	default:
		bpf_warn_invalid_xdp_action(dev, prog, act);
		break;
	case XDP_ABORTED:
		break;
	}
	trace_xdp_exception(dev, prog, act);
	return XDP_DROP;
}
