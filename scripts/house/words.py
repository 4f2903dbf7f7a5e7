#!/usr/bin/env python3
"""Words that make a reader stop, in sources, documents and messages: riddles, metaphors and old-fashioned turns of phrase."""

import re
import sys

from sources import ROOT, SOURCES, swift_files

#: What is searched for, in any case, and what to write.
BANNED = {
    r"\blest\b": "so that … not",
    r"\bfarewell\b": "the RFC's noun: final notification, DISCONNECT, close_notify",
    r"\blast words\b": "final packets, final notification",
    r"\bthought better of\b": "cancelled",
    r"\bin its turn\b": "in order, later",
    r"\bis told of\b": "is told about, learns",
    r"\bnobody is two\b": "a client has one identity",
    r"\bguardian\b": "say what it checks",
    r"\bcrowd": "many clients",
    r"\bsees the door\b": "gets the entry link",
    r"\bas it were\b": "say what it is",
    r"\bso to speak\b": "say what it is",
    r"\b(utilize|leverage)\b": "use",
    r"\b(simply|obviously|of course)\b": "leave it out",
    r"\bhereby\b|\bthereby\b|\bthereof\b": "say by what",
}


def documents():
    yield from [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "Makefile"]
    yield from sorted((ROOT / "docs").glob("*.md"))
    yield from sorted((ROOT / "gateway-configs").glob("*.yaml"))


def main():
    found = 0
    for path in [*swift_files(SOURCES), *documents()]:
        for number, line in enumerate(path.read_text().split("\n"), 1):
            for pattern, advice in BANNED.items():
                for match in re.finditer(pattern, line, re.IGNORECASE):
                    found += 1
                    print(f"{path.relative_to(ROOT)}:{number}: “{match[0]}”: write {advice}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
