// SPDX-License-Identifier: GPL-2.0
/*
 * The sizes of C structures that Rust has memory for, in this kernel's configuration (lockdep, for
 * instance, enlarges both). Compiled to assembly only; rust/standin/rules takes the numbers out of
 * it, as the kernel does for its asm-offsets.h.
 */
#include <linux/build_bug.h>
#include <linux/kbuild.h>
#include <linux/mutex.h>

/* In Rust they are arrays of u64. */
static_assert(__alignof__(struct mutex) <= 8,
	      "struct mutex needs a larger alignment than the stand-in gives it");
static_assert(__alignof__(struct lock_class_key) <= 8,
	      "struct lock_class_key needs a larger alignment than the stand-in gives it");
static_assert(sizeof(struct mutex) % 8 == 0, "struct mutex is no whole number of u64");
static_assert(sizeof(struct lock_class_key) % 8 == 0,
	      "struct lock_class_key is no whole number of u64");

void sizes(void);
void sizes(void)
{
	DEFINE(MUTEX_BYTES, sizeof(struct mutex));
	DEFINE(LOCK_CLASS_KEY_BYTES, sizeof(struct lock_class_key));
}
