/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline functions, macros and fields of the kernel, as functions that Rust can call: each is what
 * its name after net_helper_ is in C, on one queue and one PHY. Rust knows them without that prefix
 * (Kbuild). They are in files by subsystem, and decide nothing, but for xdp_run;
 * docs/decisions/02-c-helpers.md says which are more than a statement, and why.
 */
#ifndef NET_HELPERS_H
#define NET_HELPERS_H

#include <linux/netdevice.h>
#include <linux/skbuff.h>

struct netdev_stat_ops;
struct page_pool;
struct mii_bus;
struct pci_dev;
struct phy_device;

/*
 * The beginning of a private area: callbacks that return an enum in C, as functions of the types
 * that Rust gives them (to the control-flow integrity of clang, kCFI, an enum is no int).
 */
struct net_helper_private {
	int (*start_xmit)(struct sk_buff *skb, struct net_device *dev);
	bool (*interrupt)(struct net_device *dev);
};

/* netdevice.c */
unsigned int net_helper_netdev_mtu(const struct net_device *dev);
void net_helper_netdev_set_mtu(struct net_device *dev, unsigned int mtu);
unsigned int net_helper_netdev_flags(const struct net_device *dev);
struct device *net_helper_netdev_parent(const struct net_device *dev);
bool net_helper_netif_device_present(const struct net_device *dev);
bool net_helper_netif_running(const struct net_device *dev);
bool net_helper_netif_carrier_ok(const struct net_device *dev);
const u8 *net_helper_netdev_addr(const struct net_device *dev);
void net_helper_eth_random_addr(u8 *addr);
void net_helper_netif_addr_lock_bh(struct net_device *dev);
void net_helper_netif_addr_unlock_bh(struct net_device *dev);
u32 net_helper_ether_crc(int length, const u8 *data);
void net_helper_dev_sw_netstats_rx_add_batch(struct net_device *dev, unsigned int packets,
					     unsigned int len);
void net_helper_dev_sw_netstats_tx_add(struct net_device *dev, unsigned int packets,
				       unsigned int len);
void net_helper_dev_fetch_sw_netstats(struct rtnl_link_stats64 *stats,
				      const struct net_device *dev);
void net_helper_netdev_set_wol_enabled(struct net_device *dev, bool enabled);
void net_helper_netdev_err(const struct net_device *dev, const char *text, int err);
void net_helper_netdev_setup(struct net_device *dev, struct device *parent,
			     const struct net_device_ops *ops,
			     const struct ethtool_ops *ethtool_ops,
			     const struct netdev_stat_ops *stat_ops, unsigned int max_mtu,
			     u32 xdp_features, int irq);
void net_helper_netdev_add_features(struct net_device *dev, netdev_features_t able,
				    netdev_features_t on, netdev_features_t vlan);
void net_helper_eth_hw_addr_set(struct net_device *dev, const u8 *addr);
void net_helper_netdev_set_addr_assign_type(struct net_device *dev, unsigned char type);
struct list_head *net_helper_netdev_mc_list(struct net_device *dev);
const u8 *net_helper_netdev_hw_addr(const struct list_head *entry);

/* queue.c */
void net_helper_netif_start_queue(struct net_device *dev);
void net_helper_netif_stop_queue(struct net_device *dev);
void net_helper_netif_wake_queue(struct net_device *dev);
bool net_helper_netif_queue_stopped(const struct net_device *dev);
void net_helper_netif_tx_disable(struct net_device *dev);
void net_helper_netif_tx_lock_queue(struct net_device *dev);
void net_helper_netif_tx_unlock_queue(struct net_device *dev);
void net_helper_txq_trans_cond_update(struct net_device *dev);
void net_helper_netif_trans_update(struct net_device *dev);
bool net_helper_netdev_sent_queue_more(struct net_device *dev, unsigned int bytes);
void net_helper_netdev_completed_queue_at_most(struct net_device *dev, unsigned int packets,
					       unsigned int bytes);
void net_helper_netdev_reset_queue(struct net_device *dev);

/* napi.c */
void net_helper_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
			       int (*poll)(struct napi_struct *, int));
void net_helper_netif_napi_set_irq(struct napi_struct *napi, int irq);
void net_helper_netif_napi_del(struct napi_struct *napi);
struct net_device *net_helper_napi_dev(const struct napi_struct *napi);
void net_helper_napi_schedule(struct napi_struct *napi);
void net_helper_napi_gro_receive(struct napi_struct *napi, struct sk_buff *skb);

/* skbuff.c */
/*
 * Where the bit fields pkt_type and ip_summed are in the byte at __pkt_type_offset; skbuff.c makes
 * sure of that.
 */
#ifdef __BIG_ENDIAN_BITFIELD
#define NET_SKB_PKT_TYPE_SHIFT	5
#define NET_SKB_SUMMED_SHIFT	1
#else
#define NET_SKB_PKT_TYPE_SHIFT	0
#define NET_SKB_SUMMED_SHIFT	5
#endif
unsigned int net_helper_skb_frag_size(const struct sk_buff *skb, unsigned int frag);
void net_helper___vlan_hwaccel_put_tag(struct sk_buff *skb, u16 tag);
netdev_features_t net_helper_vlan_features_check(struct sk_buff *skb, netdev_features_t features);
struct sk_buff *net_helper_netdev_alloc_skb(struct net_device *dev, unsigned int len);
void net_helper_skb_put_data(struct sk_buff *skb, const void *data, unsigned int len);
void net_helper_skb_metadata_set(struct sk_buff *skb, u32 len);
void net_helper_skb_tx_timestamp(struct sk_buff *skb);
void net_helper_dev_kfree_skb_any(struct sk_buff *skb);

