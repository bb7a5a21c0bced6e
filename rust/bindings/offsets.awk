# SPDX-License-Identifier: GPL-2.0
# Usage: awk -f offsets.awk bindings.h RS=';' generated.rs
# Offsets are computed by bindgen's clang: prints for each an assertion for the compiler of the kernel.
FNR == NR {
	if (match($0, /offsetof\([^)]*\)/)) place[$4] = substr($0, RSTART, RLENGTH)
	next
}
match($0, /pub const NET_[A-Z_]+ *: *usize *= *[0-9]+/) {
	split(substr($0, RSTART, RLENGTH), word, /[ :=]+/)
	if (word[3] in place) print "static_assert(" place[word[3]] " == " word[5] ");"
}
