// SPDX-License-Identifier: GPL-2.0
/* See helpers.h. */
#include <linux/bpf_trace.h>
#include <linux/build_bug.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_vlan.h>
#include <linux/interrupt.h>
#include <linux/ip.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/phy.h>
#include <linux/pm_runtime.h>
#include <linux/pm_wakeup.h>
#include <linux/skbuff.h>
#include <linux/swiotlb.h>
#include <linux/workqueue.h>
#include <net/gso.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>
#include <net/xdp.h>

#include "helpers.h"

/* The sizes that bindgen's compiler and rustc agree on must be this compiler's sizes too. */
#include "sizes.h"

/* The module! macro of the kernel crate knows no version. */
MODULE_VERSION(R8168_VERSION);
/* Nor one for the driver of the PHY, which is found by its id when the bus of the PHY is registered, or not at all. */
MODULE_SOFTDEP("pre: realtek");

netdev_tx_t net_helper_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	const struct net_helper_private *private = netdev_priv(dev);

	return private->start_xmit(skb, dev);
}

static irqreturn_t net_helper_interrupt(int irq, void *dev)
{
	const struct net_helper_private *private = netdev_priv(dev);

	return private->interrupt(dev) ? IRQ_HANDLED : IRQ_NONE;
}

int net_helper_request_irq(unsigned int irq, struct net_device *dev)
{
	return request_irq(irq, net_helper_interrupt, IRQF_SHARED, dev->name, dev);
}

void net_helper_free_irq(unsigned int irq, struct net_device *dev)
{
	free_irq(irq, dev);
}

void net_helper_netdev_setup(struct net_device *dev, struct device *parent,
			     const struct net_device_ops *ops,
			     const struct ethtool_ops *ethtool_ops,
			     unsigned int max_mtu, int irq)
{
	SET_NETDEV_DEV(dev, parent);
	dev->netdev_ops = ops;
	dev->ethtool_ops = ethtool_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	/* A frame to be sent is the driver's alone. */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->max_mtu = max_mtu;
	dev->irq = irq;
	dev->xdp_features = NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT | NETDEV_XDP_ACT_NDO_XMIT;
	netdev_sw_irq_coalesce_default_on(dev);
}

void net_helper_netdev_set_features(struct net_device *dev, netdev_features_t able,
				    netdev_features_t on, netdev_features_t vlan)
{
	dev->hw_features |= able;
	dev->features |= on;
	dev->vlan_features |= vlan;
}

unsigned int net_helper_netdev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

void net_helper_netdev_set_mtu(struct net_device *dev, unsigned int mtu)
{
	WRITE_ONCE(dev->mtu, mtu);
}

bool net_helper_device_present(const struct net_device *dev)
{
	return netif_device_present(dev);
}

bool net_helper_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

bool net_helper_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

bool net_helper_can_wakeup(struct net_device *dev)
{
	return device_can_wakeup(dev->dev.parent);
}

bool net_helper_may_wakeup(struct net_device *dev)
{
	return device_may_wakeup(dev->dev.parent);
}

int net_helper_set_wakeup_enable(struct net_device *dev, bool enable)
{
	return device_set_wakeup_enable(dev->dev.parent, enable);
}

unsigned int net_helper_netdev_flags(const struct net_device *dev)
{
	return READ_ONCE(dev->flags);
}

const u8 *net_helper_dev_addr(const struct net_device *dev)
{
	return dev->dev_addr;
}

void net_helper_eth_hw_addr_set(struct net_device *dev, const u8 *addr, bool random)
{
	eth_hw_addr_set(dev, addr);
	if (random)
		dev->addr_assign_type = NET_ADDR_RANDOM;
}

void net_helper_eth_random_addr(u8 *addr)
{
	eth_random_addr(addr);
}

struct netdev_hw_addr *net_helper_mc_next(struct net_device *dev, struct netdev_hw_addr *after)
{
	struct list_head *next = after ? after->list.next : dev->mc.list.next;

	return next == &dev->mc.list ? NULL : list_entry(next, struct netdev_hw_addr, list);
}

const u8 *net_helper_hw_addr(const struct netdev_hw_addr *ha)
{
	return ha->addr;
}

void net_helper_addr_lock(struct net_device *dev)
{
	netif_addr_lock_bh(dev);
}

