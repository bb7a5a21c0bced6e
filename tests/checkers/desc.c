// SPDX-License-Identifier: GPL-2.0
// The descriptors of the RTL8111B as their bits are known (docs/chip-facts.md), and that the
// driver's arithmetic (desc.rs, put into C) is this for all arguments that there are. CBMC reads
// it: a function `nondet_` returns anything.

#include "desc_wasm.h"

#define must __CPROVER_assert

uint32_t nondet_u32(void);

// What WebAssembly traps, Rust would have panicked on; more than the stack there is no memory.
void wasm_rt_trap(wasm_rt_trap_t code)
{
	must(0, "nothing traps");
	__CPROVER_assume(0);
}

static w2c_desc wasm;
static uint8_t stack[1024];

static void start(void)
{
	wasm.w2c_0x5F_stack_pointer = sizeof(stack);
	wasm.w2c_memory.data = stack;
	wasm.w2c_memory.size = sizeof(stack);
}

static uint32_t bit(uint32_t word, int nth)
{
	return word >> nth & 1;
}

// A status with its error summary (bit 21) set names the first of these.
static uint64_t named(uint32_t opts1)
{
	if (bit(opts1, 22))
		return 3;
	if (bit(opts1, 20))
		return 2;
	return bit(opts1, 19) ? 1 : 4;
}

static uint64_t frame(uint32_t opts1, uint32_t size)
{
	uint32_t length = opts1 % 0x4000;

	if (!bit(opts1, 29) || !bit(opts1, 28))
		return 1ull << 63 | 5;
	if (length < 18 || length > size)
		return 1ull << 63 | 6;
	uint64_t checksum = 0;
	bool failed = bit(opts1, 16) || bit(opts1, 15) || bit(opts1, 14);
	if (!failed && bit(opts1, 17) != bit(opts1, 18))
		checksum = bit(opts1, 17) ? 1 : 2;
	return checksum << 32 | (length - 4);
}

// A received frame, by each of the 2^32 status words and each of the 2^32 sizes of the buffer.
void received(void)
{
	uint32_t opts1 = nondet_u32(), size = nondet_u32();

	start();
	uint64_t found = w2c_desc_rx(&wasm, opts1, size);
	if (bit(opts1, 21))
		must(found == (1ull << 63 | named(opts1)), "an error is named");
	else
		must(found == frame(opts1, size), "a frame has its length and its checksums");
	if (!(found >> 63)) {
		uint64_t length = (uint32_t)found;
		must(length >= 14 && length + 4 <= size, "a frame is inside its buffer");
	}
}

void received_damaged(void)
{
	uint32_t opts1 = nondet_u32(), size = nondet_u32();

	start();
	uint64_t found = w2c_desc_rx_damaged(&wasm, opts1, size);
	uint64_t whole = frame(opts1, size);
	if (bit(opts1, 22) || (!bit(opts1, 19) && !bit(opts1, 20)) || whole >> 63)
		must(found == 1ull << 63, "another frame is none");
	else
		must(found == (uint32_t)whole, "a damaged frame has its length");
}

void received_tag(void)
{
	uint32_t opts2 = nondet_u32();

	start();
	uint32_t found = w2c_desc_rx_tag(&wasm, opts2);
	uint32_t tag = (opts2 & 0xff) << 8 | (opts2 >> 8 & 0xff);
	uint32_t expected = bit(opts2, 16) ? tag : UINT32_MAX;
	must(found == expected, "a tag has its most significant byte first");
}

// What goes into a descriptor, by each protocol, size of segments, tag, length and place.
void sent(void)
{
	uint32_t kind = nondet_u32(), mss = nondet_u32(), tag = nondet_u32();
	uint32_t length = nondet_u32(), place = nondet_u32();

	__CPROVER_assume(kind < 4);
	start();
	uint64_t found = w2c_desc_tx(&wasm, kind, mss, tag, length, place);
	uint32_t opts1 = found >> 32, opts2 = found;
	must(bit(opts1, 31), "the chip owns it");
	must(bit(opts1, 30) == bit(place, 2), "the end of the ring");
	must(bit(opts1, 29) == bit(place, 0), "the first of a frame");
	must(bit(opts1, 28) == bit(place, 1), "the last of a frame");
	must((opts1 & 0xffff) == length % 0x10000, "its length");
	must(bit(opts1, 27) == (kind == 3), "to be cut");
	uint32_t middle = opts1 >> 16 & 0x7ff;
	uint32_t expected = kind == 0 ? 0 : kind == 1 ? 5 : kind == 2 ? 6 : mss % 0x800;
	must(middle == expected, "the checksums, or the size of segments");
	uint32_t swapped = (tag & 0xff) << 8 | (tag >> 8 & 0xff);
	must(opts2 == (tag <= 0xffff ? 0x20000 | swapped : 0), "its tag");
	must(w2c_desc_tso(&wasm, kind, mss) == (kind == 3), "what is said to be cut is");
}

void given(void)
{
	uint32_t size = nondet_u32(), end = nondet_u32();

	start();
	uint32_t place = end ? 0x40000000 : 0;
	uint32_t found = w2c_desc_rx_opts1(&wasm, size, end);
	must(found == (0x80000000 | place | size % 0x4000), "a buffer for the chip");
	must(w2c_desc_tx_idle(&wasm, end) == place, "one that is not in use");
}
