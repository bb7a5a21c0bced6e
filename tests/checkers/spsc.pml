/* SPDX-License-Identifier: GPL-2.0
 * The ring between two CPUs (spsc.h), for the model checker Spin: each makes any call at any time.
 * With -DPROTOCOL they do what the driver does; then no state is to be left in which the queue is
 * stopped, and nothing will wake it.
 */
c_decl { \#include "spsc.h" }
c_track "&state" "sizeof(struct state)"

#ifdef PROTOCOL

/* ndo_start_xmit, as long as the core has frames. */
proctype producer()
{
	do
	:: c_expr { state.pushed >= LIMIT } -> break
	:: c_expr { !state.stopped && state.pushed < LIMIT } ->
		if
		:: c_expr { CAPACITY - (state.pushed - state.released) > 0 } -> c_code { push(0); publish(); }
		/* It was woken once too often. */
		:: c_expr { CAPACITY - (state.pushed - state.released) == 0 } -> skip
		fi;
		if
		:: c_code { stop_if_full(1, 0); }
		:: c_code { stop_if_full(1, 1); }
		:: c_code { stop_if_full(1, 2); }
		:: c_code { stop_if_full(1, 3); }
		:: c_code { stop_if_full(1, 4); }
		:: c_code { stop_if_full(1, 5); }
		fi
	od
}

/* The poll, which runs when something was sent, and may have enough before the ring is empty. */
proctype consumer()
{
end:	do
	:: c_expr { state.published != state.released } ->
		do
		:: c_expr { state.popped != state.published } -> c_code { pop(1); forget(); }
		:: break
		od;
		c_code { release(); };
		if
		:: c_code { wake_or_not(1, 0); }
		:: c_code { wake_or_not(1, 1); }
		:: c_code { wake_or_not(1, 2); }
		:: c_code { wake_or_not(1, 3); }
		:: c_code { wake_or_not(1, 4); }
		:: c_code { wake_or_not(1, 5); }
		fi
	od
}

#else

proctype producer()
{
	do
	:: c_expr { state.pushed < LIMIT } -> c_code { push(0); }
	:: c_expr { state.pushed < LIMIT } -> c_code { push(1); }
	:: c_code { publish(); }
	:: c_code { unpush(); }
	:: c_code { look(); }
	:: c_code { has_room(1); }
	:: c_code { has_room(CAPACITY); }
	:: c_code { stop_if_full(1, 0); }
	:: c_code { stop_if_full(CAPACITY, 0); }
	:: c_code { restart(); }
	od
}

proctype consumer()
{
	do
	:: c_code { pop(1); forget(); }
	:: c_code { pop(0); forget(); }
	:: c_code { release(); forget(); }
	:: c_code { wake_or_not(1, 0); }
	:: c_code { wake_or_not(CAPACITY, 0); }
	od
}

#endif

init
{
	c_code { start(); };
	atomic { run producer(); run consumer() }
}
