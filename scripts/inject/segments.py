# SPDX-License-Identifier: GPL-2.0
"""Finds the segments of an initrd the way the kernel does (init/initramfs.c), and decompresses them.

An initrd is any number of cpio archives, plain or compressed, with NUL bytes between them. Tools that read initrds
(3cpio, unmkinitramfs, lsinitrd) stop behind the first compressed one, so where the next begins is found out here: by the
decompressor's own account of where its data end, and for a plain archive by adding up the sizes in its headers. What is
in the archives is left to libarchive.
"""

import bz2
import ctypes
import lzma
import mmap
import re
import shutil
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Protocol

from . import foreign, tools
from .errors import BrokenOffError, DamagedError, MissingToolError, OperationError

CHUNK = 1 << 20
# What the kernel's decompressors need at most, but for zstd's window, which its own program bounds likewise.
DECODER_MEMORY = 256 << 20
# An installer has some thousands of files. More entries than this are an attack or damage.
MOST_ENTRIES = 500_000
MAX_NAME = 4096

HEADER = 110
# The highest digits of an entry's mode: pipe, character device, directory, block device, file, symbolic link, socket.
FILE_TYPES = (0o1, 0o2, 0o4, 0o6, 0o10, 0o12, 0o14)
HEADER_FORM = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
# Of gzip's header the kernel skips a file's name, and heeds no word on its being a text.
GZIP_FLAGS = 0x09
LZ4_MAGIC = b"\x02\x21\x4c\x18"
# LZ4_compressBound() of the legacy format's 8 MiB blocks.
LZ4_LARGEST = (8 << 20) + (8 << 20) // 255 + 16
# The end of an initrd that has a configuration for the kernel behind it.
BOOT_CONFIGURATION = b"#BOOTCONFIG\n"

