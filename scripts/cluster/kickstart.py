# SPDX-License-Identifier: GPL-2.0
"""A kickstart file, tried beforehand with the programs that the installer reads it by (kickseed), to tell what will not come of it."""

import re
import subprocess
import tempfile
from pathlib import Path

from archive import deb822
from archive.errors import Refusal, Usage

# What the head node decides: names, addresses, the mirror, the end. With each, what means the same.
OURS = {
    "mirror/": (),
    "netcfg/": (),
    "debian-installer/locale": (),
    "preseed/locale": (),
    "debian-installer/exit/": (),
    "grub-installer/bootdev": ("(hd0)",),
    "preseed/late_command": (),
    "finish-install/reboot_in_progress": ("",),
    "debconf/priority": ("critical",),
    # Set by an early command, to the first disk; that is what kickseed means by this name.
    "partman/early_command": (),
}
FIRST_DISK = "/dev/discs/disc0/disc"
# One answer makes others of ours wrong.
TOGETHER = (
    ("passwd/root-password", "passwd/root-password-crypted"),
    ("partman-auto/expert_recipe", "partman-auto/choose_recipe"),
    ("partman-auto/disk", "partman/early_command"),
)


def _only_words(unkept=""):
    """Lines in which the shell, where these characters are not kept from it, finds words only, and perhaps a comment."""
    quoted = rf"""'[^']*'|"[^"\\`{unkept}]*\""""
    return re.compile(rf"""([^'"\\`;&|<>(){unkept}]|{quoted})*((?<=[ \t])#.*)?""")


# kickseed has the shell read what stands behind a command, each $ behind a backslash; and behind the name of a section as it is.
_COMMAND = _only_words()
_SECTION = _only_words("$")
# kickseed, with what it would do in the installer told instead, a line for each: what, and words behind it.
_TRY = r"""
exec 2>&1
ks_log() { printf 'cannot\t%s\n' "$*"; }
ks_preseed() { printf 'answer\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4"; }
ks_run_script() { :; }
ks_write_script() { cat >/dev/null; }
. "$1"
at_handler() { printf 'at\t%s\n' "$1"; }
kickseed "$2"
"""


def _word(line):
    """The first word of a line; of an empty one, that of a comment."""
    return re.match("[ \\t]*([^ \\t]*)", line)[1] or "#"


