# shellcheck shell=sh
# Fetching kernels from the Debian archive, without installing them. Source it after lib.sh, with `top` set.
# shellcheck disable=SC2154 # top, cache and the rest come from there

# check_kver KVER: stops unless it looks like the release of a Debian amd64 kernel.
check_kver() {
	case $1 in
	*[!a-z0-9.+-]*) ;;
	[0-9]*.[0-9]*-amd64) return 0 ;;
	esac
	usage_error "'$1' is no release of a Debian amd64 kernel; expected one like $KVER"
}

# An apt command with lists of its own in the cache; the host's are left alone.
apt_in_toolbox() {
	apt_command=$1
	shift
	"$top/scripts/toolbox" run -- "$apt_command" -o Dir::State::lists="$cache/apt/lists" -o Dir::Cache="$cache/apt" \
		-o Dir::Etc::SourceList="$cache/apt/sources.list" -o APT::Sandbox::User=root "$@"
}

# Reads the package lists of the toolbox's own mirror and, of the same mirror, those of bookworm for Debian 12's kernel,
# those of non-free for Realtek's driver and those of the installer's parts.
update_lists() {
	mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
	# shellcheck disable=SC2016 # expanded inside the toolbox
	"$top/scripts/toolbox" run -- sed -n "p; s/ $TOOLBOX_SUITE main/ bookworm main/p; s/ bookworm main/ $TOOLBOX_SUITE non-free main\/debian-installer/p" /etc/apt/sources.list \
		>"$cache/apt/sources.list"
	say "reading the archive's package lists"
	with_log "$cache/apt.log" apt_in_toolbox apt-get update -qq ||
		die "apt-get update failed (see $cache/apt.log); is the Debian mirror reachable from here?"
}

# archive_version PACKAGE: the newest version of it that the archive has; nothing when it has none.
archive_version() { apt_in_toolbox apt-cache madison "$1" | awk -F' *[|] *' 'NR == 1 { print $2 }'; }

# archive_has PACKAGE VERSION: whether the archive has that very version.
archive_has() { apt_in_toolbox apt-cache madison "$1" | awk -F' *[|] *' -v wanted="$2" '$2 == wanted { found = 1 } END { exit !found }'; }

# settle_kver KVER: prints it if the archive has it, else the newest of the same series.
settle_kver() {
	if [ -n "$(archive_version "linux-image-$1")" ]; then
		echo "$1"
		return
	fi
	series=$(series "$1")
	newest=$(apt_in_toolbox apt-cache pkgnames "linux-image-$series." | sed 's/^linux-image-//' |
		grep -x '[0-9][0-9.a-z+-]*-amd64' | grep -v -e '-cloud-' -e '-rt-' | sort -V | tail -n 1)
	[ -n "$newest" ] || die "the archive has neither the kernel $1 nor any of the series $series; choose another KVER"
	say "the archive no longer has $1; taking the newest of the same series, $newest (and change versions.conf)"
	echo "$newest"
}

# download_packages DIRECTORY PACKAGE[=VERSION]...: downloads packages there.
download_packages() {
	download_to=$1
	shift
	mkdir -p "$download_to"
	size=$(apt_in_toolbox apt-cache show --no-all-versions "$@" | awk '/^Size:/ { s += $2 } END { print int(s / 1000000 + 1) }')
	say "downloading $size MB: $*"
	(cd "$download_to" && with_log "$cache/apt.log" apt_in_toolbox apt-get -qq download "$@") ||
		die "could not download $*; see $cache/apt.log"
}

# fetch_packages DIRECTORY PACKAGE[=VERSION]...: downloads packages and unpacks them there, without their documentation.
fetch_packages() {
	fetch_to=$1
	shift
	download_packages "$fetch_to/debs" "$@"
	for deb in "$fetch_to"/debs/*deb; do
		"$top/scripts/toolbox" run -- sh -c "dpkg-deb --fsys-tarfile '$deb' | tar -x -C '$fetch_to' --no-same-owner --exclude ./usr/share"
	done
	rm -rf "$fetch_to/debs"
}

# series KVER: its first two numbers, which name the linux-source package.
series() { echo "$1" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'; }

# headers_version KVER: the version of the packages that belong to a kernel; stops when the archive has no headers for it.
headers_version() {
	version=$(archive_version "linux-headers-$1")
	[ -n "$version" ] || die "the archive has no linux-headers-$1; a kernel without headers cannot be built for"
	echo "$version"
}

# unpack_source ROOT SERIES DIRECTORY: unpacks the kernel's source there, out of its package, which is unpacked below ROOT.
unpack_source() {
	say "unpacking the kernel's source"
	mkdir -p "$3"
	"$top/scripts/toolbox" run -- tar -xf "$1/usr/src/linux-source-$2.tar.xz" -C "$3" --strip-components=1
}
