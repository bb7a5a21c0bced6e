# SPDX-License-Identifier: GPL-2.0
"""A kickstart file, tried beforehand with the programs that the installer reads it by (kickseed), to report what will have no effect."""

import contextlib
import os
import re
import resource
import secrets
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

from archive import deb822
from archive.errors import UsageError, UserError, printable

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


# What the installer's partman formats, if its questions do not say; kickseed passes on whatever --fstype says.
FILE_SYSTEMS = {"ext2", "ext3", "ext4", "fat16", "fat32", "efi", "linux-swap", "swap"}
# What it has a name for, and does not format.
SHOWN = {"ntfs", "hfs", "hfsplus"}
ZONES = Path("/usr/share/zoneinfo")
# Commands behind which kickseed reads nothing, however much stands there.
BARE = ("cdrom", "deviceprobe", "halt", "install", "interactive", "poweroff", "reboot", "skipx", "text", "zerombr")
# What it takes without a word, and does nothing, or asks for what no program looks at today.
WITHOUT_EFFECT = {
    "cdrom": "the head node decides where packages come from",
    "device": "kickseed loads no module; udev does that, by the ids of the hardware",
    "mouse": "X asks nothing today, so this has no effect",
    "xconfig": "X asks nothing today, so this has no effect",
}
# Options of part and logvol that take no value.
FLAGS = ("--recommended", "--grow", "--noformat", "--asprimary")
# What other releases of the installer asked; kickseed answers it beside what this one asks.
ASKED_BEFORE = ("preseed/locale", "prebaseconfig/reboot_in_progress", "pkgsel/install-pattern", "partman/confirm_write_new_label")
# A file is read in a tenth of a second; some of kickseed's loops have no end.
TRY_CPU_SECONDS = 5
TRY_SECONDS = 120
TRY_OUTPUT = 16 << 20
# The exit status of a trial with a kickseed that lacks a function.
NO_FUNCTION = 70

MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
NO_TEXT = "it is not text in UTF-8; convert it, for instance by iconv -f LATIN1 -t UTF-8"
_PRESEED = re.compile(r"\s*[a-z0-9][a-z0-9+.-]*[ \t]+[a-z0-9-]+/\S+[ \t]+(string|boolean|select|multiselect|password|note|text|error|title|seen)\b")
# What files of other kinds have and no kickstart file: where they are read by a program first.
FOREIGN = (
    (
        re.compile(r"\s*#(if|set|for|else|end|raw|import|include|attr)\b.*\$|.*SNIPPET(::|\()|.*@@\w+@@|\s*#(end (if|for|raw)|raw)\s*$"),
        "a template of Cobbler's",
        "cobbler system get-autoinstall --name NODE",
    ),
    (re.compile(r"[^#%]*(\{\{|\{%)|\s*\{%"), "a template (Jinja, of Ansible, Foreman or Salt)", "what you keep it in"),
    (re.compile(r"\s*<%"), "a template (ERB, of Foreman or Puppet)", "what you keep it in"),
    (re.compile(r"[^#]*@[A-Z][A-Z0-9_]{2,}@"), "a template with words like @NAME@", "what you keep it in"),
    (re.compile(r"\s*<\?xml|\s*<profile"), "an AutoYaST profile", None),
    (re.compile(r"#cloud-config|autoinstall:"), "an answer file of Ubuntu's (cloud-init)", None),
)


def _only_words(unkept=""):
    """Lines in which the shell, where these characters are not kept from it, finds words only, and perhaps a comment."""
    quoted = rf"""'[^']*'|"[^"\\`{unkept}]*\""""
    return re.compile(rf"""([^'"\\`;&|<>(){unkept}]|{quoted})*((?<=[ \t])#.*)?""")


