/* SPDX-License-Identifier: GPL-2.0 */
// The calls of the ring (spsc.c), for Spin (spsc.pml), and `state`: all that there is, the memory
// of the ring included.

#include <stdint.h>

#define MEMORY 1024

struct state {
	uint8_t memory[MEMORY];
	uint8_t items[16];
	// Counts from 0 on: released <= popped <= published <= pushed <= released + CAPACITY.
	uint8_t released, popped, published, pushed;
	uint8_t stopped;
	// At which hook the other half runs within the next call, and the one that it is in.
	uint8_t plan, hook;
	uint8_t inside;
};

extern struct state state;

void push(uint8_t flavour);
void unpush(void);
void publish(void);
void look(void);
void has_room(uint8_t need);
void pop(int wanted);
void release(void);
void poll(uint8_t threshold);
void stop_if_full(uint8_t need, uint8_t plan);
void wake_or_not(uint8_t threshold, uint8_t plan);
void restart(void);
void start(void);
void forget(void);
