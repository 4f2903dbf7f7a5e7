#!/usr/bin/env python3
"""Prints the figures of the code: sizes, comments, access, parameters, the types with the most state. `make measure`."""

import collections
import re
import sys

from sources import ROOT, SOURCES, TESTS, read, swift_files


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0


def comment_shares(files):
    """Percent of lines that are doc comments, and other comments."""
    doc = other = total = 0
    for file in files:
        for line in file.lines:
            text = line.strip()
            total += 1
            doc += text.startswith("///")
            other += text.startswith("//") and not text.startswith("///") and not text.startswith("// MARK")
    return 100 * doc / total, 100 * other / total


def per_kloc(files, pattern):
    lines = sum(len(file.lines) for file in files)
    found = sum(len(re.findall(pattern, file.text, re.MULTILINE)) for file in files)
    return 1000 * found / lines, found


def types(files):
    """(name, lines, files, stored properties) of each type with its extensions inside its own target, most stored first."""
    merged = collections.defaultdict(lambda: [0, set(), 0])
    declared = {(file.target, type.name) for file in files for type in file.types if not type.is_extension}
    for file in files:
        for type in file.types:
            key = (file.target, type.name)
            if key not in declared:
                continue
            entry = merged[key]
            entry[0] += type.lines
            entry[1].add(file.name)
            entry[2] += type.stored
    rows = [(name, lines, len(names), stored) for (_, name), (lines, names, stored) in merged.items()]
    return sorted(rows, key=lambda row: (-row[3], -row[1]))


def row(name, files, tests):
    lines = [len(file.lines) for file in files]
    functions = [function.lines for file in files for function in file.functions]
    parameters = [function.parameters for file in files for function in file.functions]
    doc, other = comment_shares(files)
    opened, _ = per_kloc(files, r"^\s*(@\w+(\([^)]*\))?\s+)*(public|package|open)\b(?! import)")
    unsafe, _ = per_kloc(files, r"\b(unsafe|Unsafe)\w*")
    imports = [len(file.imports) for file in files]
    ratio = f"{sum(tests) / sum(lines):.2f}" if tests is not None else ""
    unchecked = sum(file.text.count("@unchecked Sendable") for file in files)
    isolated = sum(file.text.count("nonisolated(unsafe)") for file in files)
    print(
        f"| {name} | {len(files)}; {percentile(lines, 0.5)} / {percentile(lines, 0.9)} / {max(lines)} "
        f"| {len(functions)}; {percentile(functions, 0.5)} / {percentile(functions, 0.9)} / {percentile(functions, 0.99)}"
        f" / {max(functions, default=0)} | {doc:.0f} / {other:.1f} | {ratio} | {opened:.0f} "
        f"| {unsafe:.1f}; {unchecked}; {isolated} | {percentile(imports, 0.5)} / {max(imports)} "
        f"| {percentile(parameters, 0.99)} / {max(parameters, default=0)} |"
    )


def main():
    files = read(swift_files(SOURCES))
    tests = {path: path.read_text().count("\n") for path in swift_files(TESTS)}
    print(
        "| | files; lines median / 90 % / largest | functions; lines median / 90 % / 99 % / longest | doc / other comments, % "
        "| tests : sources | public and package in 1,000 lines | unsafe words in 1,000 lines; @unchecked; nonisolated(unsafe) "
        "| imports a file, median / most | parameters 99 % / most |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    row("**all**", files, list(tests.values()))
    for target in sorted({file.target for file in files}):
        of_target = [lines for path, lines in tests.items() if path.relative_to(TESTS).parts[0] == f"{target}Tests"]
        row(target, [file for file in files if file.target == target], of_target)
    print("\n| type | lines | files | stored properties |\n|---|---|---|---|")
    for name, lines, count, stored in types(files)[:20]:
        print(f"| {name} | {lines} | {count} | {stored} |")
    print("\n| longest functions | lines | parameters |\n|---|---|---|")
    functions = [(function, file) for file in files for function in file.functions]
    for function, file in sorted(functions, key=lambda pair: -pair[0].lines)[:8]:
        print(f"| {function.name} ({file.name}:{function.line}) | {function.lines} | {function.parameters} |")
    print("\n| most parameters | |\n|---|---|")
    for function, file in sorted(functions, key=lambda pair: -pair[0].parameters)[:12]:
        print(f"| {function.name} ({file.name}:{function.line}) | {function.parameters} |")


if __name__ == "__main__":
    sys.exit(main())