# kickseed has the shell read what stands behind a command, each $ behind a backslash; and behind the name of a section as it is.
_COMMAND = _only_words()
# The pieces of such a line up to a comment: quoted, or not.
_PIECES = re.compile(r"""'[^']*'|"[^"]*"|(?<=[ \t])#.*|[^'"#]+|#""")
# What the shell replaces in a word that is not quoted: by a home directory, or by the names of files that match.
_REPLACED = re.compile(r"(?<=[ \t])~|[*?[]")
_SECTION = _only_words("$")
# kickseed, with what it would do in the installer printed instead, a line for each: what, and words behind it. The third argument is the command
# that gives the number of a line, which no file has.
_TRY = r"""
exec 2>&1
need() { command -v "$1" >/dev/null || { echo "$2"; exit 70; }; }
ks_log() { printf 'cannot\t%s\n' "$*"; }
ks_preseed() { printf 'answer\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4"; }
ks_run_script() { :; }
ks_write_script() { cat >/dev/null; }
. "$1"
need kickseed kickseed
eval "${3}_handler() { printf 'at\\t%s\\n' \"\$1\"; }"
# In a section no line can say its number; where one begins is said by its kind.
for kind in pre post; do
	eval "$(sed "s/^${kind}_handler_section/read_$kind/" "$HANDLERS/$kind.sh")"
	need "read_$kind" "${kind}_handler_section"
done
pre_handler_section() { printf 'section\t%%pre\n'; read_pre "$@"; printf 'at\t0\n'; }
post_handler_section() { printf 'section\t%%post\n'; read_post "$@"; printf 'at\t0\n'; }
kickseed "$2"
"""


def _values(words, option, shortest):
    """The values of an option among words, as getopt finds them, which takes shortened names."""
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if len(name) >= shortest and option.startswith(name):
            yield value if equals else [*words, ""][at + 1]


