// SPDX-License-Identifier: GPL-2.0

//! Finds the kernel messages that a healthy driver never causes.

/// A kernel message that needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line number in the log, from 1.
    pub number: usize,
    /// The message.
    pub line: String,
}

/// The message of the network core's watchdog, which is right when the chip does not send.
pub const TIMED_OUT: &str = "transmit queue 0 timed out";

/// Texts that mark a message as a problem, anywhere in the line.
const SIGNS: &[&str] = &[
    // Every WARN, BUG and oops, by its headline and by what follows it.
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "Kernel panic",
    "Call Trace",
    "[ cut here ]",
    "Tainted:",
    "general protection",
    "unable to handle",
    "invalid opcode:",
    "double fault:",
    "panicked at",
    // Locking and scheduling.
    "scheduling while atomic",
    "sleeping function called",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "trying to register non-static key",
    "lockdep is turned off",
    "suspicious RCU usage",
    "self-detected stall",
    "detected stalls on",
    "detected expedited stalls",
    "soft lockup",
    "hard LOCKUP",
    "blocked for more than",
    // Memory and reference counts.
    "KASAN:",
    "KCSAN:",
    "KFENCE:",
    "UBSAN:",
    "CFI failure",
    "ODEBUG:",
    "DMA-API:",
    "kmemleak:",
    "refcount_t:",
    "ref_tracker:",
    "BUG kmalloc",
    "overwritten",
    "Object already free",
    "pagealloc: memory corruption",
    "pagealloc: single bit error",
    "list_add corruption",
    "list_del corruption",
    "ad page state",
    "page allocation failure",
    // The network core and interrupts.
    "unregister_netdevice: waiting",
    "NETDEV WATCHDOG",
    TIMED_OUT,
    "hw csum failure",
    "nobody cared",
    "Disabling IRQ",
    // Power management at run time.
    "usage count underflow",
    // The module loader.
    "taints kernel",
    "tainting kernel",
    "Unknown symbol",
    "disagrees about version of symbol",
    "version magic",
];

/// Messages that carry a sign and are none the less as they should be.
const ALLOWED: &[&str] = &[
    // The only two that an out-of-tree module may cause: it is one, and is not signed.
    "loading out-of-tree module taints kernel",
    "module verification failed: signature and/or required key missing - tainting kernel",
    // A kernel built with checkers announces them at boot.
    "kmemleak: Kernel memory leak detector initialized",
    "kmemleak: Automatic memory scanning thread started",
    "DMA-API: preallocated",
    "DMA-API: debugging enabled",
    // Where memory fails on purpose, that of these checkers may.
    "ref_tracker: memory allocation failure, unreliable refcount tracker",
    "kmemleak: Cannot allocate a scan area, scanning the full object",
];

/// All messages of a console log that need attention.
pub fn problems(log: &str) -> Vec<Problem> {
    log.lines()
        .enumerate()
        .filter(|(_, line)| is_problem(line))
        .map(|(index, line)| Problem {
            number: index + 1,
            line: line.trim().to_owned(),
        })
        .collect()
}

