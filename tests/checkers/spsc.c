// SPDX-License-Identifier: GPL-2.0
// The ring between a producer and a consumer as its documentation has it (rust/net/spsc.rs), and
// that the ring (spsc.rs, put into C) does the same at each call. Spin calls these functions in all
// orders (spsc.pml).
//
// A call touches what the halves share in one place, but for stopping and waking: there, at each
// access to the flag and at the barrier, the other half may run. So these are all orders in which
// two CPUs can make the calls, as long as each sees what the other has written; those of weaker
// memory are loom's.

#include <string.h>
#include "spsc_wasm.h"
#include "spsc.h"

#define NONE (1ull << 63)
// The stack comes first (scripts/check-models); what is left on it by a call means nothing.
#define STACK 512

static w2c_spsc ring;
struct state state;

// Spin's: ends the search with what led to this.
extern void (*uerror)(char *);

static void must(int holds, const char *what)
{
	if (!holds)
		uerror((char *)what);
}

// What WebAssembly traps: code that is not reached, memory that is not there.
void wasm_rt_trap(wasm_rt_trap_t code)
{
	must(0, "nothing traps");
}

bool wasm_rt_is_initialized(void)
{
	return true;
}

void wasm_rt_allocate_memory(wasm_rt_memory_t *made, uint64_t pages, uint64_t most, bool is64)
{
	made->data = state.memory;
	made->size = sizeof(state.memory);
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *made, uint32_t elements, uint32_t most)
{
	made->size = 0;
}

void wasm_rt_free_memory(wasm_rt_memory_t *made)
{
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *made)
{
}

// forget(): forgets what is of no meaning after a call.
void forget(void)
{
	memset(state.memory, 0, STACK);
	state.plan = state.hook = 0;
}

static uint64_t place(uint8_t count, uint8_t item)
{
	return (uint64_t)(count % CAPACITY) << 32 | item;
}

void push(uint8_t flavour)
{
	uint8_t item = 2 * state.pushed + flavour;
	uint64_t found = w2c_spsc_push(&ring, item);

	if (state.pushed - state.released == CAPACITY) {
		must(found == (NONE | item), "a full ring gives the item back");
	} else {
		must(found == place(state.pushed, item), "an item goes into the next slot");
		state.items[state.pushed++] = item;
	}
	forget();
}

void unpush(void)
{
	uint64_t found = w2c_spsc_unpush(&ring);

	if (state.pushed == state.published) {
		must(found == NONE, "what is published is not taken back");
	} else {
		must(found == state.items[--state.pushed], "the newest item is taken back");
		state.items[state.pushed] = 0;
	}
	forget();
}

void publish(void)
{
	w2c_spsc_publish(&ring);
	state.published = state.pushed;
	forget();
}

void look(void)
{
	uint8_t room = CAPACITY - (state.pushed - state.released);
	uint8_t new = state.pushed - state.published;

	must(w2c_spsc_unpublished(&ring) == new, "what is not published is counted");
	must(w2c_spsc_free_now(&ring) == room, "free slots are counted");
	must(w2c_spsc_pending(&ring) == state.published - state.popped, "what is to be taken");
	for (uint8_t n = 0; n <= CAPACITY; n++) {
		uint32_t next = (state.pushed + n) % CAPACITY;

		must(w2c_spsc_index_after(&ring, n) == next, "slots to come");
		uint64_t found = w2c_spsc_peek(&ring, n), shown = NONE;
		if (n < new)
			shown = place(state.published + n, state.items[state.published + n]);
		must(found == shown, "what is pushed is shown until it is published");
	}
	forget();
}

void has_room(uint8_t need)
{
	must(w2c_spsc_has_room(&ring, need) == (need <= CAPACITY - (state.pushed - state.released)),
	     "there is room for that many");
	forget();
}

