# SPDX-License-Identifier: GPL-2.0
"""Keys that a head node makes and keeps: pairs for ssh, and that of TLS with its certificate."""

import shutil
import sys
from pathlib import Path

from archive.errors import UserError
from archive.tools import replace, run

# The clocks of old machines say anything.
ALWAYS = ("-not_before", "19700101000000Z", "-not_after", "99991231235959Z")
# Seconds since 1970, the least and the most that a clock is thought to say.
MOMENTS = (1, 1 << 36)


def key_pair(private, comment):
    """Makes a pair of keys where there is none, and the public one of the private one where that is lost; returns their files."""
    private = Path(private)
    public = private.with_name(f"{private.name}.pub")
    if not private.exists() and not public.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", private)
    if not public.exists():
        replace(public, run("ssh-keygen", "-y", "-P", "", "-f", private))
    return private, public


def key_of_root(directory):
    """The public part of the key that lets the head node in as root (DIRECTORY/id)."""
    private, public = key_pair(Path(directory) / "id", "head node")
    if not private.exists():
        print(
            f"head-node: found {public} without {private}: nodes let in the owner of that key, not this machine; remove it to get a new pair", file=sys.stderr
        )
    return public.read_text()


def tls_pair(directory, address):
    """The files of the key by which nodes know the head node over TLS, and of the certificate of its address, signed by itself: nodes are given that
    one, and trust no other. The key is made once; the certificate again when the address is another."""
    place = Path(directory) / "tls"
    key, certificate = place / "key.pem", place / "certificate.pem"
    if not shutil.which("openssl"):
        raise UserError("found no openssl, which makes the key of TLS; install openssl")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not key.exists():
        fresh = place / ".key.pem"
        fresh.unlink(missing_ok=True)
        run("openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", fresh)
        fresh.rename(key)
    key.chmod(0o600)
    try:
        # A passphrase would be asked for on the terminal, and nginx has none to give.
        run("openssl", "pkey", "-in", key, "-passin", "pass:", "-noout")
        if not certificate.exists() or not _fits(certificate, key, address):
            about = ("-subj", "/CN=head node", "-addext", f"subjectAltName=IP:{address}")
            replace(certificate, run("openssl", "req", "-x509", "-key", key, *about, *ALWAYS))
    except UserError:
        what = "is no key of openssl's without a passphrase, by which a certificate can be signed"
        raise UserError(f"{key} {what}; remove it to get a new one, which nodes know at their next boot") from None
    return key, certificate


def _fits(certificate, key, address):
    """Returns whether a certificate is that of a key and an address, at any time and without another's signature."""
    try:
        for moment in MOMENTS:
            run("openssl", "verify", "-attime", moment, "-verify_ip", address, "-CAfile", certificate, certificate)
        return run("openssl", "x509", "-in", certificate, "-noout", "-pubkey") == run("openssl", "pkey", "-in", key, "-pubout")
    except UserError:
        return False