fn is_problem(line: &str) -> bool {
    let page_pool_leak = line.contains("page_pool")
        && ["leak", "stalled", "inflight"]
            .iter()
            .any(|word| line.contains(word));
    let marked = page_pool_leak || SIGNS.iter().any(|sign| line.contains(sign));
    marked && !ALLOWED.iter().any(|allowed| line.contains(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line of each kind, as kernels 6.1 to 7.3 write them.
    const BAD: &[&str] = &[
        "[    1.0] WARNING: CPU: 1 PID: 99 at net/core/dev.c:1234 dev_close+0x1/0x2",
        "[    1.0] WARNING: net/core/dev.c:1234 at dev_close+0x1/0x2, CPU#1: ip/99",
        "[    1.0] WARNING: possible circular locking dependency detected",
        "[    1.0] WARNING: inconsistent lock state",
        "[    1.0] ------------[ cut here ]------------",
        "[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "[    1.0] BUG: unable to handle page fault for address: ffffa2bc0001",
        "[    1.0] BUG: scheduling while atomic: rmmod/77/0x00000201",
        "[    1.0] BUG: sleeping function called from invalid context at kernel/mutex.c:1",
        "[    1.0] BUG: KASAN: slab-use-after-free in rtl_rx+0x10/0x20",
        "[    1.0] Oops: 0002 [#1] PREEMPT SMP NOPTI",
        "[    1.0] Oops: general protection fault, probably for non-canonical address",
        "[    1.0] general protection fault, probably for non-canonical address",
        "[    1.0] Call Trace:",
        "[    1.0] Kernel panic - not syncing: Fatal exception in interrupt",
        "[    1.0] kernel BUG at net/core/skbuff.c:111!",
        "[    1.0] unregister_netdevice: waiting for eth0 to become free. Usage count = 2",
        "[    1.0] NETDEV WATCHDOG: eth0 (r8169): transmit queue 0 timed out 5000 ms",
        "[    1.0] r8169 0000:00:02.0 eth0: NETDEV WATCHDOG: CPU: 1: transmit queue 0 timed out",
        "[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
        "[    1.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [ksoftirqd/0:14]",
        "[    1.0] INFO: task rmmod:99 blocked for more than 120 seconds.",
        "[    1.0] page_pool_release_retry() stalled pool shutdown: id 3, 2 inflight 60 sec",
        "[    1.0] page_pool leak: 3 pages",
        "[    1.0] DMA-API: r8168_rust 0000:00:02.0: device driver failed to check map error",
        "[    1.0] refcount_t: underflow; use-after-free.",
        "[    1.0] UBSAN: shift-out-of-bounds in drivers/net/x.c:1:2",
        "[    1.0] ODEBUG: free active (active state 0) object: ffff8880 object type: work_struct hint: 0x0",
        "[    1.0] WARNING: suspicious RCU usage",
        "[    1.0] INFO: trying to register non-static key.",
        "[    1.0] INFO: lockdep is turned off.",
        "[    1.0] [ BUG: Invalid wait context ]",
        "[    1.0] WARNING: possible irq lock inversion dependency detected",
        "[    1.0] BUG kmalloc-192 (Not tainted): Object already free",
        "[    1.0] [Poison overwritten] 0xffff8880-0xffff8881 @offset=0. First byte 0x0 instead of 0x6b",
        "[    1.0] pagealloc: memory corruption",
        "[    1.0] DMA-API: exceeded 7 overlapping mappings of cacheline 0x1",
        "[    1.0] ref_tracker: netdev@ffff8880 has 1/1 users at",
        "[    1.0] kmemleak: Memory pool empty, consider increasing CONFIG_DEBUG_KMEMLEAK_MEM_POOL_SIZE",
        "[    1.0] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "[    1.0] irq 16: nobody cared (try booting with the \"irqpoll\" option)",
        "[    1.0] r8168_rust 0000:00:02.0: Runtime PM usage count underflow!",
        "[    1.0] rust_kernel: panicked at drivers/ring.rs:10:5:",
        "[    1.0] r8168_rust: disagrees about version of symbol module_layout",
        "[    1.0] x: module license 'Proprietary' taints kernel.",
    ];

    /// Messages of stock kernels at boot and on a slow emulator, and messages that our module may
    /// cause.
    const NOISE: &[&str] = &[
        "[    0.0] Command line: console=ttyS0 panic=-1 oops=panic random.trust_cpu=on",
        "[    0.0] You have booted with nomodeset. This means your GPU drivers are DISABLED",
        "[    0.0] DMAR: Host address width 39",
        "[    0.1] RETBleed: Mitigation: untrained return thunk",
        "[    0.1] Speculative Return Stack Overflow: WARN: no microcode",
        "[  120.5] kmemleak: Cannot allocate a scan area, scanning the full object",
        "[  120.9] ref_tracker: memory allocation failure, unreliable refcount tracker.",
        "[    0.1] debug: unmapping init [mem 0xffffffff8000-0xfffffff9000]",
        "[    0.1] TSC deadline timer disabled; kmemleak: Kernel memory leak detector initialized",
        "[    0.3] PCI: Using configuration type 1 for base access",
        "[    0.5] NMI watchdog: Perf NMI watchdog permanently disabled",
        "[    1.1] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable",
        "[    1.1] clocksource: wd-tsc-wd excessive read-back delay of 170000ns vs. limit of 125000ns",
        "[    1.1] hrtimer: interrupt took 4242424 ns",
        "[    2.0] rcu: srcu_init: Setting srcu_struct sizes based on contention.",
        "[    3.0] r8168_rust: loading out-of-tree module taints kernel.",
        "[    3.0] r8168_rust: module verification failed: signature and/or required key missing - tainting kernel",
        "[    3.0] r8169 0000:00:02.0: unknown chip XID 300",
        "[    3.0] r8169 0000:00:02.0 eth0: Link is Down",
    ];

    #[test]
    fn every_kind_of_problem_is_found() {
        for line in BAD {
            assert_eq!(problems(line).len(), 1, "not found: {line}");
        }
    }

    #[test]
    fn noise_is_left_alone() {
        assert_eq!(problems(&NOISE.join("\n")), []);
    }

    #[test]
    fn a_problem_is_found_among_noise_with_its_place() {
        let log = format!("{}\n{}\n{}", NOISE[0], BAD[1], NOISE[1]);
        let found = problems(&log);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].number, 2);
        assert_eq!(found[0].line, BAD[1]);
    }
}
