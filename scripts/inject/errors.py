# SPDX-License-Identifier: GPL-2.0
"""The ways in which inject-initrd declines; each is one line: what was found, what was expected, the way out."""


class Refusal(Exception):
    """An error that the user is told about in one line."""

    status = 1


class Damaged(Refusal):
    """The initrd cannot be read, or is of a form that the kernel does not take."""

    status = 1


class Usage(Refusal):
    """The options contradict each other or the files named."""

    status = 2


class Unfit(Refusal):
    """A module does not fit the kernel, or the initrd has no place for it."""

    status = 3


class MissingTool(Refusal):
    """A program is missing on this machine."""

    status = 4


class Failed(Refusal):
    """Writing failed, or what was written does not read back as it should."""

    status = 5
