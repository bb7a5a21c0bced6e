/* SPDX-License-Identifier: GPL-2.0 */
#ifndef STANDIN_H
#define STANDIN_H

#include <linux/types.h>

void *standin_kmalloc(size_t size);
void standin_kfree(void *memory);
void *standin_kvmalloc(size_t size);
void standin_kvfree(void *memory);
void standin_mutex_init(void *mutex, const char *name, void *key);
void standin_mutex_lock(void *mutex);
void standin_mutex_unlock(void *mutex);
void standin_fsleep(unsigned long us);
void __noreturn standin_panic(const char *text, int length);
void standin_warn_count(void);
void *standin_this_module(void);
/* With KUnit only; the last is written by #[kunit_tests]. */
void standin_kunit_begin(const char *name, int length);
void standin_kunit_fail(const char *text, int length);
void standin_kunit_run(void);

#endif
