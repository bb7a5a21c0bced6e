# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What the scripts that build the module have in common. Source it; it needs nothing else.

# What Debian builds its kernels with.
# shellcheck disable=SC2034 # for those that source this
kernel_gcc=x86_64-linux-gnu-gcc-14

# settle_standin: leaves STANDIN, by which a user asks for the stand-in for the kernel crate, as 1 or empty; fails where it is anything but 1, 0
# or empty.
settle_standin() {
	case ${STANDIN:-0} in
	0) STANDIN='' ;;
	1) ;;
	*) return 1 ;;
	esac
}

# kernel_config KDIR: sets `config` to the file with the configuration of the kernel that KDIR is for; fails where there is none.
kernel_config() {
	for config in "$1/.config" "$1/include/config/auto.conf"; do
		[ ! -f "$config" ] || return 0
	done
	return 1
}

# setting NAME: prints the value of CONFIG_NAME, without quotes; nothing if it is not set.
setting() { sed -n "s/^CONFIG_$1=\"\{0,1\}\(.*[^\"]\)\"\{0,1\}\$/\1/p" "$config"; }

# enabled NAME...: whether one of these is y.
enabled() {
	for enabled_name in "$@"; do
		! grep -q "^CONFIG_$enabled_name=y" "$config" || return 0
	done
	return 1
}

# standin_refusal: prints why no module can be built on the stand-in for the kernel crate for a kernel of this configuration, if so.
standin_refusal() {
	if ! enabled X86_64; then
		echo "it is for another architecture than x86_64, and has no Rust of its own that the compiler at hand can use"
	elif enabled RANDSTRUCT; then
		echo "it shuffles the members of structures (CONFIG_RANDSTRUCT), and bindgen does not see how"
	elif enabled CFI CFI_CLANG && ! enabled RUST; then
		echo "it checks the types of functions that are called by pointer (CONFIG_CFI), and has no flags for rustc, as it was built without Rust"
	fi
}

# rustc_series TEXT: the first two numbers of "1.85.1 (4eb161250 2025-03-15)".
rustc_series() { echo "$1" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'; }

# rustc_fits CONFIG FOUND: whether the compiler FOUND (what `rustc --version` prints) can make Rust metadata that fits a kernel of this
# configuration. Symbols in Rust carry a hash of the crate's name and of the compiler's version as text. If only the patch level differs,
# RUSTC_FORCE_RUSTC_VERSION makes the compiler use the kernel's text; another series does not fit. Sets rustc_wanted and rustc_found.
rustc_fits() {
	config=$1
	rustc_texts "$2"
	[ -n "$rustc_wanted" ] && [ "$rustc_wanted" != "$rustc_found" ] || return 0
	[ "$(rustc_series "$rustc_wanted")" = "$(rustc_series "$rustc_found")" ] || return 1
	RUSTC_FORCE_RUSTC_VERSION=$rustc_wanted
	export RUSTC_FORCE_RUSTC_VERSION
}

# metadata_fits KDIR FOUND: whether the compiler FOUND wrote the Rust metadata in KDIR: no other one can be trusted to read it. The
# configuration names the one that built the kernel; scripts/kdir notes which one it had for what it made. Sets the two texts, and
# rustc_made to what wrote it.
metadata_fits() {
	kernel_config "$1" || return 1
	rustc_texts "$2"
	rustc_made=$(cat "$1/rust/made-by" 2>/dev/null || echo "rustc $rustc_wanted")
	[ "$2" = "$rustc_made" ] || return 1
	[ "$rustc_wanted" = "$rustc_found" ] || export RUSTC_FORCE_RUSTC_VERSION="$rustc_wanted"
}
rustc_texts() {
	rustc_wanted=$(setting RUSTC_VERSION_TEXT)
	rustc_wanted=${rustc_wanted#rustc }
	rustc_found=${1#rustc }
}

# on_standin MODULE: whether this module was built on the stand-in for the kernel crate: its panics end in a function of their own.
on_standin() { grep -q standin_panic "$1"; }

# copy_source TOP OUT: copies the module's source, for kernels that build a module where its source is (before Linux 6.13). Sources that are
# gone go there, too; what was built stays.
copy_source() {
	if [ -d "$2/rust" ]; then
		find "$2/rust" -type f \( -name '*.rs' -o -name '*.[ch]' \) ! -name generated.rs ! -name sizes.h -delete
	fi
	mkdir -p "$2"
	cp -a "$1/Kbuild" "$1/versions.conf" "$1/rust" "$2/"
}
