// SPDX-License-Identifier: GPL-2.0
/* Sends what one port of a pair of pairs receives out of the other: see redirect.sh. */
#include <linux/bpf.h>

static long (*redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;

__attribute__((section("xdp.up"), used)) int up(struct xdp_md *ctx)
{
	return redirect(ctx->ingress_ifindex + 2, 0);
}

__attribute__((section("xdp.down"), used)) int down(struct xdp_md *ctx)
{
	return redirect(ctx->ingress_ifindex - 2, 0);
}

__attribute__((section("license"), used)) char terms[] = "GPL";