void net_helper_addr_unlock(struct net_device *dev)
{
	netif_addr_unlock_bh(dev);
}

u32 net_helper_ether_crc(int length, const u8 *data)
{
	return ether_crc(length, data);
}

/* dev_sw_netstats_rx_add() takes one packet at a time. */
void net_helper_sw_netstats_rx_add(struct net_device *dev, unsigned int packets, unsigned int len)
{
	struct pcpu_sw_netstats *stats = this_cpu_ptr(dev->tstats);

	u64_stats_update_begin(&stats->syncp);
	u64_stats_add(&stats->rx_bytes, len);
	u64_stats_add(&stats->rx_packets, packets);
	u64_stats_update_end(&stats->syncp);
}

void net_helper_sw_netstats_tx_add(struct net_device *dev, unsigned int packets, unsigned int len)
{
	dev_sw_netstats_tx_add(dev, packets, len);
}

void net_helper_fetch_sw_netstats(struct rtnl_link_stats64 *stats, const struct net_device *dev)
{
	dev_fetch_sw_netstats(stats, dev->tstats);
}

void net_helper_start_queue(struct net_device *dev)
{
	netif_start_queue(dev);
}

void net_helper_stop_queue(struct net_device *dev)
{
	netif_stop_queue(dev);
}

void net_helper_wake_queue(struct net_device *dev)
{
	netif_wake_queue(dev);
}

bool net_helper_queue_stopped(const struct net_device *dev)
{
	return netif_queue_stopped(dev);
}

void net_helper_tx_disable(struct net_device *dev)
{
	netif_tx_disable(dev);
}

bool net_helper_sent_queue(struct net_device *dev, unsigned int bytes)
{
	return __netdev_sent_queue(dev, bytes, netdev_xmit_more());
}

/* Bytes that are accounted to the byte queue limits and not completed: to complete more is a BUG(). */
static unsigned int net_helper_queued(struct net_device *dev)
{
#ifdef CONFIG_BQL
	const struct dql *dql = &netdev_get_tx_queue(dev, 0)->dql;

	return READ_ONCE(dql->num_queued) - dql->num_completed;
#else
	return 0;
#endif
}

void net_helper_completed_queue(struct net_device *dev, unsigned int packets, unsigned int bytes)
{
	netdev_completed_queue(dev, packets, min(bytes, net_helper_queued(dev)));
}

void net_helper_reset_queue(struct net_device *dev)
{
	netdev_reset_queue(dev);
}

void net_helper_trans_update(struct net_device *dev)
{
	netif_trans_update(dev);
}

void net_helper_napi_add(struct net_device *dev, struct napi_struct *napi,
			 int (*poll)(struct napi_struct *, int))
{
	netif_napi_add(dev, napi, poll);
}

void net_helper_napi_set_irq(struct napi_struct *napi, int irq)
{
	netif_napi_set_irq(napi, irq);
}

void net_helper_queues_set_napi(struct net_device *dev, struct napi_struct *napi)
{
	netif_queue_set_napi(dev, 0, NETDEV_QUEUE_TYPE_RX, napi);
	netif_queue_set_napi(dev, 0, NETDEV_QUEUE_TYPE_TX, napi);
}

void net_helper_set_stat_ops(struct net_device *dev, const struct netdev_stat_ops *ops)
{
	dev->stat_ops = ops;
}

void net_helper_napi_del(struct napi_struct *napi)
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

unsigned int net_helper_skb_frag_size(const struct sk_buff *skb, unsigned int frag)
{
	return skb_frag_size(&skb_shinfo(skb)->frags[frag]);
}

bool net_helper_skb_exceeds(const struct sk_buff *skb, unsigned int mtu)
{
	if (skb_is_gso(skb))
		return !skb_gso_validate_network_len(skb, mtu);
	return skb->len > ETH_HLEN + mtu;
}

bool net_helper_skb_csum_partial(const struct sk_buff *skb)
{
	return skb->ip_summed == CHECKSUM_PARTIAL;
}

u8 net_helper_skb_ip_protocol(const struct sk_buff *skb)
{
	return ip_hdr(skb)->protocol;
}

void net_helper_skb_vlan_put_tag(struct sk_buff *skb, u16 tag)
{
	__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), tag);
}

