# shellcheck shell=sh
# What the scripts have in common. Source it with `top` set to the top of the checkout.

# shellcheck source=/dev/null disable=SC2154
. "$top/versions.conf"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/r8168_rust
me=${0##*/}

# What the debug kernel, and so a module for it, is compiled with: KASAN and Rust together want clang.
# shellcheck disable=SC2034 # used by those who source this
debug_compiler="CC=clang HOSTCC=clang"

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { printf '%s: error: %s\n' "$me" "$*" >&2; exit 1; }

# unavailable MESSAGE: something that is needed cannot be fetched now; exit status 3, on which tests that need it are skipped.
unavailable() { printf '%s: error: %s\n' "$me" "$*" >&2; exit 3; }

# attempt COMMAND...: runs a command that prints a result; sets `found` to that, or `reason` to the last error that it showed. Returns its
# exit status.
attempt() {
	attempt_dir=$(mktemp -d)
	{
		{
			attempt_status=0
			"$@" 2>&1 >&3 3>&- || attempt_status=$?
			echo "$attempt_status" >"$attempt_dir/status"
		} | tee "$attempt_dir/said" >&2
	} 3>"$attempt_dir/found"
	# shellcheck disable=SC2034 # used by those who source this
	found=$(cat "$attempt_dir/found")
	# shellcheck disable=SC2034
	reason=$(sed -n 's/^[a-z-]*: error: //p' "$attempt_dir/said" | tail -n 1)
	attempt_status=$(cat "$attempt_dir/status")
	rm -rf "$attempt_dir"
	return "$attempt_status"
}

# skipped TEST REASON: says that a test is skipped, and notes it for the summary of scripts/test.
skipped() {
	say "SKIPPED $1: $2"
	[ -z "${R8168_SKIPS:-}" ] || printf '%s: %s\n' "$1" "$2" >>"$R8168_SKIPS"
}

# usage_error MESSAGE: a wrong argument; exit status 2.
usage_error() { printf '%s: %s (try %s --help)\n' "$me" "$1" "$0" >&2; exit 2; }

# help FILE: prints the comment block at the top of a script, which is its help text.
help() { sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p;};}' "$1"; }

# key FILE...: twelve hex digits that name the content of the files.
key() { cat "$@" | sha256sum | cut -c1-12; }

# lock NAME: one maker of an artifact at a time; held until this process ends.
lock() {
	mkdir -p "$cache" || die "cannot create the cache directory $cache; set XDG_CACHE_HOME to a writable place"
	exec 9>"$cache/$1.lock"
	if ! flock -n 9; then
		say "another process is making $1; waiting for it"
		flock 9
	fi
}

# remove_at_exit PATH: removes PATH, and all that begins with PATH and a dot, when this process ends, unless it is killed. What has been made
# is moved away before.
remove_at_exit() {
	at_exit=$1
	trap 'rm -rf "$at_exit" "$at_exit".*' EXIT
	# A signal would end the shell without the above.
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

# with_log LOG COMMAND...: runs a long command with its output in LOG; shows the end of it when it fails.
with_log() {
	with_log_file=$1
	shift
	"$@" >"$with_log_file" 2>&1 || {
		with_log_status=$?
		tail -n 20 "$with_log_file" >&2
		return "$with_log_status"
	}
}

# need_host_packages COMMAND:PACKAGE...: installs what is missing on the host, as root or with sudo. A COMMAND may also be the whole
# path of a file.
need_host_packages() {
	missing=
	for pair in "$@"; do
		[ -e "${pair%%:*}" ] || command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null 2>&1 ||
		die "found no apt-get; these programs are needed:$missing; install them by hand"
	if [ "$(id -u)" = 0 ]; then
		sudo=
	elif command -v sudo >/dev/null 2>&1; then
		sudo=sudo
	else
		die "needed on this machine:$missing; you are not root and there is no sudo; ask for: apt-get install$missing"
	fi
	say "installing on this machine:$missing"
	mkdir -p "$cache"
	# shellcheck disable=SC2086 # a list of words
	with_log "$cache/host-packages.log" $sudo sh -c \
		"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends$missing" ||
		die "apt-get could not install$missing; see $cache/host-packages.log"
}