MAGICS = [
    (b"070701", "none"),
    (b"070702", "none"),
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (LZ4_MAGIC, "lz4"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
]


@dataclass
class Segment:
    """One cpio archive or compressed stream of the initrd."""

    offset: int
    end: int
    compression: str
    # The file that holds the archives without compression, and where in it they are.
    plain: Path
    archives: list = field(default_factory=list)

    def size(self):
        """The size of its content without compression."""
        return sum(end - start for start, end in self.archives)


class Gunzip:
    """zlib with the interface of bz2 and lzma."""

    def __init__(self):
        self._inner = zlib.decompressobj(31)
        self.needs_input = True

    def decompress(self, data, limit):
        out = self._inner.decompress(self._inner.unconsumed_tail + data, limit)
        self.needs_input = not self._inner.unconsumed_tail
        return out

    @property
    def eof(self):
        return self._inner.eof

    @property
    def unused_data(self):
        return self._inner.unused_data


class Decoder(Protocol):
    """The interface that the decompressors of the standard library share."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": Gunzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, DECODER_MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, DECODER_MEMORY),
}


def known(magic):
    """Names the compression by the first bytes; nothing when it is none of the kernel's."""
    return next((name for prefix, name in MAGICS if magic.startswith(prefix)), None)


def _compression_at(file, at, path):
    """Names the compression of what begins at a byte; refuses what is none of the kernel's by saying what it is."""
    file.seek(at)
    magic = file.read(8)
    if compression := known(magic):
        return compression
    if at and _has_boot_configuration(file):
        raise DamagedError(
            f"{path} ends with a boot configuration, which has to be the last in it; take it off a copy by the kernel's own program "
            "(bootconfig -d COPY), and apply it to the result (bootconfig -a FILE OUT)"
        )
    # What begins with NUL bytes, as ISO images and file systems do, is not looked at behind these only.
    what = foreign.name(file, 0, path) or (foreign.name(file, at) if at else None)
    if what:
        where = f"{path} is" if not at or not known(_first(file)) else f"byte {at} begins something that is"
        raise DamagedError(f"{where} {what}")
    if at == 0:
        raise DamagedError(
            f"found no initrd: it begins with {magic[:4].hex(' ')}, expected a cpio archive, plain or compressed by gzip, xz, zstd, lz4, bzip2 or lzma"
        )
    raise DamagedError(
        f"found {magic[:4].hex(' ')} at byte {at}, behind the end of a segment, expected the next segment or the "
        "end of the file; the initrd is damaged, fetch or make it again"
    )


def _has_boot_configuration(file):
    """Returns whether a file ends as the kernel's tools/bootconfig has it end."""
    size = file.seek(0, 2)
    file.seek(max(0, size - len(BOOT_CONFIGURATION)))
    return file.read() == BOOT_CONFIGURATION


def _first(file):
    file.seek(0)
    return file.read(8)


def read(path, workdir, limit):
    """The segments of the initrd; decompressed content goes to `workdir`, at most `limit` bytes of it."""
    segments: list[Segment] = []
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        at = _skip_nuls(file, 0)
        while at < size:
            compression = _compression_at(file, at, path)
            if compression == "none":
                _check_aligned(at)
                end = _archive_end(file, at, size)
                segment = Segment(at, end, compression, Path(path), [(at, end)])
            else:
                plain = workdir / f"segment-{len(segments)}"
                budget = limit - sum(part.size() for part in segments)
                end = decompress(file, at, size, compression, plain, budget)
                try:
                    archives = _archives(plain, at, compression)
                except BrokenOffError:
                    _check_parts(file, at, end, compression)
                    raise
                segment = Segment(at, end, compression, plain, archives)
            segments.append(segment)
            at = _skip_nuls(file, segment.end)
    if not segments:
        raise DamagedError("found no initrd: the file is empty or all NUL bytes; expected a cpio archive")
    return segments


def _check_parts(file, at, end, compression):
    """Refuses an archive that breaks off in a segment by saying so, if it seems to go on in the next."""
    following = _skip_nuls(file, end)
    file.seek(following)
    if known(file.read(8)) == compression:
        raise DamagedError(
            f"the archive in the {compression} segment at byte {at} goes on behind its end, in another at byte {following}: the kernel takes "
            "none that is compressed in parts; decompress it, and compress it as a whole"
        ) from None


def _check_aligned(at):
    if at % 4:
        raise DamagedError(
            f"a plain cpio archive begins at byte {at}, expected a multiple of 4: the kernel does not see it; join the parts again with padding between them"
        )


def _skip_nuls(file, at):
    file.seek(at)
    while chunk := file.read(CHUNK):
        rest = chunk.lstrip(b"\0")
        if rest:
            return at + len(chunk) - len(rest)
        at += len(chunk)
    return at


def headers(file, start, size):
    """The position of each header of the cpio archive at `start`, the trailer's too; then, after None, of the archive's end."""
    at = start
    for _ in range(MOST_ENTRIES):
        file.seek(at)
        header = file.read(HEADER)
        if len(header) < HEADER:
            raise BrokenOffError(f"the cpio archive at byte {start} breaks off at byte {at}: it is truncated, fetch it again")
        if not HEADER_FORM.fullmatch(header):
            raise DamagedError(f"found {header[:6]!r} at byte {at} of the cpio archive, expected the header of an entry: it is damaged, fetch or make it again")
        file_size, name_size = int(header[54:62], 16), int(header[94:102], 16)
        if not 1 <= name_size <= MAX_NAME:
            raise DamagedError(f"an entry at byte {at} has a name of {name_size} bytes, expected 1 to {MAX_NAME}: damaged")
        name = file.read(name_size)
        if not name.endswith(b"\0"):
            raise DamagedError(f"an entry at byte {at} has a name without an end: damaged, fetch or make it again")
        is_trailer = name.partition(b"\0")[0] == b"TRAILER!!!"
        yield at
        at = _align(at + HEADER + name_size)
        if not is_trailer and int(header[14:22], 16) >> 12 not in FILE_TYPES:
            raise DamagedError(f"{printable(name)} is no file, directory, link, device, pipe or socket: damaged, fetch or make it again")
        if is_trailer:
            yield None
            yield min(at, size)
            return
        at = _align(at + file_size)
        if at > size:
            raise BrokenOffError(f"the cpio archive at byte {start} breaks off inside {printable(name)}: it is truncated, fetch it again")
    raise DamagedError(f"the cpio archive at byte {start} has more than {MOST_ENTRIES} entries; no initrd has so many")


def _archive_end(file, start, size):
    """The end of the cpio archive that begins at `start`: behind its trailer."""
    *_, end = headers(file, start, size)
    return end


def renumber(path):
    """Gives every entry of the cpio archive in a file an inode number by its place, on no device, and one link.

    What bsdtar takes from the files it reads would make each result another.
    """
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        places = [*headers(file, 0, size)][:-2]
        for number, at in enumerate(places, start=1):
            file.seek(at + 6)
            file.write(b"%08X" % number)
            file.seek(at + 38)
            file.write(b"%08X" % 1)
            file.seek(at + 62)
            file.write(b"0" * 16)


def printable(name):
    """A name out of an archive, fit for a message."""
    return repr(name.rstrip(b"\0").decode("utf-8", "backslashreplace"))


def _align(at):
    return (at + 3) & ~3


def _archives(plain, offset, compression):
    """The archives in a decompressed segment; usually it is one."""
    archives = []
    with open(plain, "rb") as file:
        size = file.seek(0, 2)
        at = _skip_nuls(file, 0)
        while at < size:
            file.seek(at)
            if file.read(6) not in (b"070701", b"070702"):
                raise DamagedError(f"the {compression} segment at byte {offset} holds {_content(file, at)}; expected a cpio archive (newc) in it")
            _check_aligned(at)
            end = _archive_end(file, at, size)
            archives.append((at, end))
            at = _skip_nuls(file, end)
    return archives


def _content(file, at):
    """Names what is in place of an archive."""
    what = foreign.name(file)
    if what:
        return what
    file.seek(at)
    return f"something that begins with {file.read(4).hex(' ')}"


def decompress(file, at, size, compression, plain, budget):
    """Decompresses the stream at `at` into `plain`; returns where it ends."""
    if compression == "zstd":
        end = zstd_end(file, at, size)
        _by_program(file, at, end, ["zstd", "-dcq", "-"], plain, budget)
    elif compression == "lz4":
        end = _lz4_end(file, at, size)
        _by_program(file, at, end, ["lz4", "-dcq", "-"], plain, budget)
    else:
        end = _by_library(file, at, compression, plain, budget)
    return end


def _too_large(compression, at):
    return DamagedError(f"the {compression} segment at byte {at} decompresses to more than the limit; raise it with --limit if it is sound")


def _bad(compression, at, why):
    return DamagedError(f"the {compression} segment at byte {at} is damaged or truncated ({why}): fetch or make it again")


def _wants_memory(compression, at, way):
    return DamagedError(f"the {compression} segment at byte {at} wants more memory to decompress it than is given it here; recompress it with {way}")


def _by_library(file, at, compression, plain, budget):
    decoder = DECODERS[compression]()
    file.seek(at)
    written = 0
    try:
        with open(plain, "wb") as out:
            while not decoder.eof:
                chunk = file.read(CHUNK) if decoder.needs_input else b""
                if decoder.needs_input and not chunk:
                    raise _bad(compression, at, "it breaks off")
                content = decoder.decompress(chunk, CHUNK)
                written += len(content)
                if written > budget:
                    raise _too_large(compression, at)
                out.write(content)
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        if isinstance(error, lzma.LZMAError) and "Memory usage limit" in str(error):
            raise _wants_memory(compression, at, "xz --check=crc32 --lzma2=dict=1MiB") from None
        # bz2 reports damaged data by OSError too, but without a number; with one, it is about a file of ours.
        if isinstance(error, OSError) and error.errno:
            raise
        raise _bad(compression, at, error) from None
    end = file.tell() - len(decoder.unused_data)
    file.seek(at)
    head = file.read(64)
    if compression == "gzip" and head[3] & ~GZIP_FLAGS:
        raise DamagedError(f"the gzip segment at byte {at} has a header that the kernel does not know (as of bgzip or pigz --comment); recompress it with gzip")
    if compression == "xz" and xz_has_delta(head):
        raise DamagedError(f"the xz segment at byte {at} is made with the filter delta, which the kernel does not know; recompress it with xz --check=crc32")
    if isinstance(decoder, lzma.LZMADecompressor) and compression == "xz" and decoder.check not in (lzma.CHECK_NONE, lzma.CHECK_CRC32):
        raise DamagedError(f"the xz segment at byte {at} has a check that the kernel does not know; recompress it with xz --check=crc32")
    return end


def xz_has_delta(head):
    """Returns whether the first block of an xz stream, of which these are the first bytes, is made with the filter delta."""
    flags = head[13] if len(head) > 13 else 0
    # Sizes, which may be there, take a byte for seven bits, of which the last has no eighth.
    sizes, place = bool(flags & 0x40) + bool(flags & 0x80), 14
    while sizes and place < len(head):
        sizes -= not head[place] & 0x80
        place += 1
    for _ in range((flags & 3) + 1):
        if head[place : place + 1] == b"\x03":
            return True
        place += 2 + (head[place + 1] if len(head) > place + 1 else 0)
    return False


def _by_program(file, at, end, command, plain, budget):
    compressed = plain.with_suffix(".in")
    file.seek(at)
    with open(compressed, "wb") as part:
        left = end - at
        while left and (chunk := file.read(min(CHUNK, left))):
            part.write(chunk)
            left -= len(chunk)
    with open(compressed, "rb") as stdin, open(plain, "wb") as out:
        # Beyond its bound the program is stopped by a signal, not by an error of its own.
        status, _, messages = tools.run(command, budget, stdin=stdin, stdout=out)
    compressed.unlink()
    if status < 0 and plain.stat().st_size >= budget:
        raise _too_large(command[0], at)
    if status:
        tools.check_space(messages)
        if "--long=" in messages:
            raise DamagedError(f"the zstd segment at byte {at} has a window that no kernel takes (over 128 MiB); recompress it with zstd, without --long")
        raise _bad(command[0], at, tools.last_line(messages))


def zstd_end(file, at, size):
    """The end of the zstd frame, by the library that every Debian has because dpkg needs it."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        raise MissingToolError("found no libzstd.so.1 on this machine; install it: apt-get install libzstd1") from None
    measure = library.ZSTD_findFrameCompressedSize
    measure.restype = ctypes.c_size_t
    measure.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    # A private writable mapping: ctypes takes the address of no other; it is not written to.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as whole:
        view = ctypes.c_char.from_buffer(whole)
        length = measure(ctypes.addressof(view) + at, size - at)
        del view
    if library.ZSTD_isError(length):
        raise _bad("zstd", at, "its frame is not complete")
    return at + length


def _lz4_end(file, at, size):
    """The end of the lz4 blocks. As in the kernel, an empty block (padding) or the end of the file ends them."""
    position = at + 4
    while position + 4 <= size:
        file.seek(position)
        word = file.read(4)
        (length,) = struct.unpack("<I", word)
        if length == 0:
            return position
        position += 4
        if word == LZ4_MAGIC:
            continue
        if length > LZ4_LARGEST or position + length > size:
            _check_behind_lz4(file, position - 4)
            raise _bad("lz4", at, f"a block of {length} bytes at byte {position}")
        position += length
    if position != size:
        raise _bad("lz4", at, "it breaks off")
    return size


def _check_behind_lz4(file, at):
    """Refuses another segment where the kernel looks for a block's size, by its name."""
    file.seek(at)
    if (other := known(file.read(11).lstrip(b"\0")[:8])) not in (None, "lzma"):
        raise DamagedError(
            f"a segment, {other}, begins right behind the lz4 segment that ends at byte {at}, where the kernel takes its first bytes for a block; "
            "put 4 NUL bytes, and more to a multiple of 4, between the two"
        )


def compress(plain, out, compression, limit):
    """Appends the content of the file `plain` to `out`, compressed so that the kernel can read it; same bytes every time."""
    if compression in ("zstd", "lz4"):
        # One thread: with more, how the data are cut depends on the machine.
        command = ["zstd", "-q", "-9", "-T1", "-c"] if compression == "zstd" else ["lz4", "-q", "-l", "-9", "-c"]
        # A file of its own: what is buffered for `out` would come behind what the program writes.
        packed = plain.with_suffix(".packed")
        with open(plain, "rb") as stdin, open(packed, "wb") as result:
            status, _, messages = tools.run(command, limit, stdin=stdin, stdout=result)
        if status:
            tools.check_space(messages)
            raise OperationError(f"{command[0]} could not compress the segment: {tools.last_line(messages)}")
        with open(packed, "rb") as result:
            shutil.copyfileobj(result, out, CHUNK)
        packed.unlink()
        return
    with open(plain, "rb") as file:
        if compression == "none":
            shutil.copyfileobj(file, out, CHUNK)
            return
        encoder = _encoder(compression)
        while chunk := file.read(CHUNK):
            out.write(encoder.compress(chunk))
        out.write(encoder.flush())


def _encoder(compression):
    if compression == "gzip":
        return zlib.compressobj(9, zlib.DEFLATED, 31)
    if compression == "bzip2":
        return bz2.BZ2Compressor(9)
    if compression == "lzma":
        return lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=6)
    # The kernel's xz knows CRC32 only; a dictionary of 1 MiB is what its documentation asks for.
    return lzma.LZMACompressor(lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20}])