void net_helper_skb_csum_unnecessary(struct sk_buff *skb)
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

void net_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

void net_helper_kfree_skb_any(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}

bool net_helper_skb_set_protocol(struct sk_buff *skb, struct net_device *dev)
{
	skb->protocol = eth_type_trans(skb, dev);
	return skb->pkt_type == PACKET_MULTICAST;
}

dma_addr_t net_helper_dma_map_single(struct device *dev, void *data, size_t len)
{
	return dma_map_single(dev, data, len, DMA_TO_DEVICE);
}

void net_helper_dma_unmap_single(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_unmap_single(dev, addr, len, DMA_TO_DEVICE);
}

dma_addr_t net_helper_dma_map_frag(struct device *dev, const struct sk_buff *skb, unsigned int frag)
{
	const skb_frag_t *f = &skb_shinfo(skb)->frags[frag];

	return skb_frag_dma_map(dev, f, 0, skb_frag_size(f), DMA_TO_DEVICE);
}

void net_helper_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_unmap_page(dev, addr, len, DMA_TO_DEVICE);
}

bool net_helper_dma_mapping_error(struct device *dev, dma_addr_t addr)
{
	return dma_mapping_error(dev, addr);
}

void net_helper_dma_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_sync_single_for_cpu(dev, addr, len, DMA_FROM_DEVICE);
}

void net_helper_dma_sync_for_device(struct device *dev, dma_addr_t addr, size_t len)
{
	dma_sync_single_for_device(dev, addr, len, DMA_FROM_DEVICE);
}

bool net_helper_dma_force_bounce(struct device *dev)
{
	return is_swiotlb_force_bounce(dev);
}

struct page *net_helper_page_pool_alloc_frag(struct page_pool *pool, unsigned int *offset,
					     unsigned int size, gfp_t gfp)
{
	return page_pool_alloc_frag(pool, offset, size, gfp);
}

dma_addr_t net_helper_page_pool_dma_addr(const struct page *page)
{
	return page_pool_get_dma_addr(page);
}

/* Kbuild looks for these in the kernel's headers. */
#ifndef HAVE_PP_PAGE_TO_NMDESC
#define pp_page_to_nmdesc(page) (page)
#endif

/*
 * Before there was a function for it, the field was set when the pool was made. The pool is not used yet; only netlink's dump of pools may
 * read the field, once.
 */
void net_helper_page_pool_direct_recycling(struct page_pool *pool, struct napi_struct *napi)
{
#ifdef HAVE_DIRECT_RECYCLING
	page_pool_enable_direct_recycling(pool, napi);
#else
	WRITE_ONCE(pool->p.napi, napi);
#endif
}

void net_helper_page_pool_put(struct page *page)
{
	page_pool_put_full_page(pp_page_to_nmdesc(page)->pp, page, false);
}

struct page_pool *net_helper_page_pool_of(const struct page *page)
{
	return pp_page_to_nmdesc(page)->pp;
}

void *net_helper_page_address(const struct page *page)
{
	return page_address(page);
}

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

int net_helper_xdp_rxq_reg(struct xdp_rxq_info *rxq, struct net_device *dev, struct page_pool *pool)
{
	int err = xdp_rxq_info_reg(rxq, dev, 0, 0);

	if (err)
		return err;
	err = xdp_rxq_info_reg_mem_model(rxq, MEM_TYPE_PAGE_POOL, pool);
	if (err)
		xdp_rxq_info_unreg(rxq);
	return err;
}

u32 net_helper_xdp_frame_len(const struct xdp_frame *frame)
{
	return frame->len;
}

void *net_helper_xdp_frame_data(const struct xdp_frame *frame)
{
	return frame->data;
}

bool net_helper_xdp_command(struct netdev_bpf *command, struct bpf_prog **prog)
{
	if (command->command != XDP_SETUP_PROG)
		return false;
	*prog = command->prog;
	return true;
}

void net_helper_xdp_refuse_mtu(struct netdev_bpf *command, unsigned int limit)
{
	NL_SET_ERR_MSG_FMT_MOD(command->extack,
			       "XDP takes frames of one buffer: the MTU must be %u or less", limit);
}

void net_helper_xdp_warn_mtu(struct net_device *dev, unsigned int limit)
{
	netdev_warn(dev, "with an XDP program the MTU must be %u or less\n", limit);
}

