# SPDX-License-Identifier: GPL-2.0
"""The end of a program: an exit status, and one line for each error that a user can meet."""

import io
import os
import sys

from .errors import UserError, printable


def ended(program, action, errors: tuple = (UserError,), hint=""):
    """Runs what a program does, and returns its exit status: that which `action` returns, 0 for none. A reader that has gone ends it with 141.

    `errors` are those that a user can meet, if there are others, and `hint` is put behind each.
    """
    # Names of files may be no UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = action() or 0
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except errors as error:
        return _fail(program, f"{error}{hint}", error.status)
    except BrokenPipeError:
        _forget(sys.stdout)
        return 141
    except OSError as error:
        _forget(sys.stdout)
        return _fail(program, f"{error.filename or 'what is said cannot be written'}: {error.strerror or error}{hint}", 1)
    except KeyboardInterrupt:
        return 130


def _fail(program, message, status):
    try:
        # Without a standard error print() would take standard output.
        if sys.stderr is not None:
            print(f"{program}: error: {printable(message)}", file=sys.stderr, flush=True)
    except OSError:
        _forget(sys.stderr)
    return status


def _forget(stream):
    """Has the rest go nowhere: the interpreter would try again at its end."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
