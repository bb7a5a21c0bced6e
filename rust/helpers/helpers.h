/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline functions, macros and fields of the network core, as functions that Rust can call.
 * Each does what the name after net_helper_ does in C, nothing more.
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
 * The beginning of a private area: callbacks that return an enum in C, as functions of the types that Rust gives them (to the
 * control-flow integrity of clang, kCFI, an enum is no int), and the configuration of the PCI device as its probe found it.
 */
struct net_helper_private {
	int (*start_xmit)(struct sk_buff *skb, struct net_device *dev);
	bool (*interrupt)(struct net_device *dev);
	struct pci_saved_state *config;
};
netdev_tx_t net_helper_start_xmit(struct sk_buff *skb, struct net_device *dev);
int net_helper_request_irq(unsigned int irq, struct net_device *dev);
void net_helper_free_irq(unsigned int irq, struct net_device *dev);

/* net_device */
void net_helper_netdev_setup(struct net_device *dev, struct device *parent,
			     const struct net_device_ops *ops,
			     const struct ethtool_ops *ethtool_ops,
			     unsigned int max_mtu, int irq);
void net_helper_netdev_set_features(struct net_device *dev, netdev_features_t able,
				    netdev_features_t on, netdev_features_t vlan);
unsigned int net_helper_netdev_mtu(const struct net_device *dev);
void net_helper_netdev_set_mtu(struct net_device *dev, unsigned int mtu);
bool net_helper_device_present(const struct net_device *dev);
bool net_helper_netif_running(const struct net_device *dev);
bool net_helper_carrier_ok(const struct net_device *dev);
bool net_helper_can_wakeup(struct net_device *dev);
bool net_helper_may_wakeup(struct net_device *dev);
int net_helper_set_wakeup_enable(struct net_device *dev, bool enable);
unsigned int net_helper_netdev_flags(const struct net_device *dev);
const u8 *net_helper_dev_addr(const struct net_device *dev);
void net_helper_eth_hw_addr_set(struct net_device *dev, const u8 *addr, bool random);
void net_helper_eth_random_addr(u8 *addr);
struct netdev_hw_addr *net_helper_mc_next(struct net_device *dev, struct netdev_hw_addr *after);
const u8 *net_helper_hw_addr(const struct netdev_hw_addr *ha);
void net_helper_addr_lock(struct net_device *dev);
void net_helper_addr_unlock(struct net_device *dev);
u32 net_helper_ether_crc(int length, const u8 *data);
void net_helper_sw_netstats_rx_add(struct net_device *dev, unsigned int packets, unsigned int len);
void net_helper_sw_netstats_tx_add(struct net_device *dev, unsigned int packets, unsigned int len);
void net_helper_fetch_sw_netstats(struct rtnl_link_stats64 *stats, const struct net_device *dev);

/* transmit queue 0 */
void net_helper_start_queue(struct net_device *dev);
void net_helper_stop_queue(struct net_device *dev);
void net_helper_wake_queue(struct net_device *dev);
bool net_helper_queue_stopped(const struct net_device *dev);
void net_helper_tx_disable(struct net_device *dev);
bool net_helper_sent_queue(struct net_device *dev, unsigned int bytes);
void net_helper_completed_queue(struct net_device *dev, unsigned int packets, unsigned int bytes);
void net_helper_reset_queue(struct net_device *dev);
void net_helper_trans_update(struct net_device *dev);

/* NAPI */
void net_helper_napi_add(struct net_device *dev, struct napi_struct *napi,
			 int (*poll)(struct napi_struct *, int));
void net_helper_napi_set_irq(struct napi_struct *napi, int irq);
void net_helper_queues_set_napi(struct net_device *dev, struct napi_struct *napi);
void net_helper_set_stat_ops(struct net_device *dev, const struct netdev_stat_ops *ops);
void net_helper_napi_del(struct napi_struct *napi);
struct net_device *net_helper_napi_dev(const struct napi_struct *napi);
void net_helper_napi_schedule(struct napi_struct *napi);
void net_helper_napi_gro_receive(struct napi_struct *napi, struct sk_buff *skb);

/* sk_buff */
unsigned int net_helper_skb_frag_size(const struct sk_buff *skb, unsigned int frag);
bool net_helper_skb_exceeds(const struct sk_buff *skb, unsigned int mtu);
bool net_helper_skb_csum_partial(const struct sk_buff *skb);
u8 net_helper_skb_ip_protocol(const struct sk_buff *skb);
void net_helper_skb_vlan_put_tag(struct sk_buff *skb, u16 tag);
void net_helper_skb_csum_unnecessary(struct sk_buff *skb);
netdev_features_t net_helper_vlan_features_check(struct sk_buff *skb, netdev_features_t features);
struct sk_buff *net_helper_netdev_alloc_skb(struct net_device *dev, unsigned int len);
void net_helper_skb_put_data(struct sk_buff *skb, const void *data, unsigned int len);
void net_helper_skb_mark_for_recycle(struct sk_buff *skb);
void net_helper_skb_tx_timestamp(struct sk_buff *skb);
void net_helper_kfree_skb_any(struct sk_buff *skb);
/* Returns whether the frame is to a multicast address. */
bool net_helper_skb_set_protocol(struct sk_buff *skb, struct net_device *dev);

