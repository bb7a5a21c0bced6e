/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the C side that rust/net uses.
 * What is wanted of it is listed in bindgen.flags.
 */
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/interrupt.h>
#include <linux/ip.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/phy.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <net/gso.h>
#include <net/netdev_queues.h>
#include <net/page_pool/types.h>
#include <net/xdp.h>

#include "../helpers/helpers.h"

/*
 * rust/net/skb.rs takes `tail` and `end` for offsets from `head`, as they are where pointers have
 * 64 bits.
 */
#ifndef NET_SKBUFF_DATA_USES_OFFSET
#error "sk_buff.tail and sk_buff.end are pointers here: 32-bit machines are not supported"
#endif

/* bindgen cannot evaluate macros with casts in them. */
static const size_t NET_PAGE_SIZE = PAGE_SIZE;
static const gfp_t NET_GFP_KERNEL = GFP_KERNEL;
/* Where fields are that Rust reads for each frame, of structures that are not translated whole. */
static const size_t NET_PCI_DEV_DEVICE = offsetof(struct pci_dev, dev);
static const size_t NET_NETDEV_PRIV = offsetof(struct net_device, priv);
static const size_t NET_SKB_LEN = offsetof(struct sk_buff, len);
static const size_t NET_SKB_DATA_LEN = offsetof(struct sk_buff, data_len);
static const size_t NET_SKB_DATA = offsetof(struct sk_buff, data);
static const size_t NET_SKB_TAIL = offsetof(struct sk_buff, tail);
static const size_t NET_SKB_HEAD = offsetof(struct sk_buff, head);
static const size_t NET_SKB_END = offsetof(struct sk_buff, end);
static const size_t NET_SKB_VLAN = offsetof(struct sk_buff, vlan_all);
static const size_t NET_SKB_VLAN_TAG = offsetof(struct sk_buff, vlan_tci);
static const size_t NET_SKB_PKT_TYPE = offsetof(struct sk_buff, __pkt_type_offset);
static const size_t NET_SKB_PROTOCOL = offsetof(struct sk_buff, protocol);
static const size_t NET_SKB_NETWORK_HEADER = offsetof(struct sk_buff, network_header);
static const size_t NET_IP_PROTOCOL = offsetof(struct iphdr, protocol);
static const size_t NET_SHARED_NR_FRAGS = offsetof(struct skb_shared_info, nr_frags);
static const size_t NET_SHARED_TX_FLAGS = offsetof(struct skb_shared_info, tx_flags);
static const size_t NET_SHARED_GSO_SIZE = offsetof(struct skb_shared_info, gso_size);
static const size_t NET_SHARED_GSO_SEGS = offsetof(struct skb_shared_info, gso_segs);
static const u8 NET_CHECKSUM_PARTIAL = CHECKSUM_PARTIAL;
static const u8 NET_CHECKSUM_UNNECESSARY = CHECKSUM_UNNECESSARY;
static const u8 NET_PACKET_MULTICAST = PACKET_MULTICAST;
static const int NET_PCIE_LINK_STATE_L1 = PCIE_LINK_STATE_L1;
static const netdev_features_t NET_F_SG = NETIF_F_SG;
static const netdev_features_t NET_F_IP_CSUM = NETIF_F_IP_CSUM;
static const netdev_features_t NET_F_TSO = NETIF_F_TSO;
static const netdev_features_t NET_F_RXCSUM = NETIF_F_RXCSUM;
static const netdev_features_t NET_F_VLAN_TX = NETIF_F_HW_VLAN_CTAG_TX;
static const netdev_features_t NET_F_VLAN_RX = NETIF_F_HW_VLAN_CTAG_RX;
static const netdev_features_t NET_F_RXFCS = NETIF_F_RXFCS;
static const netdev_features_t NET_F_RXALL = NETIF_F_RXALL;
static const netdev_features_t NET_F_CSUM_MASK = NETIF_F_CSUM_MASK;
static const netdev_features_t NET_F_GSO_MASK = NETIF_F_ALL_TSO;
static const unsigned int NET_LINK_MODE_PAUSE = ETHTOOL_LINK_MODE_Pause_BIT;
static const unsigned int NET_LINK_MODE_ASYM_PAUSE = ETHTOOL_LINK_MODE_Asym_Pause_BIT;
static const unsigned int NET_LINK_MODE_GIGABIT_HALF = ETHTOOL_LINK_MODE_1000baseT_Half_BIT;
static const unsigned int NET_COALESCE_PARAMS =
	ETHTOOL_COALESCE_USECS | ETHTOOL_COALESCE_MAX_FRAMES;
static const unsigned int NET_MSG_LINK = NETIF_MSG_LINK;
static const unsigned int NET_MSG_DEFAULT = NETIF_MSG_DRV | NETIF_MSG_PROBE | NETIF_MSG_LINK;
static const unsigned int NET_MAX_SKB_FRAGS = MAX_SKB_FRAGS;
static const unsigned int NET_IFF_PROMISC = IFF_PROMISC;
static const unsigned int NET_IFF_ALLMULTI = IFF_ALLMULTI;
static const unsigned int NET_XDP_FEATURES =
	NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT | NETDEV_XDP_ACT_NDO_XMIT;
static const gfp_t NET_GFP_SLEEP = GFP_KERNEL | __GFP_NOWARN;
static const gfp_t NET_GFP_POLL = GFP_ATOMIC | __GFP_NOWARN;
static const gfp_t NET_GFP_DMA32 = GFP_DMA32;
static const unsigned int NET_PP_FLAGS = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV;
static const unsigned int NET_NAPI_WEIGHT = NAPI_POLL_WEIGHT;
static const unsigned long NET_SKB_OVERHEAD = SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
