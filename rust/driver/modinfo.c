// SPDX-License-Identifier: GPL-2.0
/* What the module! macro of the kernel crate does not know to say of a module. */
#include <linux/module.h>

MODULE_VERSION(R8168_VERSION);
/* The driver of the PHY is found by its id when the bus of the PHY is registered, or not at all. */
MODULE_SOFTDEP("pre: realtek");