def _places(words):
    """The words of part and logvol that are no options, and no values of these."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            yield word
        elif "=" not in word and not any(flag.startswith(word) for flag in FLAGS):
            next(rest, None)


def is_zone(name):
    """Returns whether there is such a time zone. A name may be longer than that of any file."""
    return ".." not in name and os.path.isfile(ZONES / name.lstrip("/"))


def _words(line):
    """The words of a line, as the shell finds them where no quotation marks count."""
    return re.split(r"[ \t]+", line.strip(" \t"))


def _word(line):
    """The first word of a line; of an empty one, that of a comment."""
    return _words(line)[0] or "#"


def _limits():
    resource.setrlimit(resource.RLIMIT_CPU, (TRY_CPU_SECONDS, TRY_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (TRY_OUTPUT, TRY_OUTPUT))


class Kickstart:
    """The content of the file, and its effect: `answers` by question, and the `text` to serve."""

    def __init__(self, path, tree, plan_answers):
        self.path = Path(path)
        # It is read in a directory of its own.
        self.tree = Path(tree).absolute()
        self.plan_answers = plan_answers
        self.answers = {}
        self._found = {}
        # Our command in the text for a trial; no file can have it.
        self._at = f"at_{secrets.token_hex(16)}"
        if not (self.tree / "kickseed/questions").is_file():
            raise UserError(f"found no {self.tree}/kickseed, by which kickstart files are read; scripts/kickstart-tree makes it")
        try:
            # What is served has no byte order mark.
            text = self.path.read_text(encoding="utf-8").removeprefix(MARK)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or NO_TEXT}") from None
        if "\0" in text:
            raise UsageError(f"cannot read {path}: it is no text, it has a byte of zero")
        # Lines and words are those that the shell finds; Python knows more separators.
        self.lines = text.removesuffix("\n").replace("\r\n", "\n").split("\n")
        self._refuse_foreign()
        served, tried = self._read()
        self.text = "".join(f"{line}\n" for line in served)
        self._try(tried)
        self._check_packages()

    @property
    def complaints(self):
        """The lines that have no effect, a complaint for each."""
        return sorted(self._found, key=lambda text: self._found[text])

    def _refuse_foreign(self):
        """Names what is no kickstart file: what it is, and where it goes."""
        section = None
        for number, line in enumerate(self.lines, 1):
            section = line.split()[0] if re.match(r"%(pre|post|packages|end)\b", line) else section
            # Scripts may have anything in them, but what Cobbler has in its own.
            kinds = FOREIGN if section in (None, "%packages", "%end") else FOREIGN[:1]
            for sign, what, program in kinds:
                if sign.match(line):
                    way = f"have it filled in first ({program}), and give the result" if program else "a kickstart file is expected"
                    raise UsageError(f"{self.path}: line {number}: this is {what}, not a kickstart file: {way}")
        first = next((line for line in self.lines if line.strip() and not line.startswith("#")), "")
        if _PRESEED.match(first):
            raise UsageError(
                f"{self.path} is a preseed file of the Debian installer, not a kickstart file; its lines belong into packaging/cluster/preseed.cfg, "
                "or into an initrd: scripts/inject-initrd --file FILE:/preseed.cfg"
            )

    def _complain(self, number, text):
        complaint = printable(f"line {number}: {_word(self.lines[number - 1])}: {text}" if number else text)
        self._found.setdefault(complaint, number or len(self.lines))

    def _place_of(self, text):
        """The line of %packages that a complaint is about, which comes when all have been read; 0 if it is about none."""
        group = re.search("group '(.*)'", text)
        section = ""
        for number, line in enumerate(self.lines, 1):
            section = _word(line) if _word(line).startswith("%") else section
            words = line.strip()
            if section == "%packages" and (
                (words.startswith("-") and "exclusion" in text) or (words.startswith("@") and "group" in text and (not group or words[1:].strip() == group[1]))
            ):
                return number
        return 0

    def _read(self):
        """The text to serve, and the same with the numbers of its lines for a trial."""
        served, tried, section, ended, unknown = [], [], None, False, False
        at = self._at
        for number, line in enumerate(self.lines, 1):
            word = _word(line)
            known = word in ("%packages", "%pre", "%post")
            if unknown and not known and word != "%ksappend":
                # kickseed would take these lines for more of what stands above.
                unknown = word != "%end"
                continue
            unknown = False
            if known:
                if section is None:
                    # Messages from here on belong to no line.
                    tried.append(f"{at} 0")
                section, ended = word, False
                self._check(number, _SECTION)
                if word == "%packages":
                    self._complain_of_rest(number, "no options here", _words(line)[1:])
            elif word == "%end":
                # kickseed does not know it: a section ends where the next begins.
                ended = section is not None
                continue
            elif word == "%include":
                self._complain(number, "what is in that file is not known before the installation")
                served.append(line)
                continue
            elif word == "%ksappend":
                # One line, wherever it stands.
                self._complain(number, "kickseed knows no such thing; what is in that file has no effect, put it here")
                continue
            elif word.startswith("%") and (ended or section in (None, "%packages")):
                self._complain(number, "kickseed knows no such section; it is left out, to its %end")
                unknown = True
                continue
            elif ended and not word.startswith("#"):
                self._complain(number, f"stands behind the %end of {section}, where kickseed takes it for a part of that; move it before all sections")
            elif section is None and not word.startswith("#"):
                self._check(number, _COMMAND)
                tried.append(f"{at} {number}")
            elif section == "%packages" and not word.startswith(("@", "#")):
                self._complain_of_rest(number, "one name a line", _words(line)[1:])
            served.append(line)
            tried.append(line)
        if section is None:
            tried.append(f"{at} 0")
        self._check_words()
        return served, tried

    def _complain_of_rest(self, number, takes, words):
        """Says which words behind those that kickseed takes have no effect; a comment needs none."""
        comment = next((at for at, word in enumerate(words) if word.startswith("#")), len(words))
        if words[:comment]:
            self._complain(number, f"kickseed takes {takes}, so these have no effect: {' '.join(words[:comment])}")

    def _check_words(self):
        """Checks what kickseed passes on as it is, or passes over without a word."""
        questions = set((self.tree / "kickseed/questions").read_text().split())
        known = {one.rpartition("/")[2] for one in questions if one.startswith("partman/filesystem_")}
        known = known - SHOWN | {"swap", "linux-swap"} if known else FILE_SYSTEMS
        has_lvm = any(one.startswith("partman-lvm/") for one in questions)
        for number, line in enumerate(self.lines, 1):
            word = _word(line)
            if word.startswith("%") and word not in ("%include", "%ksappend"):
                return
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue
            if word in WITHOUT_EFFECT and not any(_values(words, "--opts", 3)):
                self._complain(number, WITHOUT_EFFECT[word])
            elif word in BARE and words != ["zerombr", "yes"]:
                self._complain_of_rest(number, "no options here", words[1:])
            elif word == "lang":
                self._complain_of_rest(number, "one name here", words[2:])
            elif word == "auth" and any(one.startswith("--enablen") for one in words) and "nis" not in (self._mirror() or {"nis"}):
                self._complain(number, "the mirror has no package nis, so NIS has no effect")
            elif word in ("part", "partition", "logvol", "volgroup"):
                self._check_storage(number, words, known, has_lvm)
            elif word == "timezone" and (ZONES / "Etc").is_dir():
                for zone in [one for one in words[1:] if not one.startswith("-")][-1:]:
                    if not is_zone(zone):
                        self._complain(number, f"there is no time zone '{zone}'; expected a name like Europe/Berlin or Etc/UTC")

    def _check_storage(self, number, words, known, has_lvm):
        """Checks what kickseed writes into the recipe for partitions, which it does not look at."""
        places = list(_places(words[1:]))
        if not has_lvm and (words[0] in ("volgroup", "logvol") or any(place.startswith("pv.") for place in places)):
            self._complain(number, "this installer has no LVM, so partitioning fails")
        if words[0] == "volgroup":
            return
        for kind in _values(words, "--fstype", 4):
            if kind not in known and "swap" not in words[1:]:
                known_ones = ", ".join(sorted(known))
                self._complain(number, f"this installer does not make the file system '{kind}', so partitioning fails; it makes {known_ones}")
        for size in (*_values(words, "--size", 4), *_values(words, "--maxsize", 3)):
            if not re.fullmatch("[0-9]+", size):
                self._complain(number, f"found the size '{size}', expected a number of MiB")
        if len(places) == 1 and not places[0].startswith(("/", "pv.", "raid.")) and places[0] != "swap":
            self._complain(number, f"found the mount point '{places[0]}', expected a path, or swap")

    def _check(self, number, only_words):
        if only_words is _COMMAND and self.lines[number - 1].endswith("\\"):
            raise UsageError(f"{self.path}: line {number} ends with a backslash, which joins no lines in a kickstart file; write it in one line")
        if not only_words.fullmatch(self.lines[number - 1]):
            raise UsageError(
                f"{self.path}: line {number} has characters that kickseed would have the shell run, or a quotation mark too few; "
                "put the word into single quotes, or into double ones if there is a $ in it"
            )
        if only_words is _COMMAND:
            self._check_quotes(number)

    def _check_quotes(self, number):
        """Says which words the shell does not leave as they are, though it runs nothing; what they are may be a secret."""
        for piece in _PIECES.findall(self.lines[number - 1]):
            if piece.startswith("#"):
                return
            if piece.startswith("'") and "$" in piece:
                self._complain(
                    number, "kickseed puts a backslash before each $, which single quotes keep there; write that word without quotes or in double ones"
                )
            elif not piece.startswith(("'", '"')) and (found := _REPLACED.search(piece)):
                self._complain(
                    number, f"kickseed has the shell replace the {found[0]} by names of files, where there are such; put the word into single quotes"
                )

    def _try(self, tried):
        """Has kickseed read it, as the installer will."""
        questions = set((self.tree / "kickseed/questions").read_text().split())
        with tempfile.TemporaryDirectory(prefix="kickstart-") as spool:
            file = Path(spool) / "ks.cfg"
            file.write_text("".join(f"{line}\n" for line in tried))
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SPOOL": spool, "SUPPORTEDLOCALES": "/dev/null"}
            environment["HANDLERS"] = str(self.tree / "kickseed/handlers")
            command = ["sh", "-c", _TRY, "sh", self.tree / "kickseed/kickseed.sh", file, self._at]
            status, output = self._run(command, environment, Path(spool))
        # splitlines() would split at other characters as well, which the file may have.
        lines = output.removesuffix("\n").split("\n")
        if status == NO_FUNCTION:
            kickseed = self.tree / "kickseed"
            raise UserError(
                f"found no function {lines[-1]} in {kickseed}, by which kickstart files are read; remove it, and scripts/kickstart-tree makes another"
            )
        number = 0
        sections = {kind: iter([at for at, line in enumerate(self.lines, 1) if _word(line) == kind]) for kind in ("%pre", "%post")}
        answers: dict[int, list[list[str]]] = {}
        for line in lines if output else []:
            what, _, rest = line.partition("\t")
            if what == "at":
                number = int(rest)
            elif what == "section":
                number = next(sections[rest], 0)
            elif what == "answer":
                answers.setdefault(number, []).append(rest.split("\t", 3))
            elif what == "cannot":
                self._complain(number or self._place_of(rest), f"kickseed: {rest}")
            else:
                # An option that its getopt does not know; it goes on without.
                self._complain(number, f"kickseed: {line.removeprefix('getopt: ')}")
        if status is None:
            where = f"line {number}: {_word(self.lines[number - 1])}: " if number else ""
            raise UsageError(
                f"{self.path}: {where}kickseed does not come to an end with that, and in the installer it would hang; write it otherwise, or leave it out"
            )
        if status:
            raise UsageError(f"{self.path}: kickseed cannot read it: {lines[-1] or 'no reason given'}")

        for number, all_given in sorted(answers.items()):
            given = [words for words in all_given if words[1] not in ASKED_BEFORE]
            asked = [words for words in given if words[0] not in ("d-i", "passwd") or words[1] in questions or words[1].startswith("apt-setup/local")]
            others = [words[1] for words in given if words not in asked and not (asked and words[1].startswith(tuple(OURS)))]
            # Where none is asked, one stands for all: kickseed has some by ten names.
            for question in others if asked else others[:1]:
                if number:
                    self._complain(number, f"this installer does not ask '{question}'; it has no effect")
            for _, question, _, value in asked:
                if question.startswith("apt-setup/local") and question.endswith("/repository") and value.endswith(" ./"):
                    self._complain(
                        number, f"becomes the apt source '{value}', which a repository of RPMs is not; for one of Debian's add --distribution and --components"
                    )
                self._check_answer(number, question, value)

    @staticmethod
    def _run(command, environment, spool):
        """Runs kickseed, bounded; returns its exit status, None when it does not end, and what it said."""
        said = spool / "said"
        with open(said, "wb") as out:
            done = subprocess.Popen(
                command,
                env=environment,
                cwd=spool,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_limits,  # noqa: PLW1509 # it makes two system calls and takes no lock
                start_new_session=True,
            )
            try:
                status = done.wait(TRY_SECONDS)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                # The shell's own children too.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(done.pid, signal.SIGKILL)
                done.wait()
        stopped = (signal.SIGXCPU, signal.SIGXFSZ, signal.SIGKILL)
        if status is not None and (-status in stopped or status - 128 in stopped):
            status = None
        text = said.read_bytes().decode("utf-8", "replace")
        return status, text if status is not None else text[: text.rfind("\n") + 1]

    def _check_answer(self, number, question, value):
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

    def _mirror(self):
        """The names of the packages that the mirror has; nothing without a mirror, as when a corpus is looked at."""
        index = next(iter(sorted(self.tree.glob("mirror/dists/*/main/binary-amd64/Packages"))), None)
        return {stanza["Package"] for stanza in deb822.stanzas(index.read_text())} if index else None

    def _check_packages(self):
        known = self._mirror()
        for name in self.answers.get("pkgsel/include", "").split() if known is not None else []:
            if name not in known:
                number = next((number for number, line in enumerate(self.lines, 1) if line.split()[:1] == [name]), 0)
                self._complain(number, "the mirror has no such package; list it in `packages` of the plan")
        if self.answers.get("tasksel/first"):
            self._complain(self._place_of("group"), f"the mirror has no tasks (package groups), so this has no effect: {self.answers['tasksel/first']}")

    def preseed(self, lines):
        """Those lines of an answer file that the kickstart file leaves to us."""
        taken = {question for question, value in self.answers.items() if value or question.startswith("passwd/")} - {"pkgsel/include"}
        for theirs, ours in TOGETHER:
            if theirs in taken or (theirs.startswith("passwd/") and any(question.startswith(theirs) for question in taken)):
                taken.add(ours)
        packages = self.answers.get("pkgsel/include", "")
        lines = [f"{line} {packages}" if " pkgsel/include " in line else line for line in lines]
        return [line for line in lines if line.split()[1] not in taken]
