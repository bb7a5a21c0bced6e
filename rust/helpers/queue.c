/* SPDX-License-Identifier: GPL-2.0 */
/* Transmit queue 0. */

void net_helper_netif_start_queue(struct net_device *dev)
{
	netif_start_queue(dev);
}

void net_helper_netif_stop_queue(struct net_device *dev)
{
	netif_stop_queue(dev);
}

void net_helper_netif_wake_queue(struct net_device *dev)
{
	netif_wake_queue(dev);
}

bool net_helper_netif_queue_stopped(const struct net_device *dev)
{
	return netif_queue_stopped(dev);
}

void net_helper_netif_tx_disable(struct net_device *dev)
{
	netif_tx_disable(dev);
}

void net_helper_netif_tx_lock_queue(struct net_device *dev)
{
	__netif_tx_lock(netdev_get_tx_queue(dev, 0), smp_processor_id());
}

void net_helper_netif_tx_unlock_queue(struct net_device *dev)
{
	__netif_tx_unlock(netdev_get_tx_queue(dev, 0));
}

void net_helper_txq_trans_cond_update(struct net_device *dev)
{
	txq_trans_cond_update(netdev_get_tx_queue(dev, 0));
}

void net_helper_netif_trans_update(struct net_device *dev)
{
	netif_trans_update(dev);
}

bool net_helper_netdev_sent_queue_more(struct net_device *dev, unsigned int bytes)
{
	return __netdev_sent_queue(dev, bytes, netdev_xmit_more());
}

/*
 * Bytes that are accounted to the byte queue limits and not completed: to complete more is a BUG().
 */
static unsigned int in_flight(struct net_device *dev)
{
#ifdef CONFIG_BQL
	return READ_ONCE(netdev_get_tx_queue(dev, 0)->dql.num_queued) -
	       netdev_get_tx_queue(dev, 0)->dql.num_completed;
#else
	return 0;
#endif
}

void net_helper_netdev_completed_queue_at_most(struct net_device *dev, unsigned int packets,
					       unsigned int bytes)
{
	netdev_completed_queue(dev, packets, min(bytes, in_flight(dev)));
}

void net_helper_netdev_reset_queue(struct net_device *dev)
{
	netdev_reset_queue(dev);
}
