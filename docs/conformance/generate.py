#!/usr/bin/env python3
"""Writes docs/CONFORMANCE.md: every numbered statement of MQTT 3.1.1 and 5.0, and the tests that prove it.

    python3 docs/conformance/generate.py            writes it, and says which tests name an unknown statement
    python3 docs/conformance/generate.py --check    fails if it is stale or if there are such tests

The statements are in mqtt-3.1.1.tsv and mqtt-5.0.tsv beside this script. Their column `in 5.0` names the statements of
MQTT 5.0 that say the same together; `does not apply because` is for those that bind no server, or not this one.

Tests name what they prove by tags: `[MQTT-4.4.0-1]` is of MQTT 5.0, `[MQTT-3.9.3-2 of 3.1.1]` or
`[MQTT-3.9.3-2] of 3.1.1` of MQTT 3.1.1. A tag counts in the display name of a @Test or @Suite, in a table whose name
a @Test mentions, in a string of a test's body, and in a comment right above a @Test. Other comments only cite.
"""

import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUTPUT = HERE.parent / "CONFORMANCE.md"
TAG = re.compile(r"\[MQTT-([^\]]*?)( of 3\.1\.1)?\]( of 3\.1\.1)?")
# What a tag may belong to: a test, a suite, or a table of arguments.
ANCHOR = re.compile(
    r"@(?P<kind>Test|Suite)\b|(?:\bstatic (?:let|var)|^(?:(?:file)?private )?let) (?P<table>\w+)", re.MULTILINE
)
DISPLAY_NAME = re.compile(r'\(\s*"((?:[^"\\]|\\.)*)"')
DECLARED_NAME = re.compile(r"\b(?:func|struct|class|enum|actor) +`?([^`({:<]+)")
# The rest of a comment up to the @Test below it.
ABOVE_TEST = re.compile(r"[^\n]*\n(?:\s*//[^\n]*\n)*\s*(?=@Test)")
TESTS_SHOWN = 3

INTRODUCTION = """\
# Conformance

Written by `python3 docs/conformance/generate.py`; change the lists in `docs/conformance/` or the tests, not this page.

Each numbered normative statement of both standards, in our words, with the tests that name it. Sluice is a server:
statements that bind clients only count as proven where a test shows what Sluice does with a client that breaks them.
A statement of MQTT 3.1.1 is also proven by the tests of the statements of MQTT 5.0 that say the same together: one code
path reads and serves the packets of both versions.
"""


def key(identifier):
    """The numbers of an identifier: the standards themselves write 3.1.2-7, 3.1.2.7 and 3-8.3-4."""
    return tuple(int(number) for number in re.findall(r"\d+", identifier))


def load(version):
    """The statements of one standard by key, in its order."""
    lines = (HERE / f"mqtt-{version}.tsv").read_text(encoding="utf-8").splitlines()
    statements = {key(row["id"]): row for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)}
    assert len(statements) == len(lines) - 1, f"mqtt-{version}.tsv has a statement twice"
    assert all(row["binds"] != "client" or row["does not apply because"] for row in statements.values())
    return statements


def name_of(text, anchor):
    """The display name of the test or suite at an anchor, without its tags; else the name it is declared by."""
    name = DISPLAY_NAME.match(text, anchor.end()) or DECLARED_NAME.search(text, anchor.end())
    return TAG.sub("", name[1]).strip().replace('\\"', '"')


class File:
    """A file of tests, or of tables that tests take their arguments from."""

    def __init__(self, path):
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.anchors = list(ANCHOR.finditer(self.text))
        ends = [anchor.start() for anchor in self.anchors[1:]] + [len(self.text)]
        self.spans = list(zip(self.anchors, ends))
        self.tests = [(anchor, self.text[anchor.start() : end]) for anchor, end in self.spans if anchor["kind"] == "Test"]

    def test_of(self, table):
        """The name of the first test that mentions a table."""
        test = next((test for test, body in self.tests if re.search(rf"\b{table}\b", body)), None)
        return test and self.name(test)

    def name(self, anchor):
        return f"{self.path.parent.name}/{self.path.stem} › {name_of(self.text, anchor)}"

    def anchor_at(self, place, end):
        """The test, suite or table that has what stands at a place."""
        if "//" not in self.text[self.text.rfind("\n", 0, place) + 1 : place]:
            return next((anchor for anchor, last in self.spans if anchor.start() <= place < last), None)
        above = ABOVE_TEST.match(self.text, end)
        return next((anchor for anchor in self.anchors if above and anchor.start() == above.end()), None)


