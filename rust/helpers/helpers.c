// SPDX-License-Identifier: GPL-2.0
/* All helpers in one object; see helpers.h. */
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

#include "dma.c"
#include "io.c"
#include "irq.c"
#include "napi.c"
#include "netdevice.c"
#include "page_pool.c"
#include "pci.c"
#include "phy.c"
#include "pm.c"
#include "queue.c"
#include "skbuff.c"
#include "work.c"
#include "xdp.c"
