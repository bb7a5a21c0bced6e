/* SPDX-License-Identifier: GPL-2.0 */
/* Network devices. */

unsigned int net_helper_netdev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

void net_helper_netdev_set_mtu(struct net_device *dev, unsigned int mtu)
{
	WRITE_ONCE(dev->mtu, mtu);
}

unsigned int net_helper_netdev_flags(const struct net_device *dev)
{
	return READ_ONCE(dev->flags);
}

struct device *net_helper_netdev_parent(const struct net_device *dev)
{
	return dev->dev.parent;
}

bool net_helper_netif_device_present(const struct net_device *dev)
{
	return netif_device_present(dev);
}

bool net_helper_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

bool net_helper_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

const u8 *net_helper_netdev_addr(const struct net_device *dev)
{
	return dev->dev_addr;
}

void net_helper_eth_random_addr(u8 *addr)
{
	eth_random_addr(addr);
}

void net_helper_netif_addr_lock_bh(struct net_device *dev)
{
	netif_addr_lock_bh(dev);
}

void net_helper_netif_addr_unlock_bh(struct net_device *dev)
{
	netif_addr_unlock_bh(dev);
}

u32 net_helper_ether_crc(int length, const u8 *data)
{
	return ether_crc(length, data);
}

/* dev_sw_netstats_rx_add() takes one packet at a time. */
void net_helper_dev_sw_netstats_rx_add_batch(struct net_device *dev, unsigned int packets,
					     unsigned int len)
{
	struct pcpu_sw_netstats *stats = this_cpu_ptr(dev->tstats);

	u64_stats_update_begin(&stats->syncp);
	u64_stats_add(&stats->rx_bytes, len);
	u64_stats_add(&stats->rx_packets, packets);
	u64_stats_update_end(&stats->syncp);
}

void net_helper_dev_sw_netstats_tx_add(struct net_device *dev, unsigned int packets,
				       unsigned int len)
{
	dev_sw_netstats_tx_add(dev, packets, len);
}

void net_helper_dev_fetch_sw_netstats(struct rtnl_link_stats64 *stats, const struct net_device *dev)
{
	dev_fetch_sw_netstats(stats, dev->tstats);
}

void net_helper_netdev_set_wol_enabled(struct net_device *dev, bool enabled)
{
	dev->ethtool->wol_enabled = enabled;
}

void net_helper_netdev_err(const struct net_device *dev, const char *text, int err)
{
	netdev_err(dev, "%s (%d)\n", text, err);
}

/* A function for each of these fields would take more room than all of the rest here. */
void net_helper_netdev_setup(struct net_device *dev, struct device *parent,
			     const struct net_device_ops *ops,
			     const struct ethtool_ops *ethtool_ops,
			     const struct netdev_stat_ops *stat_ops, unsigned int max_mtu,
			     u32 xdp_features, int irq)
{
	SET_NETDEV_DEV(dev, parent);
	dev->netdev_ops = ops;
	dev->ethtool_ops = ethtool_ops;
	dev->stat_ops = stat_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	/* A frame to be sent is the driver's alone. */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->max_mtu = max_mtu;
	dev->xdp_features = xdp_features;
	dev->irq = irq;
}

void net_helper_netdev_add_features(struct net_device *dev, netdev_features_t able,
				    netdev_features_t on, netdev_features_t vlan)
{
	dev->hw_features |= able;
	dev->features |= on;
	dev->vlan_features |= vlan;
}

void net_helper_eth_hw_addr_set(struct net_device *dev, const u8 *addr)
{
	eth_hw_addr_set(dev, addr);
}

void net_helper_netdev_set_addr_assign_type(struct net_device *dev, unsigned char type)
{
	dev->addr_assign_type = type;
}

struct list_head *net_helper_netdev_mc_list(struct net_device *dev)
{
	return &dev->mc.list;
}

const u8 *net_helper_netdev_hw_addr(const struct list_head *entry)
{
	return list_entry(entry, struct netdev_hw_addr, list)->addr;
}