def proofs_in(file, files):
    """Yields (tag match, line number, test name or None if the tag proves nothing) of one file."""
    for tag in TAG.finditer(file.text):
        owner, name = file.anchor_at(tag.start(), tag.end()), None
        if owner is not None and owner["table"]:
            # A file without tests has tables for those of other files.
            name = next(filter(None, (other.test_of(owner["table"]) for other in ([file] if file.tests else files))), None)
        elif owner is not None:
            name = file.name(owner)
        yield tag, file.text.count("\n", 0, tag.start()) + 1, name


def scan(lists):
    """The tests of each statement, by version and key, and what is wrong with tags."""
    proofs, problems = {version: defaultdict(list) for version in lists}, []
    files = [File(path) for path in sorted((ROOT / "Tests").rglob("*.swift"))]
    for file in files:
        for tag, line, name in proofs_in(file, files):
            version = "3.1.1" if tag[2] or tag[3] else "5.0"
            statement = key(tag[1])
            if statement not in lists[version]:
                hint = "; of 3.1.1? then say so" if version == "5.0" and statement in lists["3.1.1"] else ""
                problems.append(f"{file.path.relative_to(ROOT)}:{line}: {tag[0]} is not in MQTT {version}{hint}")
            elif name is not None and name not in proofs[version][statement]:
                proofs[version][statement].append(name)
    return proofs, problems


def tests_of(version, statement, row, proofs):
    """The tests that prove a statement: its own, then those of the statements of 5.0 if all of these have some."""
    tests = list(proofs[version][statement])
    same = [proofs["5.0"][key(identifier)] for identifier in (row.get("in 5.0") or "").split()]
    if all(same):
        # One test of each statement first, so that the few shown speak for all of them.
        tests += [test[0] for test in same] + [name for test in same for name in test[1:]]
    return list(dict.fromkeys(tests))


def section(version, statements, proofs):
    """What there is to say of one standard: a summary and a table."""
    proven, inapplicable, lines = 0, 0, []
    for statement, row in statements.items():
        tests = [test.replace("|", "\\|") for test in tests_of(version, statement, row, proofs)]
        if tests:
            proven += 1
            more = len(tests) - TESTS_SHOWN
            cell = "<br>".join(tests[:TESTS_SHOWN] + ([f"and {more} more"] if more > 0 else []))
        elif row["does not apply because"]:
            inapplicable += 1
            cell = f"*does not apply: {row['does not apply because']}*"
        else:
            cell = "**no test yet**"
        lines.append(f"| {row['id']} | {row['in short']} | {cell} |")
    left = len(lines) - proven - inapplicable
    summary = f"MQTT {version}: {proven} of {len(lines)} proven, {inapplicable} do not apply, {left} open"
    heading = f"## MQTT {version}\n\n| statement | in short | proven by |\n| --- | --- | --- |\n"
    return summary, heading + "\n".join(lines) + "\n"


def main():
    lists = {version: load(version) for version in ("3.1.1", "5.0")}
    proofs, problems = scan(lists)
    sections = [section(version, statements, proofs) for version, statements in lists.items()]
    overview = "".join(f"- {summary}.\n" for summary, _ in sections)
    page = "\n".join([INTRODUCTION, overview, *(text for _, text in sections)])
    is_check = "--check" in sys.argv[1:]
    if not is_check:
        OUTPUT.write_text(page, encoding="utf-8")
    elif not OUTPUT.exists() or OUTPUT.read_text(encoding="utf-8") != page:
        problems.append("docs/CONFORMANCE.md is stale: run python3 docs/conformance/generate.py")
    print(overview + "\n".join(problems))
    return 1 if is_check and problems else 0


if __name__ == "__main__":
    sys.exit(main())
