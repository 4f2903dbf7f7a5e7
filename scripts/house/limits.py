#!/usr/bin/env python3
"""The limits of the house: lines of files and functions, parameters, stored properties, lines written twice, imports."""

import collections
import re
import sys

from sources import ROOT, SOURCES, TESTS, Type, read, swift_files

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 6
STORED_PROPERTIES = 12
REPEATED_LINES = 6

#: Functions that take more parameters, and why: each is one packet, record or configuration, written out once.
MORE_PARAMETERS = {
}

#: Types that only hold values (limits, counters, the fields of a packet, a record or a configuration).
RECORDS = {
}

#: Types with more stored properties than they should have, and how many: they may lose some and gain none.
TO_BE_SPLIT = {
}


def lengths(files):
    for file in files:
        if len(file.lines) > FILE_LINES:
            yield f"{file.name}: {len(file.lines)} lines; a file has {FILE_LINES} at most"
        for function in file.functions:
            if function.lines > FUNCTION_LINES:
                yield f"{file.name}:{function.line}: {function.name} has {function.lines} lines, {FUNCTION_LINES} are the most"


def test_lengths():
    for path in swift_files(TESTS):
        lines = path.read_text().count("\n")
        if lines > FILE_LINES:
            yield f"{path.relative_to(ROOT)}: {lines} lines; a file has {FILE_LINES} at most"


def test_names():
    """A test's name is a display name, `@Test("…")`; one style, so that they can be listed and searched."""
    for path in swift_files(TESTS):
        for number, line in enumerate(path.read_text().split("\n"), 1):
            if re.search(r"\bfunc `", line):
                yield f"{path.relative_to(ROOT)}:{number}: a raw identifier; write @Test(\"…\") func name()"


def parameters(files):
    unused = set(MORE_PARAMETERS)
    for file in files:
        for function in file.functions:
            if function.parameters <= PARAMETERS:
                continue
            name = function.name.split("(")[0]
            if name in MORE_PARAMETERS:
                unused.discard(name)
                continue
            yield f"{file.name}:{function.line}: {function.name} takes {function.parameters} parameters, {PARAMETERS} are the most"
    for name in sorted(unused):
        yield f"limits.py: MORE_PARAMETERS names {name}, which takes no more than others"


def stored_properties(files):
    declared = {(file.target, type.name) for file in files for type in file.types if not type.is_extension}
    merged = collections.defaultdict(lambda: Type("", 0, 0, 0, 0, False))
    for file in files:
        for type in file.types:
            if (file.target, type.name) in declared:
                merged[(file.target, type.name)].stored += type.stored
    unused = RECORDS | TO_BE_SPLIT.keys()
    for (target, name), type in sorted(merged.items()):
        if type.stored <= STORED_PROPERTIES:
            continue
        unused = unused - {name}
        if name in RECORDS:
            continue
        most = TO_BE_SPLIT.get(name, STORED_PROPERTIES)
        if type.stored > most:
            yield f"{target}: {name} has {type.stored} stored properties, {most} are the most"
        elif type.stored < most:
            yield f"limits.py: {name} has {type.stored} stored properties now: TO_BE_SPLIT can say so"
    for name in sorted(unused):
        yield f"limits.py: {name} is listed and has no more stored properties than others"


def repeated(files):
    """Runs of equal lines that stand twice; imports, comments and lines without a word count for nothing."""
    seen = {}
    for file in files:
        kept = []
        for number, line in enumerate(file.lines, 1):
            text = " ".join(line.split())
            if not re.search(r"\w", text) or re.match(r"(//|import |package import |public import )", text):
                continue
            kept.append((number, text))
        skip_until = 0
        for index in range(len(kept) - REPEATED_LINES + 1):
            run = tuple(text for _, text in kept[index : index + REPEATED_LINES])
            number = kept[index][0]
            first = seen.setdefault(run, (file.name, number))
            if first != (file.name, number) and index >= skip_until:
                skip_until = index + REPEATED_LINES
                yield f"{file.name}:{number}: {REPEATED_LINES} lines that stand at {first[0]}:{first[1]}, too"


def imports(files):
    """What a target imports of ours must stand in the table of docs/ARCHITECTURE.md."""
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    table = text.split("## Targets")[1].split("\n## ")[0]
    allowed = {}
    for row in table.split("\n"):
        cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("`"):
            allowed[cells[0].strip("`")] = set(re.findall(r"\w+", cells[2]))
    targets = {path.name for path in SOURCES.iterdir() if path.is_dir()}
    for target in sorted(target for target in targets if not target.startswith("C") or target in allowed):
        if target not in allowed:
            yield f"docs/ARCHITECTURE.md: no row for the target {target}"
    for target in sorted(set(allowed) - targets):
        yield f"docs/ARCHITECTURE.md: a row for {target}, which is no target"
    for file in files:
        known = allowed.get(file.target, set())
        for name in file.imports:
            if name in targets and "all" not in known and name not in known:
                yield f"{file.name}: imports {name}, which the table of docs/ARCHITECTURE.md does not allow {file.target}"


def main():
    files = read(swift_files(SOURCES))
    found = [
        *lengths(files),
        *test_lengths(),
        *test_names(),
        *parameters(files),
        *stored_properties(files),
        *repeated(files),
        *imports(files),
    ]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
