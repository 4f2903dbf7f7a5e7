#!/usr/bin/env python3
"""Names that clients choose are compared, looked up and taken apart by their bytes (ExactText.swift), never as String does it:
to String, canonically equivalent characters are the same, and a separator with a combining mark behind it is no separator.

Refuses what does it by Character, in all sources but those listed below, which handle no text of a client's."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2] / "Sources"

# Files, or folders, and what text they handle.
OUR_OWN = {
    "Sluice/Configuration/": "the operator's file; keys are ASCII",
    "Sluice/APIKeyCommand.swift": "a file of our own format",
    "Sluice/DeviceKeys.swift": "paths",
    "Sluice/Logging/": "keys of log lines",
    "RocksDBStorage/": "paths, and the words of RocksDB",
    "BrokerCore/Statistics/SystemTopics.swift": "our own topics",
    "BrokerCore/Retained/RetainedTopics.swift": "our own topics",
    "CoreRuntime/Listening/SocketAddress+Clients.swift": "addresses as the system writes them",
    "BrokerCore/Admission/ClientNetwork.swift": "addresses as the system writes them",
    "HTTPServer/Requests/HostNames.swift": "host names, which are ASCII",
    "HTTPServer/Requests/OriginPolicy.swift": "host names, which are ASCII",
    "HTTPGateway/Publish/EntityTag.swift": "tags of our own making, which are hexadecimal",
    "HTTPGateway/Access/AccessTokens.swift": "tokens of our own making",
    "HTTPGateway/Subscribe/Polls.swift": "tokens of our own making",
    "HTTPGateway/Requests/MediaType.swift": "media types; nothing is found by them",
    "HTTPServer/WebSocket/WebSocketHandshake.swift": "tokens of HTTP",
    "Auth/Passwords/PasswordHash.swift": "a hash, which is ASCII",
    "Auth/SCRAM/ScramKeys.swift": "a hash, which is ASCII",
    "Auth/Tokens/TokenKeys.swift": "fingerprints of our own making",
    "Auth/Tokens/TokenKeys+KeySet.swift": "fingerprints, and words of RFC 7517",
    "NetworkListeners/Proxies/TrustedProxies.swift": "addresses, which are ASCII",
    "NetworkListeners/TLS/TLSHandshake.swift": "the words of BoringSSL",
    "Webhooks/WebhookURL.swift": "the operator's URL, which is ASCII",
    "Webhooks/WebhookSignature.swift": "the operator's secret",
    "MQTTCodec/ExactText.swift": "the right way",
}

RULES = [
    (r'(?<!utf8)(?<!unicodeScalars)\.split\(separator: "', "split by Character: pieces(between:), or parted(at:)"),
    (r'\.(first|last)Index\(of: "', "searched by Character: parted(at:) or partedLast(at:)"),
    (r"\.has(Prefix|Suffix)\(", "compared as String: begins(with:) or ends(with:)"),
    (r"components\(separatedBy", "split by Character: pieces(between:)"),
    (r'\$0 [!=]= "', "compared as Character: bytes of utf8"),
    (r'\.(first|last) [!=]= "', "compared as Character: utf8.first, utf8.last"),
    (r"\[(String|Substring): |Set<(String|Substring)>|Dictionary<String", "looked up as String: ExactText"),
    (
        r"\b(clientID|userName|(?<!message\.)topic|filter|identity|password|method|shareName)(\.string)?\??\)? [!=]= (?!nil|UInt8|\.|0|1\b)",
        "compared as String: isSame(as:)",
    ),
]


def main() -> int:
    found = 0
    unused = set(OUR_OWN)
    for path in sorted(ROOT.rglob("*.swift")):
        name = path.relative_to(ROOT).as_posix()
        entry = next((key for key in OUR_OWN if name == key or (key.endswith("/") and name.startswith(key))), None)
        for number, line in enumerate(path.read_text().split("\n"), 1):
            code = line.split("//")[0] if line.lstrip().startswith("//") else line
            for pattern, words in RULES:
                if not re.search(pattern, code):
                    continue
                if entry is not None:
                    unused.discard(entry)
                    continue
                found += 1
                print(f"Sources/{name}:{number}: {words}")
    for entry in sorted(unused - {"MQTTCodec/ExactText.swift"}):
        found += 1
        print(f"{pathlib.Path(__file__).name}: {entry} is listed for nothing")
    return 1 if found else 0


sys.exit(main())
