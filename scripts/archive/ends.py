# SPDX-License-Identifier: GPL-2.0
"""The end of a program: an exit status, and one line for each error that a user can meet."""

import contextlib
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
        for stream in _streams():
            stream.flush()
        return status
    except errors as error:
        return _fail(program, f"{error}{hint}", error.status)
    except BrokenPipeError:
        return 141
    except OSError as error:
        return _fail(program, f"{error.filename or 'what is said cannot be written'}: {error.strerror or error}{hint}", 1)
    except KeyboardInterrupt:
        return 130
    finally:
        _forget()


def _streams():
    """Standard output and standard error, if they are not closed."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _fail(program, message, status):
    # Without a standard error print() would take standard output.
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"{program}: error: {printable(message)}", file=sys.stderr, flush=True)
    return status


def _forget():
    """Drops what cannot be written: the interpreter would try again at its end, and exit with a status of its own."""
    for stream in _streams():
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
