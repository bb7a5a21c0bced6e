# shellcheck shell=sh
# The compilers of stock kernels. Source it after lib.sh, with `top` set.
# shellcheck disable=SC2154 # top comes from there

# What Debian builds its kernels with.
# shellcheck disable=SC2034 # for those that source this
kernel_gcc=x86_64-linux-gnu-gcc-14

# rustc_series TEXT: the first two numbers of "1.85.1 (4eb161250 2025-03-15)".
rustc_series() { echo "$1" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'; }

# match_rustc CONFIG: has the compiler at hand make what fits a kernel of this configuration. Symbols in Rust carry a hash of the crate's
# name and of the compiler's version as text. When a distribution's compiler has had a point release since the kernel was built, the
# text of then is put in its place; another series is another language, and is refused.
match_rustc() {
	rustc_wanted=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="rustc \(.*\)"$/\1/p' "$1" 2>/dev/null)
	[ -n "$rustc_wanted" ] || return 0
	rustc_found=$("$top/scripts/toolbox" run -- rustc --version) || die "rustc does not run; is the package rustc installed?"
	rustc_found=${rustc_found#rustc }
	[ "$rustc_wanted" != "$rustc_found" ] || return 0
	[ "$(rustc_series "$rustc_wanted")" = "$(rustc_series "$rustc_found")" ] ||
		die "found rustc $rustc_found; the kernel was built with rustc $rustc_wanted: install that series (package rustc or rustc-$(rustc_series "$rustc_wanted"))"
	RUSTC_FORCE_RUSTC_VERSION=$rustc_wanted
	export RUSTC_FORCE_RUSTC_VERSION
}