void net_helper_bpf_prog_put(struct bpf_prog *prog)
{
	bpf_prog_put(prog);
}

void net_helper_tx_lock(struct net_device *dev)
{
	__netif_tx_lock(netdev_get_tx_queue(dev, 0), smp_processor_id());
}

void net_helper_tx_unlock(struct net_device *dev)
{
	__netif_tx_unlock(netdev_get_tx_queue(dev, 0));
}

void net_helper_tx_touched(struct net_device *dev)
{
	txq_trans_cond_update(netdev_get_tx_queue(dev, 0));
}

void net_helper_skb_set_metadata(struct sk_buff *skb, u32 len)
{
	skb_metadata_set(skb, len);
}

int net_helper_keep_config(struct net_device *dev)
{
	struct net_helper_private *private = netdev_priv(dev);
	struct pci_dev *pdev = to_pci_dev(dev->dev.parent);
	int err = pci_save_state(pdev);

	if (err)
		return err;
	private->config = pci_store_saved_state(pdev);
	return private->config ? 0 : -ENOMEM;
}

void net_helper_free_config(struct net_device *dev)
{
	const struct net_helper_private *private = netdev_priv(dev);

	kfree(private->config);
}

/*
 * Not the configuration that was saved last: the PCI core saves before a suspend and before a reset, and before Linux 7.2 it saves
 * the all ones of a card that is dead, whose command register would come back with its interrupt disabled.
 */
void net_helper_restore_config(struct net_device *dev)
{
	const struct net_helper_private *private = netdev_priv(dev);
	struct pci_dev *pdev = to_pci_dev(dev->dev.parent);

	pci_load_saved_state(pdev, private->config);
	pci_restore_state(pdev);
	/* A suspend that has begun takes it for its own otherwise, and neither saves nor suspends the device (Linux 6.19 and later). */
	pdev->state_saved = false;
}

int net_helper_reset_bus(struct net_device *dev)
{
	return pci_reset_bus(to_pci_dev(dev->dev.parent));
}

void net_helper_say_dead(struct net_device *dev)
{
	netdev_err(dev, "the card does not answer: resetting it through its bus\n");
}

void net_helper_say_detached(struct net_device *dev, int err)
{
	netdev_err(dev, "the card cannot be reset through its bus (%d): detached\n", err);
}

void net_helper_init_work(struct work_struct *work, work_func_t function)
{
	INIT_WORK(work, function);
}

void net_helper_schedule_work(struct work_struct *work)
{
	schedule_work(work);
}

void net_helper_mdiobus_setup(struct mii_bus *bus, const char *name, void *priv, struct device *parent,
			      int (*read)(struct mii_bus *bus, int addr, int regnum),
			      int (*write)(struct mii_bus *bus, int addr, int regnum, u16 val))
{
	bus->name = name;
	bus->priv = priv;
	bus->parent = parent;
	bus->phy_mask = ~1;
	bus->irq[0] = PHY_MAC_INTERRUPT;
	bus->read = read;
	bus->write = write;
	snprintf(bus->id, MII_BUS_ID_SIZE, "%s-%s", name, dev_name(parent));
}

void *net_helper_mdiobus_priv(const struct mii_bus *bus)
{
	return bus->priv;
}

int net_helper_mdiobus_register(struct mii_bus *bus)
{
	return mdiobus_register(bus);
}

void net_helper_mdio_lock(struct phy_device *phydev)
{
	phy_lock_mdio_bus(phydev);
}

void net_helper_mdio_unlock(struct phy_device *phydev)
{
	phy_unlock_mdio_bus(phydev);
}

int net_helper_phy_read(struct phy_device *phydev, u32 regnum)
{
	return __phy_read(phydev, regnum);
}

int net_helper_phy_write(struct phy_device *phydev, u32 regnum, u16 val)
{
	return __phy_write(phydev, regnum, val);
}

/* The two bits by which flow control is advertised: bit 0 is Pause, bit 1 Asym_Pause. */
u32 net_helper_phy_pause_bits(const struct phy_device *phydev)
{
	return linkmode_test_bit(ETHTOOL_LINK_MODE_Pause_BIT, phydev->advertising) |
	       linkmode_test_bit(ETHTOOL_LINK_MODE_Asym_Pause_BIT, phydev->advertising) << 1;
}

