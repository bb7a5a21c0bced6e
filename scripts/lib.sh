# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What the scripts have in common. Source it with `top` set to the top of the checkout.

# shellcheck source=/dev/null disable=SC2154
. "$top/versions.conf"

me=${0##*/}
# As shells do for `~` when HOME is not set.
[ -n "${HOME:-}" ] || HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/r8168_rust
# The kernel's makefiles take no such names; what is relative would be another cache in each directory.
case $cache in
[!/]* | *[[:space:]:%#\;\&\|\<\>\(\)\*\?\$\'\"\`\\]*)
	printf '%s: the cache cannot be %s: a whole path without spaces and special characters is expected; set XDG_CACHE_HOME to one\n' "$me" "'$cache'" >&2
	exit 2
	;;
esac

# What the debug kernel, and so a module for it, is compiled with: KASAN and Rust together want clang.
# shellcheck disable=SC2034 # used by scripts that source this
debug_compiler="CC=clang HOSTCC=clang"

# kernels: prints the kernels that the module is built for, the newest series first.
kernels() { sed -n 's/^KVER\(_OLDER\|_[0-9]*_[0-9]*\)\{0,1\}=//p' "$top/versions.conf"; }

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() {
	printf '%s: error: %s\n' "$me" "$*" >&2
	exit 1
}

# unavailable MESSAGE: something that is needed cannot be fetched now; exit status 3, on which tests that need it are skipped.
unavailable() {
	printf '%s: error: %s\n' "$me" "$*" >&2
	exit 3
}

# attempt COMMAND...: runs a command that prints a result; sets `found` to that, or `reason` to the last error that it showed. Returns its
# exit status.
attempt() {
	attempt_dir=$(mktemp -d 2>/dev/null) || die "no temporary file can be made; set TMPDIR to a writable directory"
	{
		{
			attempt_status=0
			"$@" 2>&1 >&3 3>&- || attempt_status=$?
			echo "$attempt_status" >"$attempt_dir/status"
		} | tee "$attempt_dir/said" >&2
	} 3>"$attempt_dir/found"
	# shellcheck disable=SC2034 # used by scripts that source this
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
usage_error() {
	printf '%s: %s (try %s --help)\n' "$me" "$1" "$0" >&2
	exit 2
}

# help FILE: prints the comment block at the top of a script, which is its help text.
help() { sed -n '2,/^[^#]/{/^#/{/SPDX-License/d;s/^# \{0,1\}//;p;};}' "$1"; }

# key FILE...: twelve hex digits that name the content of the files. The line about their licence is no content.
key() { cat "$@" | LC_ALL=C sed '/^# SPDX-License-Identifier: /d' | sha256sum | cut -c1-12; }

# lock NAME [8]: one maker of an artifact at a time; held until this process ends. A second lock needs the other file descriptor.
lock() {
	make_cache
	# As another user's, or on a full disk, the file cannot be made; a failed exec alone would end the shell.
	{ true >>"$cache/$1.lock"; } 2>/dev/null || die "cannot write $cache/$1.lock: is it another user's, or the disk full? Set XDG_CACHE_HOME to a writable place"
	if [ "${2:-9}" = 8 ]; then exec 8>>"$cache/$1.lock"; else exec 9>>"$cache/$1.lock"; fi
	if ! flock -n "${2:-9}"; then
		say "another process is making $1; waiting for it"
		flock "${2:-9}"
	fi
}

# make_cache: makes the cache directory if it is missing.
make_cache() { mkdir -p "$cache" 2>/dev/null || die "cannot create the cache directory $cache; set XDG_CACHE_HOME to a writable place"; }

# begin PART: makes an empty directory in which something is made, which is removed when this process ends, unless it is killed.
begin() {
	rm -rf "$1" 2>/dev/null || die "cannot remove $1, which an interrupted attempt left: is it another user's? Remove it as that user"
	remove_at_exit "$1"
	mkdir "$1" 2>/dev/null || die "cannot create $1; set XDG_CACHE_HOME to a writable place with room"
}

# put_in_place PART WHOLE: gives what was made its name; what is there under that name without being whole is removed. Another process may
# have made it in the meantime, which is as good.
put_in_place() {
	touch "$1/.complete"
	[ ! -e "$2/.complete" ] || return 0
	rm -rf "$2"
	mv -T "$1" "$2" 2>/dev/null || [ -e "$2/.complete" ] || die "cannot move $1 to $2"
}

# apt_proxy: prints the proxy that apt uses on this machine by its configuration, if any.
apt_proxy() { apt-config shell p Acquire::http::Proxy 2>/dev/null | sed "s/^p='\(.*\)'$/\1/"; }

# check_fetching: stops unless the variables that say where packages come from have valid values.
check_fetching() {
	case ${R8168_MIRROR:-http://} in
	*[![:graph:]]* | *[\'\"\\]*) usage_error "R8168_MIRROR is the address of a Debian mirror, such as http://HOST/debian, not '$R8168_MIRROR'" ;;
	http://* | https://*) ;;
	*) usage_error "R8168_MIRROR is an address that begins with http:// or https://, not '$R8168_MIRROR'" ;;
	esac
	case ${R8168_TIMEOUT:-30} in *[!0-9]* | 0* | ??????*) usage_error "R8168_TIMEOUT is a number of seconds, not '$R8168_TIMEOUT'" ;; esac
	case ${R8168_KEYRING:-.gpg} in
	*.gpg | *.asc) ;;
	*) usage_error "R8168_KEYRING is a file of keys whose name ends in .gpg, or in .asc if it is armoured, not '$R8168_KEYRING'" ;;
	esac
	[ -z "${R8168_KEYRING:-}" ] || { [ -f "$R8168_KEYRING" ] && [ -r "$R8168_KEYRING" ]; } ||
		usage_error "R8168_KEYRING names no file that can be read: '$R8168_KEYRING'"
}

# remove_at_exit PATH: removes PATH, and all that begins with PATH and a dot, when this process ends, unless it is killed. What has been made
# is moved away before.
remove_at_exit() {
	at_exit=$1
	trap 'rm -rf "$at_exit" "$at_exit".* 2>/dev/null' EXIT
	exit_on_signals
}

# exit_on_signals: has this process run its trap for EXIT when a signal ends it, which the shell does not by itself.
exit_on_signals() {
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

# answer_tree: prints a directory with kickseed and the questions of the installer; makes one when the head node has none.
answer_tree() {
	for answer_tree in "$top/build/head-node/tree" "$cache/answers-$(key "$top"/packaging/cluster/*.packages "$top/versions.conf" "$top/scripts/kickstart-tree")"; do
		if [ -e "$answer_tree/kickseed/installer.templates" ]; then
			echo "$answer_tree"
			return
		fi
	done
	"$top/scripts/kickstart-tree" --questions "$answer_tree" >&2 || return
	echo "$answer_tree"
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
	make_cache
	# shellcheck disable=SC2086 # a list of words
	with_log "$cache/host-packages.log" $sudo sh -c \
		"apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends$missing" ||
		die "apt-get could not install$missing; see $cache/host-packages.log"
}
