# shellcheck shell=sh
# What the scripts that build the module have in common. Source it; it needs nothing else.

# What Debian builds its kernels with.
# shellcheck disable=SC2034 # for those that source this
kernel_gcc=x86_64-linux-gnu-gcc-14

# rustc_series TEXT: the first two numbers of "1.85.1 (4eb161250 2025-03-15)".
rustc_series() { echo "$1" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'; }

# rustc_fits CONFIG FOUND: whether the compiler FOUND (what `rustc --version` prints) can use the Rust metadata of a kernel of this
# configuration. Symbols in Rust carry a hash of the crate's name and of the compiler's version as text. When a distribution's compiler
# has had a point release since the kernel was built, RUSTC_FORCE_RUSTC_VERSION puts the text of then in its place; another series is
# another language. Sets rustc_wanted and rustc_found to the two texts.
rustc_fits() {
	rustc_wanted=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="rustc \(.*\)"$/\1/p' "$1")
	rustc_found=${2#rustc }
	[ -n "$rustc_wanted" ] && [ "$rustc_wanted" != "$rustc_found" ] || return 0
	[ "$(rustc_series "$rustc_wanted")" = "$(rustc_series "$rustc_found")" ] || return 1
	RUSTC_FORCE_RUSTC_VERSION=$rustc_wanted
	export RUSTC_FORCE_RUSTC_VERSION
}

# copy_source TOP OUT: copies the module's source, for kernels that build a module where its source is (before Linux 6.13). Sources that are
# gone go there, too; what was built stays.
copy_source() {
	if [ -d "$2/rust" ]; then
		find "$2/rust" -type f \( -name '*.rs' -o -name '*.[ch]' \) ! -name generated.rs ! -name sizes.h -delete
	fi
	mkdir -p "$2"
	cp -a "$1/Kbuild" "$1/versions.conf" "$1/rust" "$2/"
}