/* streaming DMA */
dma_addr_t net_helper_dma_map_single(struct device *dev, void *data, size_t len);
void net_helper_dma_unmap_single(struct device *dev, dma_addr_t addr, size_t len);
dma_addr_t net_helper_dma_map_frag(struct device *dev, const struct sk_buff *skb, unsigned int frag);
void net_helper_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t len);
bool net_helper_dma_mapping_error(struct device *dev, dma_addr_t addr);
bool net_helper_dma_force_bounce(struct device *dev);
void net_helper_dma_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t len);
void net_helper_dma_sync_for_device(struct device *dev, dma_addr_t addr, size_t len);

/* page_pool */
struct page *net_helper_page_pool_alloc_frag(struct page_pool *pool, unsigned int *offset,
					     unsigned int size, gfp_t gfp);
dma_addr_t net_helper_page_pool_dma_addr(const struct page *page);
void net_helper_page_pool_put(struct page *page);
void net_helper_page_pool_direct_recycling(struct page_pool *pool, struct napi_struct *napi);
struct page_pool *net_helper_page_pool_of(const struct page *page);
void *net_helper_page_address(const struct page *page);

/* XDP */
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
int net_helper_xdp_rxq_reg(struct xdp_rxq_info *rxq, struct net_device *dev, struct page_pool *pool);
u32 net_helper_xdp_frame_len(const struct xdp_frame *frame);
void *net_helper_xdp_frame_data(const struct xdp_frame *frame);
bool net_helper_xdp_command(struct netdev_bpf *command, struct bpf_prog **prog);
void net_helper_xdp_refuse_mtu(struct netdev_bpf *command, unsigned int limit);
void net_helper_xdp_warn_mtu(struct net_device *dev, unsigned int limit);
void net_helper_bpf_prog_put(struct bpf_prog *prog);
void net_helper_tx_lock(struct net_device *dev);
void net_helper_tx_unlock(struct net_device *dev);
void net_helper_tx_touched(struct net_device *dev);
void net_helper_skb_set_metadata(struct sk_buff *skb, u32 len);

/* work items */
int net_helper_keep_config(struct net_device *dev);
void net_helper_free_config(struct net_device *dev);
void net_helper_restore_config(struct net_device *dev);
int net_helper_reset_bus(struct net_device *dev);
void net_helper_say_dead(struct net_device *dev);
void net_helper_say_detached(struct net_device *dev, int err);
void net_helper_init_work(struct work_struct *work, work_func_t function);
void net_helper_schedule_work(struct work_struct *work);

/* phylib */
void net_helper_mdiobus_setup(struct mii_bus *bus, const char *name, void *priv, struct device *parent,
			      int (*read)(struct mii_bus *bus, int addr, int regnum),
			      int (*write)(struct mii_bus *bus, int addr, int regnum, u16 val));
void *net_helper_mdiobus_priv(const struct mii_bus *bus);
int net_helper_mdiobus_register(struct mii_bus *bus);
void net_helper_mdio_lock(struct phy_device *phydev);
void net_helper_mdio_unlock(struct phy_device *phydev);
int net_helper_phy_read(struct phy_device *phydev, u32 regnum);
int net_helper_phy_write(struct phy_device *phydev, u32 regnum, u16 val);
u32 net_helper_phy_pause_bits(const struct phy_device *phydev);
void net_helper_phy_set_pause_bits(struct phy_device *phydev, u32 bits);
int net_helper_phy_speed(const struct phy_device *phydev);
bool net_helper_phy_autoneg(const struct phy_device *phydev);
void net_helper_print_link(struct net_device *dev);

void net_helper_phy_cancel_state_machine(struct phy_device *phydev);
void net_helper_phy_set_mac_managed_pm(struct phy_device *phydev);

/* PCI and power */
bool net_helper_device_may_wakeup(struct device *dev);
bool net_helper_powering_off(void);
unsigned int net_helper_pci_irq(const struct pci_dev *pdev);

/* power management at run time */
struct device *net_helper_netdev_parent(const struct net_device *dev);
void net_helper_set_wol_enabled(struct net_device *dev, bool enabled);
bool net_helper_pm_allow(struct device *dev, int delay_ms);
void net_helper_pm_forbid(struct device *dev);
void net_helper_pm_get_sync(struct device *dev);
void net_helper_pm_put(struct device *dev);
void net_helper_pm_mark_busy(struct device *dev);
void net_helper_pm_request_idle(struct device *dev);
void net_helper_pm_request_resume(struct device *dev);

/* PCI */
void net_helper_pci_set_drvdata(struct pci_dev *pdev, void *data);
void *net_helper_drvdata(const struct device *dev);
u64 net_helper_pci_memory_bar_len(struct pci_dev *pdev, int bar);
int net_helper_dma_set_mask(struct device *dev, unsigned int bits);

/* registers in a BAR; bindgen does not know __iomem */
u8 net_helper_readb(const void *addr);
u16 net_helper_readw(const void *addr);
u32 net_helper_readl(const void *addr);
void net_helper_writeb(u8 value, void *addr);
void net_helper_writew(u16 value, void *addr);
void net_helper_writel(u32 value, void *addr);

/* barriers */
void net_helper_smp_mb(void);
void net_helper_dma_rmb(void);
void net_helper_dma_wmb(void);

#endif
