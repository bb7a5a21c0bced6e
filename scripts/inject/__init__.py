# SPDX-License-Identifier: GPL-2.0
"""What scripts/inject-initrd is made of."""
