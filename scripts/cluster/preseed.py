# SPDX-License-Identifier: GPL-2.0
"""A preseed file, compared with the questions that the installer's parts ask (their debconf templates)."""

import re
from dataclasses import dataclass
from pathlib import Path

from archive.errors import UsageError, UserError, printable

from .kickstart import FILE_SYSTEMS, MARK, NO_TEXT, ZONES, is_zone

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
# Behind a backslash at the end of the line before it, an answer is a part of that one.
ANSWER = re.compile(rf"[a-z0-9][\w.+-]*[{SPACE}]+[\w.-]+/\S+[{SPACE}]+({'|'.join(TYPES)}|seen)\b")
STOPS = "the installer stops reading the file there, so all below it has no effect"
# What programs that keep templates fill in.
TEMPLATE = re.compile(r"\{\{ *[\w.]+[^{}]*\}\}|<%.*?%>|\{%.*?%\}|@@\w+@@")
# A word that the head node fills in.
BLANK = re.compile(r"@[A-Z]+@")


@dataclass
class Question:
    """A template: its type, the choices if they are fixed, and whether the installer has it or a package of the system."""

    kind: str
    choices: set
    installer: bool


def questions(directory):
    """The questions by name, out of the files installer.templates and system.templates."""
    found: dict[str, Question] = {}
    for name in ("system", "installer"):
        file = Path(directory) / f"{name}.templates"
        if not file.is_file():
            raise UserError(f"found no {file}, with which answers are compared; scripts/kickstart-tree makes it")
        for stanza in re.split(r"\n[ \t]*\n", file.read_text(encoding="utf-8", errors="replace")):
            fields: dict[str, str] = {}
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
    """The file: `answers` has (question, value) as the installer sets them, `complaints` a line for each answer that does not fit."""

    def __init__(self, path, asked):
        self.asked = asked
        self.answers, self.complaints = [], []
        try:
            # A carriage return ends no line for the installer.
            with open(path, encoding="utf-8", newline="") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or NO_TEXT}") from None
        if "\0" in text:
            raise UsageError(f"cannot read {path}: it is no text, it has a byte of zero")
        parts = list(_answers(text))
        if parts and not any("/" in [*_words(" ".join(lines)), ""][1] for _, lines, _ in parts):
            raise UsageError(
                f"{path}: line {parts[0][0]}: this is no preseed file; expected lines like 'd-i time/zone string Etc/UTC'; kickstart files go to --kickstart"
            )
        if text.startswith(MARK):
            self.complaints.append("line 1: begins with a byte order mark, which the installer takes for a part of the first word; save the file without it")
        for number, lines, ended in parts:
            self._check_line(number, " ".join(lines), ended)
            for later in lines[1:]:
                if ANSWER.match(later):
                    name = _words(later)[1]
                    self.complaints.append(printable(f"line {number}: {name}: is no answer but a part of this line, because a backslash stands before it"))

    def _check_line(self, number, line, ended):
        """Judges an answer by itself."""
        words = _words(line)
        if not ended:
            why = f"found '{line[:60]}' with a backslash behind it and nothing that follows, so the installer leaves it out"
        elif len(words) < 3:
            why = f"found '{line[:60]}', expected an answer: OWNER QUESTION TYPE VALUE; {STOPS}"
        elif words[0].startswith("#"):
            why = f"'{line[:60]}' is no comment for the installer, which knows one by a # at the very beginning of its line"
        elif template := TEMPLATE.search(line):
            why = (
                f"{words[1]}: '{template[0][:40]}' looks like a word of a template (Jinja, ERB, Cobbler) that is not filled in; "
                "have that done first, and give the result"
            )
        else:
            why = self._fault(words)
        # Where the installer has stopped there are no more answers.
        if ended and (not self.answers or self.answers[-1] is not None):
            self.answers.append((words[1], [*words, ""][3]) if len(words) > 2 else None)
        if why:
            self.complaints.append(printable(f"line {number}: {why}"))

    def _fault(self, words):
        """Returns why an answer has no effect; nothing if it does not."""
        (owner, name, kind), value = words[:3], [*words, ""][3]
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
        if value != (value := value.rstrip(SPACE)) and question.kind in ("boolean", "select", "multiselect"):
            return f"{name}: a space stands behind '{value}', which the installer takes for a part of the value"
        if question.kind == "boolean" and value not in ("true", "false"):
            return f"{name}: found '{value}', expected true or false"
        if question.choices and question.kind in ("select", "multiselect"):
            given = [value] if question.kind == "select" else [one.strip() for one in value.split(",")]
            for one in given:
                if one and one not in question.choices:
                    some = sorted(question.choices)
                    return f"{name}: found '{one}', expected one of {', '.join(some[:12])}{f' and {len(some) - 12} more' if len(some) > 12 else ''}"
        if name == "time/zone" and value and (ZONES / "Etc").is_dir() and not is_zone(value):
            return f"{name}: there is no time zone '{value}'; expected a name like Europe/Berlin or Etc/UTC"
        if name == "partman-auto/method" and value not in METHODS:
            return f"{name}: this installer has no partitions of the kind '{value}'; expected {METHODS[0]}"
        if name == "partman-auto/expert_recipe":
            for kind in FILE_SYSTEM.findall(value):
                if kind not in FILE_SYSTEMS:
                    return f"{name}: this installer does not make the file system '{kind}'; it makes {', '.join(sorted(FILE_SYSTEMS))}"
        return None


def _words(line):
    """The words of a line, at most four; the last has the spaces at the line's end."""
    words = re.split(rf"[{SPACE}]+", line.lstrip(SPACE), maxsplit=3)
    return words if len(words) > 3 or words[-1] else words[:-1]


def _answers(text):
    """The answers as (line in which it begins, its lines, whether it ends): the installer's debconf-set-selections first leaves out comments and
    empty lines, and then joins a line with a backslash at its end to the next."""
    start = 0
    lines: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        whole = raw.replace("\r", "")
        if whole.startswith("#") or not whole.strip(SPACE):
            continue
        start = start if lines else number
        line = whole.lstrip(SPACE)
        if line.endswith("\\"):
            lines += [one for one in [line[:-1].rstrip(SPACE)] if one]
            continue
        yield start, [*lines, line], True
        lines = []
    if lines:
        yield start, lines, False
