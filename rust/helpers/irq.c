/* SPDX-License-Identifier: GPL-2.0 */
/* Interrupts, and what C must call through types of its own. */

static const struct net_helper_private *private_of(const struct net_device *dev)
{
	return netdev_priv(dev);
}

netdev_tx_t net_helper_ndo_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	return private_of(dev)->start_xmit(skb, dev);
}

static irqreturn_t interrupt(int irq, void *dev)
{
	return IRQ_RETVAL(private_of(dev)->interrupt(dev));
}

int net_helper_request_irq_shared(unsigned int irq, struct net_device *dev)
{
	return request_irq(irq, interrupt, IRQF_SHARED, dev->name, dev);
}
