# SPDX-License-Identifier: GPL-2.0
"""The C side of the stand-in for the kernel crate, compiled with headers that have no more than what differs between configurations of the kernel."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from support import TOP

OTHERS = """
#define __noreturn __attribute__((noreturn))
#define GFP_KERNEL 0
#define THIS_MODULE ((void *)0)
#define WARN_ONCE(condition, ...) ((void)(condition))
typedef __SIZE_TYPE__ size_t;
void BUG(void) __noreturn;
void fsleep(unsigned long us);
void *kmalloc(size_t size, int flags);
void *kvmalloc(size_t size, int flags);
void kfree(const void *memory);
void kvfree(const void *memory);
int pr_emerg(const char *format, ...);
"""
# Where lockdep is on.
NESTED = """
void mutex_lock_nested(struct mutex *lock, unsigned int subclass);
#define mutex_lock(lock) mutex_lock_nested(lock, 0)
"""
PLAIN = """
struct mutex { long owner; };
struct lock_class_key { int empty; };
void __mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key);
void mutex_unlock(struct mutex *lock);
"""
# With CONFIG_PREEMPT_RT it is a macro that looks into the mutex.
REALTIME = """
struct rt_mutex_base { long owner; };
struct mutex { struct rt_mutex_base rtmutex; };
struct lock_class_key { int empty; };
void rt_mutex_base_init(struct rt_mutex_base *base);
void __mutex_rt_init(struct mutex *lock, const char *name, struct lock_class_key *key);
#define __mutex_init(mutex, name, key) do { rt_mutex_base_init(&(mutex)->rtmutex); __mutex_rt_init((mutex), name, key); } while (0)
void mutex_unlock(struct mutex *lock);
"""
LOCK = "\nvoid mutex_lock(struct mutex *lock);\n"


class Mutexes(unittest.TestCase):
    """The forms that the kernel's mutexes have."""

    def compiles(self, mutex):
        """It compiles without a warning where linux/mutex.h has this."""
        with tempfile.TemporaryDirectory() as name:
            linux = Path(name) / "linux"
            linux.mkdir()
            for header in ("bug", "delay", "mm", "module", "printk", "slab"):
                (linux / f"{header}.h").touch()
            (linux / "types.h").write_text(f"#pragma once\n{OTHERS}")
            (linux / "mutex.h").write_text(mutex)
            arguments = ["cc", "-std=gnu11", "-ffreestanding", "-nostdinc", "-Wall", "-Werror", "-fsyntax-only", "-include", linux / "types.h", f"-I{name}"]
            done = subprocess.run([*arguments, TOP / "rust/standin/standin.c"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_plain(self):
        self.compiles(PLAIN + LOCK)

    def test_lockdep(self):
        self.compiles(PLAIN + NESTED)

    def test_realtime(self):
        self.compiles(REALTIME + LOCK)
        self.compiles(REALTIME + NESTED)


if __name__ == "__main__":
    unittest.main()
