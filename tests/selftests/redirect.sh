#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Usage: redirect.sh PORT1 PEER1 PORT2 PEER2
#
# XDP redirect, which the kernel's selftests of drivers leave out: two ports of this driver pass to each other, by programs alone,
# what their peers send. The peers are in namespaces of their own. The ports must be numbered as they are named.
CDPATH='' cd "$(dirname "$0")" || exit 1
number=0
result() {
	number=$((number + 1))
	if [ "$1" = 0 ]; then echo "ok $number redirect.$2"; else echo "not ok $number redirect.$2"; fi
}
cleanup() {
	ip link set "$1" xdp off
	ip link set "$3" xdp off
	ip -n one link set "$2" netns 1
	ip -n two link set "$4" netns 1
	ip netns del one
	ip netns del two
}
trap 'cleanup "$@" 2>/dev/null' EXIT

for pair in "one $2 192.0.2.1" "two $4 192.0.2.2"; do
	read -r space peer address <<<"$pair"
	ip netns add "$space"
	ip link set "$peer" netns "$space"
	ip -n "$space" addr add "$address/24" dev "$peer"
	ip -n "$space" link set "$peer" up
done
# What they pass on is not addressed to them.
ip link set "$1" up promisc on
ip link set "$3" up promisc on
if ! why=$(ip link set "$1" xdpdrv obj redirect.bpf.o sec xdp.up 2>&1); then
	echo "ok 1 redirect.ping # SKIP no native XDP: ${why##*$'\n'}"
	exit 4
fi
ip link set "$3" xdpdrv obj redirect.bpf.o sec xdp.down
for _ in $(seq 100); do
	[ "$(cat "/sys/class/net/$1/carrier" "/sys/class/net/$3/carrier")" != $'1\n1' ] || break
	sleep 0.1
done

ip netns exec one ping -q -c 1 -w 10 192.0.2.2 >/dev/null
ip netns exec one ping -q -c 20 -i 0.05 -W 5 192.0.2.2
result $? ping
# Frames of all sizes, and both ports sending at once.
ip netns exec one ping -q -c 20 -i 0.05 -W 5 -s 1472 192.0.2.2
result $? large
ip netns exec two iperf3 -s -1 -D
sleep 2
ip netns exec one timeout 60 iperf3 -c 192.0.2.2 -n 8M -f m
result $? tcp

# Above the limit a program is refused, and the message says what the limit is.
ip link set "$1" xdp off
ip link set "$1" mtu 4000
why=$(ip link set "$1" xdpdrv obj redirect.bpf.o sec xdp.up 2>&1)
echo "# $why"
grep -q 'MTU must be [0-9]* or less' <<<"$why"
result $? mtu_limit
limit=$(sed -n 's/.*MTU must be \([0-9]*\) or less.*/\1/p' <<<"$why" | head -n 1)
ip link set "$1" mtu "${limit:-1500}" && ip link set "$1" xdpdrv obj redirect.bpf.o sec xdp.up && ! ip link set "$1" mtu $((limit + 1))
result $? mtu_limit_is_exact
echo "1..$number"
