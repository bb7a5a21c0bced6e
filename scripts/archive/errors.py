# SPDX-License-Identifier: GPL-2.0
"""Errors that a user can meet; each is one line: what was found, what was expected, what to do."""


class Refusal(Exception):
    """An error that the user is told about in one line."""

    status = 1


class Usage(Refusal):
    """An argument, or a file named in one, is not what it should be."""

    status = 2


class Unavailable(Refusal):
    """Something that is needed cannot be fetched now."""

    status = 3
