# SPDX-License-Identifier: GPL-2.0
"""A preseed file, compared with the questions that the installer's parts ask (their debconf templates)."""

import re
from dataclasses import dataclass
from pathlib import Path

from archive.errors import Refusal, Usage
from .kickstart import FILE_SYSTEMS, ZONES

# As the installer's debconf-set-selections has it.
TYPES = ("string", "boolean", "select", "multiselect", "password", "note", "text", "title", "error")
# Types that take each other's answers: debconf keeps the text.
ALIKE = ({"string", "select", "multiselect", "password", "text"}, {"note", "text", "title", "error"})
# Questions without a template: what is behind a number, and what a program looks up in case that it was answered.
MADE = re.compile(r"apt-setup/local[0-9]+/(repository|comment|key|source)|preseed/(run|include|include_command)(/checksum)?|mirror/udeb/suite")
METHODS = ("regular",)
FILE_SYSTEM = re.compile(r"\bfilesystem\{ *([\w-]+) *\}")
# What is between words, for debconf: Python knows more, such as no-break spaces.
SPACE = " \t\v\f\r"
# A word that the head node fills in.
BLANK = re.compile(r"@[A-Z]+@")


@dataclass
class Question:
    """What a template says: its type, the choices if they are fixed, and whether the installer has it or a package of the system."""

    kind: str
    choices: set
    installer: bool


def questions(directory):
    """The questions by name, out of the files installer.templates and system.templates."""
    found = {}
    for name in ("system", "installer"):
        file = Path(directory) / f"{name}.templates"
        if not file.is_file():
            raise Refusal(f"found no {file}, with which answers are compared; scripts/kickstart-tree makes it")
        for stanza in re.split(r"\n[ \t]*\n", file.read_text(encoding="utf-8", errors="replace")):
            fields = {}
            for line in stanza.splitlines():
                field, colon, value = line.partition(":")
                if colon and not line.startswith((" ", "\t")):
                    fields.setdefault(field.lower(), value.strip())
            if "template" in fields:
                question = Question(fields.get("type", "string"), _choices(fields), name == "installer")
                # Several parts may have the same question, each with choices of its own.
                if (other := found.get(fields["template"])) and other.installer == question.installer:
                    question.choices = question.choices | other.choices if question.choices and other.choices else set()
                found[fields["template"]] = question
    return found


def _choices(fields):
    """The values that a select takes, which are those of the language C if it has them; nothing if they are made when it is asked."""
    text = fields.get("choices-c") or fields.get("choices", "")
    return set() if "${" in text else {one.replace("\\,", ",").strip() for one in re.split(r"(?<!\\),", text) if one.strip()}


class Preseed:
    """The file; `complaints` has a line for each answer that does not fit."""

    def __init__(self, path, asked):
        self.asked = asked
        self.complaints = []
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise Usage(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text in UTF-8'}") from None
        if "\0" in text:
            raise Usage(f"cannot read {path}: it is no text, it has a byte of zero")
        answers = list(_answers(text))
        if answers and not any("/" in (_words(line) + [""])[1] for _, line in answers):
            raise Usage(f"{path}: line {answers[0][0]}: this is no preseed file; expected lines like 'd-i time/zone string Etc/UTC'; kickstart files go to --kickstart")
        for number, line in answers:
            if why := self._fault(line):
                self.complaints.append(f"line {number}: {why}")

    def _fault(self, line):
        """Why a line has no effect; nothing if it does not."""
        words = _words(line)
        if len(words) < 3:
            return f"found '{line[:60]}', expected an answer: OWNER QUESTION TYPE VALUE"
        (owner, name, kind), value = words[:3], words[3].strip(SPACE) if len(words) > 3 else ""
        if kind == "seen":
            return None if value in ("true", "false") else f"{name}: seen is true or false, not '{value}'"
        if kind not in TYPES:
            return f"{name}: found the type '{kind}', expected one of {', '.join(TYPES)}"
        if MADE.fullmatch(name):
            return None
        question = self.asked.get(name)
        if question is None:
            return f"{name}: no part of this installer asks that, so the answer has no effect"
        if question.installer != (owner == "d-i") and not (question.installer and owner not in ("d-i", "debconf")):
            return f"{name}: a package of the system asks that, and not the installer; write the package's name in place of d-i"
        return self._wrong_type(name, kind, question) or self._wrong_value(name, value, question)

    @staticmethod
    def _wrong_type(name, kind, question):
        if kind != question.kind and not any({kind, question.kind} <= alike for alike in ALIKE):
            return f"{name}: found the type {kind}, the question is of the type {question.kind}"
        return None

    @staticmethod
    def _wrong_value(name, value, question):
        if BLANK.search(value):
            return None
        if question.kind == "boolean" and value not in ("true", "false"):
            return f"{name}: found '{value}', expected true or false"
        if question.choices and question.kind in ("select", "multiselect"):
            given = [value] if question.kind == "select" else [one.strip() for one in value.split(",")]
            for one in given:
                if one and one not in question.choices:
                    some = sorted(question.choices)
                    return f"{name}: found '{one}', expected one of {', '.join(some[:12])}{f' and {len(some) - 12} more' if len(some) > 12 else ''}"
        if name == "time/zone" and value and (ZONES / "Etc").is_dir() and (".." in value or not (ZONES / value.lstrip("/")).is_file()):
            return f"{name}: there is no time zone '{value}'; expected a name like Europe/Berlin or Etc/UTC"
        if name == "partman-auto/method" and value not in METHODS:
            return f"{name}: this installer has no partitions of the kind '{value}'; expected {METHODS[0]}"
        if name == "partman-auto/expert_recipe":
            for kind in FILE_SYSTEM.findall(value):
                if kind not in FILE_SYSTEMS:
                    return f"{name}: this installer does not make the file system '{kind}'; it makes {', '.join(sorted(FILE_SYSTEMS))}"
        return None


def _words(line):
    """The words of a line, at most four."""
    return re.split(rf"[{SPACE}]+", line.strip(SPACE), maxsplit=3)


def _answers(text):
    """The answers with the number of the line in which each begins: a backslash at its end joins a line to the next."""
    start, joined = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        start = start if joined else number
        joined += line.removesuffix("\r")
        is_comment = joined.lstrip(SPACE).startswith("#")
        if joined.endswith("\\") and not is_comment:
            joined = joined[:-1].rstrip(SPACE) + " "
            continue
        if joined.strip(SPACE) and not is_comment:
            yield start, joined.strip(SPACE)
        joined = ""
    if joined.strip(SPACE):
        yield start, joined.strip(SPACE)
