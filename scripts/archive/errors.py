# SPDX-License-Identifier: GPL-2.0
"""Errors that a user can meet; each is one line: what was found, what was expected, what to do."""


def printable(text):
    """Text in which what is not printable is shown as Python writes it: what a file has in it makes no line of its own and draws nothing."""
    return "".join(one if one.isprintable() or "\ud800" <= one <= "\udfff" else ascii(one)[1:-1] for one in text)


class UserError(Exception):
    """An error that is reported to the user in one line."""

    status = 1


class UsageError(UserError):
    """An argument, or a file named in one, is not what it should be."""

    status = 2


class UnavailableError(UserError):
    """Something that is needed cannot be fetched now."""

    status = 3
