# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Fetching packages from the Debian archive, without installing them. Source it after lib.sh, with `top` set.
# shellcheck disable=SC2154 # top, cache and the rest come from there

# check_kver KVER: stops unless it looks like the release of a Debian amd64 kernel.
check_kver() {
	case $1 in
	*[!a-z0-9.+-]* | *..*) ;;
	[0-9]*.[0-9]*-amd64) case ${1%%.*} in *[!0-9]*) ;; *) return 0 ;; esac ;;
	esac
	usage_error "'$1' is no release of a Debian amd64 kernel; expected one like $KVER"
}

# series KVER: its first two numbers, which name the linux-source package.
series() { echo "$1" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'; }

# set_archive_source: sets `archive_mirror`, and `archive_keys` to where the toolbox can read its keys if they are not Debian's.
set_archive_source() {
	check_fetching
	mkdir -p "$cache/apt" 2>/dev/null || die "cannot create $cache/apt; set XDG_CACHE_HOME to a writable place"
	archive_mirror=$("$top/scripts/toolbox" mirror)
	# What apt is configured for on this machine; without that, and for the rest, it goes by http_proxy.
	R8168_PROXY=$(apt_proxy)
	export R8168_PROXY
	archive_keys=
	if [ -n "${R8168_KEYRING:-}" ]; then
		archive_keys=$cache/apt/$(key "$R8168_KEYRING").${R8168_KEYRING##*.}
		# Another process may be reading it.
		if [ ! -s "$archive_keys" ]; then
			{ cp "$R8168_KEYRING" "$archive_keys.$$" && mv "$archive_keys.$$" "$archive_keys"; } 2>/dev/null ||
				die "cannot copy R8168_KEYRING to $cache/apt; set XDG_CACHE_HOME to a writable place with room"
		fi
	fi
}

# archive COMMAND [ARGUMENT...]: scripts/archive, which finds, downloads and verifies packages, in the toolbox.
archive() {
	# Where this is part of a condition, `set -e` does not count.
	check_fetching
	"$top/scripts/toolbox" create || exit
	set_archive_source
	"$top/scripts/toolbox" run -- python3 -B "$top/scripts/archive" --name "$me" --cache "$cache/apt" --mirror "$archive_mirror" \
		${archive_keys:+--keyring "$archive_keys"} --suite "$TOOLBOX_SUITE" "$@"
}

# take_given KVER DIRECTORY VERIFIED: copies the packages of a kernel's modules that DISTRO_DEBS has, and that no list of the archive has,
# to DIRECTORY; VERIFIED holds what comes from the lists. The image must be among that, since its key decides on the modules.
take_given() {
	mkdir -p "$2"
	[ -n "${DISTRO_DEBS:-}" ] || return 0
	for given in "$DISTRO_DEBS/linux-base-$1"_*.deb "$DISTRO_DEBS/linux-modules-$1"_*.deb; do
		name=${given##*/}
		if [ -e "$given" ] && [ -z "$(find "$3" -name "${name%%_*}_*")" ]; then
			say "taking $name as given by DISTRO_DEBS"
			cp "$given" "$2/" || die "cannot copy $given to the cache"
		fi
	done
}

# unpack_failed WHAT SAID: ends with the reason why WHAT could not be unpacked, out of what tar and dpkg-deb said.
unpack_failed() {
	case $2 in
	*"No space left on device"* | *"Wrote only "*)
		die "$1 cannot be unpacked: No space left on device; make room in the file system of $cache, or set XDG_CACHE_HOME to another one"
		;;
	esac
	die "$1 cannot be unpacked: $(echo "$2" | head -n 1)"
}

# unpack_packages DIRECTORY: unpacks the packages in DIRECTORY/debs there, without their documentation, and removes them.
unpack_packages() {
	for deb in "$1"/debs/*deb; do
		# shellcheck disable=SC2016 # expanded by the other shell
		unpack_said=$("$top/scripts/toolbox" run -- sh -c 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner --exclude ./usr/share/doc --exclude ./usr/share/man --exclude ./usr/share/lintian' - "$deb" "$1" 2>&1) ||
			unpack_said=${unpack_said:-tar gave no reason}
		[ -z "$unpack_said" ] || unpack_failed "${deb##*/}" "$unpack_said"
	done
	rm -rf "$1/debs"
}

# unpack_source FILE DIRECTORY: unpacks the kernel's source there.
unpack_source() {
	say "unpacking the kernel's source"
	mkdir -p "$2"
	unpack_said=$("$top/scripts/toolbox" run -- tar -xf "$1" -C "$2" --strip-components=1 2>&1) ||
		unpack_failed "${1##*/}" "$unpack_said"
}