void pop(int wanted)
{
	uint64_t found = w2c_spsc_pop(&ring, wanted);

	if (state.popped == state.published || !wanted) {
		must(found == NONE, "what is not published or not wanted is not taken");
		return;
	}
	must(found == place(state.popped, state.items[state.popped]), "items come in order");
	state.items[state.popped++] = 0;
}

void release(void)
{
	w2c_spsc_release(&ring);
	state.released = state.popped;
}

static void wake_if_stopped(uint8_t threshold)
{
	w2c_spsc_wake_if_stopped(&ring, threshold);
}

// A poll as the driver's: takes out what there is, and wakes the queue.
void poll(uint8_t threshold)
{
	while (state.popped != state.published)
		pop(1);
	pop(1);
	release();
	wake_if_stopped(threshold);
}

// What the other half does at a hook.
static void (*other)(void);

static void hook(void)
{
	if (state.inside || !other || ++state.hook != state.plan)
		return;
	state.inside = 1;
	other();
	state.inside = 0;
}

void w2c_env_barrier(struct w2c_env *env)
{
	hook();
}

void w2c_env_queue_stop(struct w2c_env *env)
{
	hook();
	state.stopped = 1;
	hook();
}

void w2c_env_queue_wake(struct w2c_env *env)
{
	hook();
	state.stopped = 0;
	hook();
}

uint32_t w2c_env_queue_is_stopped(struct w2c_env *env)
{
	hook();
	uint32_t is = state.stopped;
	hook();
	return is;
}

void w2c_env_restarted(struct w2c_env *env, uint32_t item)
{
	must(state.popped < state.published && item == state.items[state.popped],
	     "a restart gives each item back, in order");
	state.items[state.popped++] = 0;
}

void restart(void)
{
	// It publishes first.
	state.published = state.pushed;
	must(w2c_spsc_restart(&ring) == 1, "halves of one ring are restarted");
	must(state.popped == state.published, "a restart leaves no item");
	state.released = state.popped = state.published = state.pushed = 0;
	forget();
}

static void poll_now(void)
{
	poll(1);
}

static void send_now(void)
{
	uint8_t item = 2 * state.pushed;

	if (state.stopped || state.pushed >= LIMIT || state.pushed - state.released == CAPACITY)
		return;
	must(w2c_spsc_push(&ring, item) == place(state.pushed, item), "an item goes into its slot");
	state.items[state.pushed++] = item;
	w2c_spsc_publish(&ring);
	state.published = state.pushed;
}

// stop_if_full(): stops the queue; the consumer polls at hook `plan`, or at none.
void stop_if_full(uint8_t need, uint8_t plan)
{
	uint8_t full = CAPACITY - (state.pushed - state.released) < need, before = state.stopped;

	state.plan = plan;
	other = poll_now;
	uint32_t found = w2c_spsc_stop_if_full(&ring, need);
	other = 0;
	if (!plan) {
		must(found == full, "a queue is stopped when the ring is full");
		must(state.stopped == (full || before), "and only then");
	}
	forget();
}

// wake_or_not(): wakes the queue; the producer sends at hook `plan`, or at none.
void wake_or_not(uint8_t threshold, uint8_t plan)
{
	uint8_t room = CAPACITY - (state.published - state.released) >= threshold;
	uint8_t before = state.stopped;

	state.plan = plan;
	other = send_now;
	wake_if_stopped(threshold);
	other = 0;
	if (!plan)
		must(state.stopped == (before && !room), "a queue is woken when there is room");
	forget();
}

void start(void)
{
	wasm2c_spsc_instantiate(&ring, 0);
	for (uint32_t refused = 0; refused <= 4096 * 2; refused = refused ? refused * 2 : 3)
		if (refused & (refused - 1) || refused > 4096)
			must(w2c_spsc_open(&ring, refused) == 0, "a power of two is expected");
	must(w2c_spsc_open(&ring, 1) == 0 && w2c_spsc_open(&ring, 0) == 0, "two at least");
	must(w2c_spsc_open(&ring, CAPACITY) == 1, "a ring is made");
	forget();
}
