// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts how often each block of the guest kernel's code is executed (under
 * TCG only).
 *
 *     -plugin file=count.so,counts=FILE[,modules=ADDRESS]
 *
 * FILE is a table of `struct block`, in no order, with zeros where there is none. It is mapped, so
 * that it can be read at any time; tests/lab/src/instructions.rs does. All instructions of a block
 * are counted when it is entered: what a fault or an interrupted string instruction leaves out or
 * repeats is not seen. With modules=ADDRESS only the code from there on is counted, in a table that
 * is small enough to be read many times a second: modules are at the end of all addresses.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * What is used of QEMU's qemu-plugin.h, which Debian has no package of. QEMU refuses another
 * version than its own.
 */
#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 7;
struct qemu_plugin_tb;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*callback)(struct qemu_plugin_tb *, void *),
					   void *userdata);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *,
					  void (*callback)(unsigned int, void *), int flags,
					  void *userdata);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);

struct block {
	uint64_t address;
	uint64_t instructions;
	uint64_t executions;
};

/*
 * The binary logarithm of the number of blocks: a kernel that boots and transfers has some 100,000,
 * the modules of a guest some 10,000.
 */
#define KERNEL_BITS 20
#define MODULES_BITS 16
static unsigned int bits = KERNEL_BITS;
/* The upper half of all addresses is the kernel's. */
static uint64_t first = 1UL << 63;
static struct block *blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void executed(unsigned int cpu, void *block)
{
	(void)cpu;
	__atomic_fetch_add(&((struct block *)block)->executions, 1, __ATOMIC_RELAXED);
}

/*
 * A block is translated again when it was dropped or its code was patched; one with the same
 * instructions is the same.
 */
static struct block *find(uint64_t address, uint64_t instructions)
{
	static size_t used;
	size_t all = 1UL << bits;
	size_t at = address * 0x9e3779b97f4a7c15 >> (64 - bits);

	for (;; at = (at + 1) % all) {
		if (!blocks[at].address) {
			if (++used > all / 2) {
				fputs("count: the table of blocks is full\n", stderr);
				exit(1);
			}
			blocks[at].address = address;
			blocks[at].instructions = instructions;
		}
		if (blocks[at].address == address && blocks[at].instructions == instructions)
			return &blocks[at];
	}
}

static void translated(struct qemu_plugin_tb *tb, void *unused)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	struct block *block;

	(void)unused;
	if (address < first)
		return;
	pthread_mutex_lock(&lock);
	block = find(address, qemu_plugin_tb_n_insns(tb));
	pthread_mutex_unlock(&lock);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, block);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	size_t size;
	int file;

	(void)info;
	if (argc == 2 && !strncmp(argv[1], "modules=", 8)) {
		bits = MODULES_BITS;
		first = strtoul(argv[1] + 8, NULL, 0);
	} else if (argc != 1) {
		argc = 0;
	}
	if (!argc || strncmp(argv[0], "counts=", 7)) {
		fputs("count: expected counts=FILE and perhaps modules=ADDRESS\n", stderr);
		return 1;
	}
	size = sizeof(struct block) << bits;
	file = open(argv[0] + 7, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (file < 0 || ftruncate(file, size)) {
		perror(argv[0] + 7);
		return 1;
	}
	blocks = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (blocks == MAP_FAILED) {
		perror(argv[0] + 7);
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
	return 0;
}