/* dma.c */
dma_addr_t net_helper_dma_map_single(struct device *dev, void *data, size_t len);
void net_helper_dma_unmap_single(struct device *dev, dma_addr_t addr, size_t len);
void net_helper_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t len);
void net_helper_dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr, size_t len);
void net_helper_dma_sync_single_for_device(struct device *dev, dma_addr_t addr, size_t len);
bool net_helper_is_swiotlb_force_bounce(struct device *dev);
int net_helper_dma_set_mask_and_coherent(struct device *dev, unsigned int bits);
dma_addr_t net_helper_skb_frag_dma_map(struct device *dev, const struct sk_buff *skb,
				       unsigned int frag);

/* page_pool.c */
void *net_helper_page_pool_alloc_frag(struct page_pool *pool, dma_addr_t *addr, unsigned int size,
				      gfp_t gfp);
struct sk_buff *net_helper_page_pool_build_skb(void *frag, unsigned int size);
void net_helper_page_pool_enable_direct_recycling(struct page_pool *pool, struct napi_struct *napi);
void net_helper_page_pool_put_frag(void *frag);
struct page_pool *net_helper_page_pool_of_frag(const void *frag);

/* xdp.c */
struct net_helper_xdp {
	void *start;		/* of the buffer */
	u32 size;		/* of the buffer */
	u32 headroom;		/* from there to the frame */
	u32 length;
	u32 metadata;		/* bytes of it in front of the frame */
	struct xdp_frame *frame;	/* with XDP_TX */
};
u32 net_helper_xdp_run(struct net_device *dev, struct bpf_prog *prog, struct xdp_rxq_info *rxq,
		       struct net_helper_xdp *frame);
u32 net_helper_xdp_frame_len(const struct xdp_frame *frame);
void *net_helper_xdp_frame_data(const struct xdp_frame *frame);
int net_helper_xdp_rxq_info_reg(struct xdp_rxq_info *rxq, struct net_device *dev);
bool net_helper_netdev_bpf_is_setup_prog(const struct netdev_bpf *command);
struct bpf_prog *net_helper_netdev_bpf_prog(const struct netdev_bpf *command);
void net_helper_netdev_bpf_refuse_mtu(struct netdev_bpf *command, unsigned int limit);
void net_helper_netdev_warn_xdp_mtu(struct net_device *dev, unsigned int limit);
void net_helper_bpf_prog_put(struct bpf_prog *prog);

/* phy.c */
void *net_helper_mdiobus_priv(const struct mii_bus *bus);
int net_helper_mdiobus_register(struct mii_bus *bus);
void net_helper_phy_lock_mdio_bus(struct phy_device *phydev);
void net_helper_phy_unlock_mdio_bus(struct phy_device *phydev);
int net_helper___phy_read(struct phy_device *phydev, u32 regnum);
int net_helper___phy_write(struct phy_device *phydev, u32 regnum, u16 val);
bool net_helper_phy_supports(const struct phy_device *phydev, u32 mode);
bool net_helper_phy_advertises(const struct phy_device *phydev, u32 mode);
void net_helper_phy_set_advertised(struct phy_device *phydev, u32 mode, bool on);
int net_helper_phy_speed(const struct phy_device *phydev);
bool net_helper_phy_autoneg(const struct phy_device *phydev);
void net_helper_phy_print_status(struct net_device *dev);
void net_helper_phy_cancel_state_machine(struct phy_device *phydev);
void net_helper_phy_set_mac_managed_pm(struct phy_device *phydev);
void net_helper_mdiobus_setup(struct mii_bus *bus, void *priv, struct device *parent,
			      int (*read)(struct mii_bus *bus, int addr, int regnum),
			      int (*write)(struct mii_bus *bus, int addr, int regnum, u16 val));

/* pci.c */
unsigned int net_helper_pci_irq(const struct pci_dev *pdev);
void net_helper_pci_set_drvdata(struct pci_dev *pdev, void *data);
void *net_helper_dev_get_drvdata(const struct device *dev);
void net_helper_pci_clear_state_saved(struct pci_dev *pdev);
u64 net_helper_pci_memory_bar_len(struct pci_dev *pdev, int bar);

/* pm.c */
bool net_helper_device_can_wakeup(struct device *dev);
bool net_helper_device_may_wakeup(struct device *dev);
bool net_helper_is_powering_off(void);
void net_helper_pm_runtime_get_sync(struct device *dev);
void net_helper_pm_runtime_put(struct device *dev);
void net_helper_pm_runtime_mark_last_busy(struct device *dev);
void net_helper_pm_request_idle(struct device *dev);
void net_helper_pm_request_resume(struct device *dev);
void net_helper_pm_runtime_set_autosuspend_delay(struct device *dev, int delay_ms);
void net_helper_pm_runtime_use_autosuspend(struct device *dev);
void net_helper_pm_runtime_dont_use_autosuspend(struct device *dev);
void net_helper_pm_runtime_put_noidle(struct device *dev);

/* irq.c */
netdev_tx_t net_helper_ndo_start_xmit(struct sk_buff *skb, struct net_device *dev);
int net_helper_request_irq_shared(unsigned int irq, struct net_device *dev);

/* work.c */
void net_helper_INIT_WORK(struct work_struct *work, work_func_t function);
void net_helper_schedule_work(struct work_struct *work);

/* io.c */
u8 net_helper_readb(const void *addr);
u16 net_helper_readw(const void *addr);
u32 net_helper_readl(const void *addr);
void net_helper_writeb(u8 value, void *addr);
void net_helper_writew(u16 value, void *addr);
void net_helper_writel(u32 value, void *addr);
void net_helper_smp_mb(void);
void net_helper_dma_rmb(void);
void net_helper_dma_wmb(void);

#endif
