/* SPDX-License-Identifier: GPL-2.0 */
/* Interrupts, and what C must call through types of its own. */

netdev_tx_t net_helper_ndo_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	const struct net_helper_private *private = netdev_priv(dev);

	return private->start_xmit(skb, dev);
}

static irqreturn_t net_helper_interrupt(int irq, void *dev)
{
	const struct net_helper_private *private = netdev_priv(dev);

	return private->interrupt(dev) ? IRQ_HANDLED : IRQ_NONE;
}

int net_helper_request_irq_shared(unsigned int irq, struct net_device *dev)
{
	return request_irq(irq, net_helper_interrupt, IRQF_SHARED, dev->name, dev);
}
