/* SPDX-License-Identifier: GPL-2.0 */
/* Socket buffers. */

unsigned int net_helper_skb_frag_size(const struct sk_buff *skb, unsigned int frag)
{
	return skb_frag_size(&skb_shinfo(skb)->frags[frag]);
}

void net_helper___vlan_hwaccel_put_tag(struct sk_buff *skb, u16 tag)
{
	__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), tag);
}

netdev_features_t net_helper_vlan_features_check(struct sk_buff *skb, netdev_features_t features)
{
	return vlan_features_check(skb, features);
}

struct sk_buff *net_helper_netdev_alloc_skb(struct net_device *dev, unsigned int len)
{
	return netdev_alloc_skb(dev, len);
}

void net_helper_skb_put_data(struct sk_buff *skb, const void *data, unsigned int len)
{
	skb_put_data(skb, data, len);
}

void net_helper_skb_metadata_set(struct sk_buff *skb, u32 len)
{
	skb_metadata_set(skb, len);
}

/*
 * Compiled to be checked, and not kept: Rust accesses these bit fields for each frame, and C has no
 * offsets of them.
 */
static void __init __used check_bit_fields(void)
{
	union {
		struct sk_buff skb;
		u8 bytes[sizeof(struct sk_buff)];
	} summed = {}, pkt_type = {};

	summed.skb.ip_summed = 3;
	BUILD_BUG_ON(summed.bytes[offsetof(struct sk_buff, __pkt_type_offset)] !=
		     3 << NET_SKB_SUMMED_SHIFT);
	pkt_type.skb.pkt_type = 7;
	BUILD_BUG_ON(pkt_type.bytes[offsetof(struct sk_buff, __pkt_type_offset)] !=
		     7 << NET_SKB_PKT_TYPE_SHIFT);
}

void net_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

void net_helper_dev_kfree_skb_any(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}
