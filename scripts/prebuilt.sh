# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The module that is packed. Source it after lib.sh and archive.sh, with `top` set.
# shellcheck disable=SC2154 # what is not set here comes from there

# settle_module [KVER]: sets `module` and `kver`: what MODULE in the environment names, or what is built in the toolbox for
# the stock kernel KVER.
settle_module() {
	module=${MODULE:-}
	if [ -z "$module" ]; then
		kver=${1:-$KVER}
		check_kver "$kver"
		module=$("$top/scripts/module" "$kver")
		kver=$(basename "$(dirname "$module")")
		stripped=$top/build/$kver/stripped/r8168_rust.ko
		mkdir -p "${stripped%/*}"
		# What is for debuggers is most of it. One that was given is left as it is: it may be signed.
		"$top/scripts/toolbox" run -- strip --strip-debug -o "$stripped" "$module"
		module=$stripped
		return
	fi
	[ -z "${1:-}" ] || usage_error "MODULE and KVER exclude each other: a module says for which kernel it was built"
	[ -f "$module" ] || usage_error "MODULE names no file: '$module'"
	module=$(realpath "$module")
	case $module in "$top"/* | "$cache"/*) ;; *)
		mkdir -p "$top/build/given"
		cp "$module" "$top/build/given/"
		module=$top/build/given/${module##*/}
		;;
	esac
	kver=$(about_module vermagic | cut -d' ' -f1)
	[ -n "$kver" ] || die "found no vermagic in $MODULE; expected a kernel module"
}

# about_module FIELD: what modinfo says of it.
about_module() { "$top/scripts/toolbox" run -- modinfo -F "$1" "$module" 2>/dev/null || true; }

# require_ours: stops unless the module is the driver that the packages are made for.
require_ours() {
	[ "$(about_module name)" = r8168_rust ] ||
		die "found the module $(about_module name), expected r8168_rust: this is made for it alone"
}
