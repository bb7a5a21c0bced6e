# SPDX-License-Identifier: GPL-2.0
"""A head node, and the nodes that it installs."""
