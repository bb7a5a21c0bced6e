# SPDX-License-Identifier: GPL-2.0
"""Packages of the Debian archive: found by content or in verified indexes, downloaded, verified."""
