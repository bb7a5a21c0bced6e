# SPDX-License-Identifier: GPL-2.0
"""rust/standin/check finds what it looks for: in copies of the module in the directory that R8168_BUILD names (scripts/test-host), each damaged in one way."""

import os
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["R8168_BUILD"])

GLOBAL = 1
R_X86_64_64 = 1


class Module:
    """A module in ELF for x86_64, to be changed."""

    def __init__(self, data):
        self.data = bytearray(data)
        start, size, count, names = *struct.unpack_from("<Q", data, 0x28), *struct.unpack_from("<HHH", data, 0x3A)
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, start + size * number) for number in range(count)]
        self.sections = {self.name(headers[names][4] + header[0]): header for header in headers}
        self.order = [self.name(headers[names][4] + header[0]) for header in headers]
        self.symbols = {}
        for number in range(self.sections[".symtab"][5] // 24):
            at = self.sections[".symtab"][4] + 24 * number
            name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, at)
            self.symbols.setdefault(self.name(self.sections[".strtab"][4] + name), (number, at, info, section, value))

    def name(self, at):
        """The string at this place in the file."""
        return self.data[at : self.data.index(0, at)].decode()

    def place(self, symbol):
        """Returns where in the file this function is."""
        _, _, _, section, value = self.symbols[symbol]
        return self.sections[self.order[section]][4] + value

    def write(self, place, data):
        """Puts bytes there."""
        self.data[place : place + len(data)] = data

    def relocate(self, section, symbol):
        """Has the first relocation of a section be the whole address of a symbol."""
        at = self.sections[f".rela{section}"][4]
        offset = struct.unpack_from("<Q", self.data, at)[0]
        self.write(at, struct.pack("<QQq", offset, self.symbols[symbol][0] << 32 | R_X86_64_64, 0))


class Check(unittest.TestCase):
    """Returns what it says of each."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = Path(directory.name) / "module.ko"
        self.whole = (BUILD / "r8168_rust.ko").read_bytes()
        self.module = Module(self.whole)

    def said(self):
        """Its findings."""
        self.file.write_bytes(self.module.data)
        done = subprocess.run(["/bin/sh", TOP / "rust/standin/check", self.file], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1 if done.stderr else 0, done.stderr)
        return done.stderr

    def finds(self, *expected):
        """It finds this and nothing else."""
        said = self.said()
        self.assertEqual(len(said.splitlines()), 1, said)
        for text in expected:
            self.assertIn(text, said)

    def a_padding(self):
        """Returns where there is room for instructions: before a function of Rust."""
        return self.module.place(next(name for name in self.module.symbols if name.startswith("__pfx__R")))

    def test_nothing(self):
        self.assertEqual(self.said(), "")

    def test_no_endbr(self):
        place = self.module.place("init_module")
        self.assertEqual(self.module.data[place : place + 4], b"\xf3\x0f\x1e\xfa")
        self.module.write(place, b"\x0f\x1f\x40\x00")
        self.finds("ENDBR", "init_module has none")

    def test_sealed(self):
        self.module.relocate(".ibt_endbr_seal", "cleanup_module")
        self.finds("ENDBR", "cleanup_module is to lose it")

    def test_no_type(self):
        """Is as a kernel with kCFI has it, where a symbol with another prefix is before each function."""
        self.module.data = self.module.data.replace(b"\0__pfx_", b"\0__cfi_")
        self.assertEqual(self.said(), "")
        self.module.data = self.module.data.replace(b"\0__cfi_init_module\0", b"\0__pfx_init_module\0")
        self.finds("types of functions", "init_module has none")

    def test_no_functions(self):
        for section in (".text", ".init.text", ".exit.text", ".data", ".rodata", ".data..read_mostly"):
            if f".rela{section}" in self.module.sections:
                header = self.module.sections[f".rela{section}"]
                for at in range(header[4], header[4] + header[5], 24):
                    # Kinds that it takes no notice of.
                    self.module.write(at + 8, struct.pack("<I", 0))
        self.assertIn("the check is out of date", self.said())

    def test_no_alias(self):
        self.module.data = self.module.data.replace(b"alias=pci:", b"alias=pcx:")
        self.finds("device table")

    def test_pointer_to_arguments(self):
        # gcc's strings are in sections of their own, and clang's are not.
        for section in [name for name in self.module.sections if name == ".rodata" or name.startswith(".rodata.str")]:
            with self.subTest(section):
                self.module.data = bytearray(self.whole)
                self.module.write(self.module.sections[section][4], b"\0%pA\0")
                self.finds("%pA", section)

    def test_what_only_looks_like_it(self):
        """Any three bytes are somewhere in what is for debuggers, and at the end of the file are names of sections."""
        self.module.write(self.module.sections[".debug_info"][4] + 64, b"\0%pA\0")
        self.module.data += b"%pA"
        self.assertEqual(self.said(), "")

    def test_no_lto(self):
        name, (_, at, info, _, _) = next((name, symbol) for name, symbol in self.module.symbols.items() if name.startswith("_R"))
        self.module.write(at + 4, bytes([GLOBAL << 4 | info & 15]))
        self.finds("global or imported", name)

    def test_registers(self):
        for code in (b"\x0f\x28\xc8", b"\xc5\xf8\x28\xc8", b"\x0f\x6f\xc8", b"\xd8\xc1"):
            with self.subTest(code.hex()):
                self.module.write(self.a_padding(), code)
                self.finds("registers that the kernel does not save")

    def test_red_zone(self):
        self.module.write(self.a_padding(), b"\x48\x89\x44\x24\xf8")
        self.finds("red zone")

    def test_stack(self):
        for size, found in ((2040, False), (2048, True), (5000, True)):
            with self.subTest(size):
                self.module.write(self.a_padding(), b"\x48\x81\xec" + struct.pack("<I", size))
                if found:
                    self.finds("too much on the stack")
                else:
                    self.assertEqual(self.said(), "")

    def test_stack_with_kasan(self):
        """Is as large again then, in the kernel too."""
        self.module.data = self.module.data.replace(b"\0__stack_chk_fail\0", b"\0__asan_load8_abc\0")
        self.assertNotEqual(self.module.data, self.whole)
        for size, found in ((2560, False), (4095, False), (4096, True), (70000, True)):
            with self.subTest(size):
                self.module.write(self.a_padding(), b"\x48\x81\xec" + struct.pack("<I", size))
                if found:
                    self.finds("too much on the stack")
                else:
                    self.assertEqual(self.said(), "")

    def test_returns(self):
        self.module.write(self.a_padding(), b"\xc3")
        self.finds("returns without")

    def test_indirect_calls(self):
        for code in (b"\xff\xd0", b"\xff\xe1", b"\xff\x10"):
            with self.subTest(code.hex()):
                self.module.write(self.a_padding(), code + b"\x90" * 2)
                self.finds("indirect calls without")

    def test_panics(self):
        start = self.module.place("standin_panic")
        at = self.module.data.index(b"\x0f\x0b", start, start + 64)
        for code in (b"\x66\x90", b"\xeb\xfe"):
            with self.subTest(code.hex()):
                self.module.write(at, code)
                self.finds("panic", "does not end in BUG()")
        self.module.write(at, b"\x90\x0f\x0b")
        self.finds("panic", "does not end in BUG()")


if __name__ == "__main__":
    unittest.main()
