#!/usr/bin/env python3
"""The limits of the house: lines of files and functions, parameters, stored properties, lines written twice, imports, the core."""

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
    "Broker.init": "the ports and limits of a broker",
    "Broker.deliver": "one delivery, on the hot path: a record of it would be copied for each subscriber",
    "Broker.deliverKept": "the same",
    "PacketStream.holdPublish": "the fields of a PUBLISH, borrowed",
    "PacketStream.appendPublish": "the fields of a PUBLISH, borrowed",
    "PacketStream.appendAliased": "the fields of a PUBLISH, borrowed",
    "PacketStream.write": "the fields of a PUBLISH, borrowed",
    "PacketEncoder.writePublish": "the fields of a PUBLISH, borrowed",
    "WireMessage.write": "the fields of a CoAP message, borrowed",
    "Connect.init": "the fields of a packet",
    "Publish.init": "the fields of a packet",
    "ConnectRequest.init": "the fields of a CONNECT",
    "Delivery.init": "the fields of a delivery",
    "Message.init": "the fields of a message",
    "MessageSink.init": "what an adapter takes, and its three callbacks",
    "Credentials.init": "what a client shows of itself",
    "StoredDestination.init": "the fields of a record",
    "SessionRecord.init": "the fields of a record",
    "CoAPListener.init": "what the composition shares among listeners",
    "HTTPListener.init": "what the composition shares among listeners",
    "Gateway.init": "what the composition shares among listeners",
    "MQTTChannelHandler.init": "what a connection is made with",
    "AccessReload.init": "what SIGHUP reads again",
    "Composition.makeListener": "what the composition shares among listeners",
}

#: Files with lines that must stand twice, and why.
REPEATED = {
    "Sources/MQTTCodec/Packets/Unsuback.swift": "SUBACK and UNSUBACK have the same fields (MQTT 5.0 §3.9, §3.11)",
    "Sources/Sluice/Logging/LogHandlers.swift": "what LogHandler requires of each handler",
    "Sources/RocksDBStorage/RocksDBDatabase.swift": "two functions of C with the same arguments",
}

#: Types that only hold values (limits, counters, the fields of a packet, a record or a configuration).
RECORDS = {
    "Limits", "Statistics", "CoAPListener.Configuration", "HTTPListener.Configuration", "Server.Configuration", "WebhookOptions", "StoreInspection",
    "CoAPRequest", "CoAPResponse", "RequestQuery", "ConnackProperties",
}

#: Types with more stored properties than they should have, and how many: they may lose some and gain none.
TO_BE_SPLIT = {
    "Journal": 14,
    "MessageSink": 14,
    "PacketStream": 15,
    "VirtualConnection": 23,
    "CoAPClient": 15,
    "JSONHandler": 17,
    "RequestHandler": 22,
    "MQTTChannelHandler": 13,
    "Webhook": 14,
}


#: What the core may import, and words of locks, clocks, concurrency and event loops, which it may not use.
CORE_IMPORTS = {"MQTTCodec", "NIOCore", "DequeModule", "HeapModule", "Glibc"}
NOT_IN_CORE = r"\b(NIOLock\w*|Mutex|Atomic\w*|EventLoop\w*|Channel\w*|Scheduled|SocketAddress|DispatchQueue|Task|async|await)\b|\.now\(\)"


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
    """Runs of equal lines that stand twice; imports, comments, lists of parameters and lines without a word count for nothing."""
    seen = {}
    for file in files:
        kept = []
        for number, line in enumerate(file.lines, 1):
            text = " ".join(line.split())
            if not re.search(r"\w", text) or re.match(r"(//|import |package import |public import )|(_ )?\w+( \w+)?: [^{}]*,?$", text):
                continue
            kept.append((number, text))
        skip_until = 0
        for index in range(len(kept) - REPEATED_LINES + 1):
            run = tuple(text for _, text in kept[index : index + REPEATED_LINES])
            number = kept[index][0]
            first = seen.setdefault(run, (file.name, number))
            if first != (file.name, number) and index >= skip_until and file.name not in REPEATED:
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


def core(files):
    """`BrokerCore` is plain synchronous code: time, threads and sockets are outside."""
    for file in files:
        if file.target != "BrokerCore":
            continue
        for name in sorted(set(file.imports) - CORE_IMPORTS):
            yield f"{file.name}: imports {name}, which is not for the core"
        for number, line in enumerate(file.lines, 1):
            word = re.search(NOT_IN_CORE, line.split("//")[0])
            if word:
                yield f"{file.name}:{number}: {word[0]} is not for the core"


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
        *core(files),
    ]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
