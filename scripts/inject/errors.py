# SPDX-License-Identifier: GPL-2.0
"""Errors of inject-initrd; each is one line: what was found, what was expected, the way out."""


class UserError(Exception):
    """An error that is reported to the user in one line."""

    status = 1


class DamagedError(UserError):
    """The initrd cannot be read, or is of a form that the kernel does not take."""

    status = 1


class BrokenOffError(DamagedError):
    """An archive ends before its trailer."""


class UsageError(UserError):
    """The options contradict each other or the files named."""

    status = 2


class UnfitError(UserError):
    """A module does not fit the kernel, or the initrd has no place for it."""

    status = 3


class MissingToolError(UserError):
    """A program is missing on this machine."""

    status = 4


class OperationError(UserError):
    """Writing failed, or what was written does not read back as it should."""

    status = 5
