# SPDX-License-Identifier: GPL-2.0
"""The package behind scripts/inject-initrd."""
