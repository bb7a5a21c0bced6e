/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the parts of the network core that kernel::bindings does not have.
 * What is wanted of it is listed in bindgen.flags.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/phy.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <net/page_pool/types.h>

#include "../helpers/helpers.h"

/* bindgen cannot evaluate macros with casts in them. */
static const int NET_PCIE_LINK_STATE_L1 = PCIE_LINK_STATE_L1;
static const unsigned int NET_IFF_PROMISC = IFF_PROMISC;
static const unsigned int NET_IFF_ALLMULTI = IFF_ALLMULTI;
static const unsigned int NET_PP_FLAGS = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV;
static const unsigned long NET_SKB_OVERHEAD = SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
