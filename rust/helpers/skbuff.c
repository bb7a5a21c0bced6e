/* SPDX-License-Identifier: GPL-2.0 */
/* Socket buffers. */

unsigned int net_helper_skb_frag_size(const struct sk_buff *skb, unsigned int frag)
{
	return skb_frag_size(&skb_shinfo(skb)->frags[frag]);
}

bool net_helper_skb_is_csum_partial(const struct sk_buff *skb)
{
	return skb->ip_summed == CHECKSUM_PARTIAL;
}

u8 net_helper_skb_ip_protocol(const struct sk_buff *skb)
{
	return ip_hdr(skb)->protocol;
}

void net_helper___vlan_hwaccel_put_tag(struct sk_buff *skb, u16 tag)
{
	__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), tag);
}

void net_helper_skb_set_csum_unnecessary(struct sk_buff *skb)
{
	skb->ip_summed = CHECKSUM_UNNECESSARY;
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

void net_helper_skb_mark_for_recycle(struct sk_buff *skb)
{
	skb_mark_for_recycle(skb);
}

void net_helper_skb_metadata_set(struct sk_buff *skb, u32 len)
{
	skb_metadata_set(skb, len);
}

void net_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

void net_helper_dev_kfree_skb_any(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}

/* Returns whether the frame is to a multicast address. */
bool net_helper_skb_set_protocol(struct sk_buff *skb, struct net_device *dev)
{
	skb->protocol = eth_type_trans(skb, dev);
	return skb->pkt_type == PACKET_MULTICAST;
}
