/* SPDX-License-Identifier: GPL-2.0 */
/* NAPI. */

void net_helper_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
			       int (*poll)(struct napi_struct *, int))
{
	netif_napi_add(dev, napi, poll);
}

void net_helper_netif_napi_set_irq(struct napi_struct *napi, int irq)
{
	netif_napi_set_irq(napi, irq);
}

void net_helper_netif_napi_del(struct napi_struct *napi)
{
	netif_napi_del(napi);
}

struct net_device *net_helper_napi_dev(const struct napi_struct *napi)
{
	return napi->dev;
}

void net_helper_napi_schedule(struct napi_struct *napi)
{
	napi_schedule(napi);
}

void net_helper_napi_gro_receive(struct napi_struct *napi, struct sk_buff *skb)
{
	napi_gro_receive(napi, skb);
}
