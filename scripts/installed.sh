# shellcheck shell=sh
# What this machine's dpkg has. Needs nothing else.

# installed_version PACKAGE: its version, if its files are there; nothing if not. While apt is at work, DKMS is called when
# packages are unpacked and not yet configured.
installed_version() {
	dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null |
		sed -n 's/^\(installed\|unpacked\|half-configured\|triggers-[a-z]*\) //p'
}