class Kickstart:
    """What the file says, and what comes of it: `answers` by question, and the `text` to serve."""

    def __init__(self, path, tree, plan_answers):
        self.path = Path(path)
        # It is read in a directory of its own.
        self.tree = Path(tree).absolute()
        self.plan_answers = plan_answers
        self.answers = {}
        self._found = {}
        if not (self.tree / "kickseed/questions").is_file():
            raise Refusal(f"found no {self.tree}/kickseed, by which kickstart files are read; scripts/kickstart-tree makes it")
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Usage(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text in UTF-8'}") from None
        if "\0" in text:
            raise Usage(f"cannot read {path}: it is no text, it has a byte of zero")
        # Lines and words are those that the shell finds; Python knows more separators.
        self.lines = text.removesuffix("\n").replace("\r\n", "\n").split("\n")
        served, tried = self._read()
        self.text = "".join(f"{line}\n" for line in served)
        self._try(tried)
        self._check_packages()

    @property
    def complaints(self):
        """What will not be done, a line for each."""
        return sorted(self._found, key=self._found.get)

    def _complain(self, number, text):
        complaint = f"line {number}: {_word(self.lines[number - 1])}: {text}" if number else text
        self._found.setdefault(complaint, number or len(self.lines))

    def _read(self):
        """What is served, and the same with the numbers of its lines for a trial."""
        served, tried, section, ended, unknown = [], [], None, False, False
        for number, line in enumerate(self.lines, 1):
            word = _word(line)
            known = word in ("%packages", "%pre", "%post")
            if unknown and not known:
                # kickseed would take these lines for more of what stands above.
                unknown = word != "%end"
                continue
            unknown = False
            if known:
                if section is None:
                    # What is heard from here on belongs to no line.
                    tried.append("at 0")
                section, ended = word, False
                self._check(number, _SECTION)
            elif word == "%end":
                # kickseed has never heard of it: a section ends where the next begins.
                ended = section is not None
                continue
            elif word == "%include":
                self._complain(number, "what comes of that file cannot be told before it is there")
                served.append(line)
                continue
            elif word.startswith("%") and (ended or section in (None, "%packages")):
                self._complain(number, "kickseed knows no such section; it is left out, to its %end")
                unknown = True
                continue
            elif ended and not word.startswith("#"):
                self._complain(number, f"stands behind the %end of {section}, where kickseed takes it for a part of that; move it before all sections")
            elif section is None and not word.startswith("#"):
                self._check(number, _COMMAND)
                tried.append(f"at {number}")
            served.append(line)
            tried.append(line)
        return served, tried

    def _check(self, number, only_words):
        if not only_words.fullmatch(self.lines[number - 1]):
            raise Usage(
                f"{self.path}: line {number} has characters that kickseed would have the shell run, or a quotation mark too few; "
                "put the word into single quotes"
            )

    def _try(self, tried):
        """Has kickseed read it, as the installer will."""
        questions = set((self.tree / "kickseed/questions").read_text().split())
        with tempfile.TemporaryDirectory(prefix="kickstart-") as spool:
            file = Path(spool) / "ks.cfg"
            file.write_text("".join(f"{line}\n" for line in tried))
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SPOOL": spool, "SUPPORTEDLOCALES": "/dev/null"}
            environment["HANDLERS"] = str(self.tree / "kickseed/handlers")
            command = ["sh", "-c", _TRY, "sh", self.tree / "kickseed/kickseed.sh", file]
            done = subprocess.run(command, env=environment, cwd=spool, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
        number, answers = 0, {}
        for line in done.stdout.splitlines():
            what, _, rest = line.partition("\t")
            if what == "at":
                number = int(rest)
            elif what == "answer":
                answers.setdefault(number, []).append(rest.split("\t"))
            elif what == "cannot":
                self._complain(number, f"kickseed: {rest}")
            else:
                # An option that its getopt does not know; it goes on without.
                self._complain(number, f"kickseed: {line.removeprefix('getopt: ')}")
        if done.returncode:
            raise Usage(f"{self.path}: kickseed cannot read it: {(done.stdout.splitlines() or ['no reason given'])[-1]}")

        for number, given in sorted(answers.items()):
            # kickseed also answers what other releases asked.
            asked = [words for words in given if words[0] not in ("d-i", "passwd") or words[1] in questions or words[1].startswith("apt-setup/local")]
            if number and not asked:
                self._complain(number, f"this installer does not ask '{given[0][1]}'; it comes to nothing")
            for _, question, _, value in asked:
                self._hear_answer(number, question, value)

    def _hear_answer(self, number, question, value):
        for prefix, same in OURS.items():
            if question.startswith(prefix):
                if value not in (*same, self.plan_answers.get(question)):
                    self._complain(number, f"the head node decides '{question}'")
                return
        if question == "partman-auto/disk" and value == FIRST_DISK:
            return
        if question == "partman-auto/method" and value != "regular":
            self._complain(number, f"this installer has no partitions of the kind '{value}'")
        self.answers[question] = value

    def _check_packages(self):
        index = next(iter(sorted(self.tree.glob("mirror/dists/*/main/binary-amd64/Packages"))), None)
        known = {stanza["Package"] for stanza in deb822.stanzas(index.read_text())} if index else set()
        for name in self.answers.get("pkgsel/include", "").split():
            if name not in known:
                number = next((number for number, line in enumerate(self.lines, 1) if line.strip() == name), 0)
                self._complain(number, "the mirror has no such package; list it in packaging/cluster/node.packages")
        if self.answers.get("tasksel/first"):
            self._complain(0, f"the mirror has no tasks (package groups), so nothing comes of: {self.answers['tasksel/first']}")

    def preseed(self, lines):
        """Those lines of an answer file that the kickstart file leaves to us."""
        taken = {question for question, value in self.answers.items() if value or question.startswith("passwd/")} - {"pkgsel/include"}
        for theirs, ours in TOGETHER:
            if theirs in taken or (theirs.startswith("passwd/") and any(question.startswith(theirs) for question in taken)):
                taken.add(ours)
        packages = self.answers.get("pkgsel/include", "")
        lines = [f"{line} {packages}" if " pkgsel/include " in line else line for line in lines]
        return [line for line in lines if line.split()[1] not in taken]