void net_helper_phy_set_pause_bits(struct phy_device *phydev, u32 bits)
{
	linkmode_mod_bit(ETHTOOL_LINK_MODE_Pause_BIT, phydev->advertising, bits & 1);
	linkmode_mod_bit(ETHTOOL_LINK_MODE_Asym_Pause_BIT, phydev->advertising, bits & 2);
}

int net_helper_phy_speed(const struct phy_device *phydev)
{
	return READ_ONCE(phydev->speed);
}

bool net_helper_phy_autoneg(const struct phy_device *phydev)
{
	return phydev->autoneg == AUTONEG_ENABLE;
}

void net_helper_print_link(struct net_device *dev)
{
	phy_print_status(dev->phydev);
}

void net_helper_phy_cancel_state_machine(struct phy_device *phydev)
{
	cancel_delayed_work_sync(&phydev->state_queue);
}

void net_helper_phy_set_mac_managed_pm(struct phy_device *phydev)
{
	phydev->mac_managed_pm = true;
}

bool net_helper_device_may_wakeup(struct device *dev)
{
	return device_may_wakeup(dev);
}

bool net_helper_powering_off(void)
{
	return system_state == SYSTEM_POWER_OFF;
}

unsigned int net_helper_pci_irq(const struct pci_dev *pdev)
{
	return pdev->irq;
}

struct device *net_helper_netdev_parent(const struct net_device *dev)
{
	return dev->dev.parent;
}

void net_helper_set_wol_enabled(struct net_device *dev, bool enabled)
{
	dev->ethtool->wol_enabled = enabled;
}

/* Gives up the reference that the PCI core holds for the driver, if the device can call for power. */
bool net_helper_pm_allow(struct device *dev, int delay_ms)
{
	if (!pci_dev_run_wake(to_pci_dev(dev)))
		return false;
	pm_runtime_set_autosuspend_delay(dev, delay_ms);
	pm_runtime_use_autosuspend(dev);
	pm_runtime_put_noidle(dev);
	return true;
}

void net_helper_pm_forbid(struct device *dev)
{
	pm_runtime_get_sync(dev);
	pm_runtime_dont_use_autosuspend(dev);
}

void net_helper_pm_get_sync(struct device *dev)
{
	pm_runtime_get_sync(dev);
}

void net_helper_pm_put(struct device *dev)
{
	pm_runtime_put(dev);
}

void net_helper_pm_mark_busy(struct device *dev)
{
	pm_runtime_mark_last_busy(dev);
}

void net_helper_pm_request_idle(struct device *dev)
{
	pm_request_idle(dev);
}

void net_helper_pm_request_resume(struct device *dev)
{
	pm_request_resume(dev);
}

void net_helper_pci_set_drvdata(struct pci_dev *pdev, void *data)
{
	pci_set_drvdata(pdev, data);
}

void *net_helper_drvdata(const struct device *dev)
{
	return dev_get_drvdata(dev);
}

u64 net_helper_pci_memory_bar_len(struct pci_dev *pdev, int bar)
{
	if (bar < 0 || bar >= PCI_STD_NUM_BARS || !(pci_resource_flags(pdev, bar) & IORESOURCE_MEM))
		return 0;
	return pci_resource_len(pdev, bar);
}

int net_helper_dma_set_mask(struct device *dev, unsigned int bits)
{
	return dma_set_mask_and_coherent(dev, DMA_BIT_MASK(bits));
}

u8 net_helper_readb(const void *addr)
{
	return readb((const void __iomem *)addr);
}

u16 net_helper_readw(const void *addr)
{
	return readw((const void __iomem *)addr);
}

u32 net_helper_readl(const void *addr)
{
	return readl((const void __iomem *)addr);
}

void net_helper_writeb(u8 value, void *addr)
{
	writeb(value, (void __iomem *)addr);
}

void net_helper_writew(u16 value, void *addr)
{
	writew(value, (void __iomem *)addr);
}

void net_helper_writel(u32 value, void *addr)
{
	writel(value, (void __iomem *)addr);
}

void net_helper_smp_mb(void)
{
	smp_mb();
}

void net_helper_dma_rmb(void)
{
	dma_rmb();
}

void net_helper_dma_wmb(void)
{
	dma_wmb();
}
