// SPDX-License-Identifier: GPL-2.0
/*
 * The C side of the stand-in for the kernel crate; rust/standin/kernel/c.rs declares the same to
 * Rust. Pointers are void *, for Rust does not know the structures; here they get their types back,
 * for what they are passed to may be a macro (__mutex_init, with CONFIG_PREEMPT_RT).
 */
#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/slab.h>

#include "standin.h"

void *standin_kmalloc(size_t size)
{
	return kmalloc(size, GFP_KERNEL);
}

void standin_kfree(void *memory)
{
	kfree(memory);
}

void *standin_kvmalloc(size_t size)
{
	return kvmalloc(size, GFP_KERNEL);
}

void standin_kvfree(void *memory)
{
	kvfree(memory);
}

void standin_mutex_init(void *mutex, const char *name, void *key)
{
	struct mutex *lock = mutex;
	struct lock_class_key *class = key;

	__mutex_init(lock, name, class);
}

void standin_mutex_lock(void *mutex)
{
	struct mutex *lock = mutex;

	mutex_lock(lock);
}

void standin_mutex_unlock(void *mutex)
{
	struct mutex *lock = mutex;

	mutex_unlock(lock);
}

void standin_fsleep(unsigned long us)
{
	fsleep(us);
}

void __noreturn standin_panic(const char *text, int length)
{
	pr_emerg("%.*s\n", length, text);
	BUG();
}

void standin_warn_count(void)
{
	WARN_ONCE(1, "the count of an Arc is wrong; its value is leaked\n");
}

void *standin_this_module(void)
{
	return THIS_MODULE;
}
