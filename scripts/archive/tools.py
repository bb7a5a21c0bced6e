# SPDX-License-Identifier: GPL-2.0
"""Running other programs, and replacing files as a whole."""

import os
import subprocess
import tempfile
from pathlib import Path

from .errors import UserError


def run(*command, cwd=None, env=None, stdin=None):
    """Runs a program to its end; returns what it wrote on standard output, as text."""
    words = [str(word) for word in command]
    environment = None if env is None else {**os.environ, **env}
    try:
        done = subprocess.run(
            words, cwd=cwd, env=environment, input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UserError(
            f"cannot run {words[0]}: {error.strerror}; is its package in the list of the environment that this runs in (scripts/*.packages)?"
        ) from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UserError(f"{words[0]} failed ({done.returncode}): {''.join(last) or 'it gave no reason'}")
    return done.stdout


def replace(path, content):
    """Gives a file a new content: all of it or none."""
    path = Path(path)
    # As Python has bytes of paths that are no UTF-8.
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as out:
        try:
            out.write(data)
            out.flush()
            os.chmod(out.name, 0o644)
            os.replace(out.name, path)
        except BaseException:
            # After Ctrl-C as well, which may come when the file has its name already.
            Path(out.name).unlink(missing_ok=True)
            raise


def words_of(path):
    """The words of a list in a file: one a line, `#` begins a comment."""
    return [line.split("#")[0].strip() for line in Path(path).read_text().splitlines() if line.split("#")[0].strip()]
