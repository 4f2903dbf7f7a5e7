import BrokerCore
import Foundation
import Glibc
import Testing

@testable import Sluice

/// What a log writes goes through a pipe, as to a collector.
private final class Pipe {
    let reader: Int32
    let writer: Int32

    init() {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0)
        (reader, writer) = (ends[0], ends[1])
    }

    deinit {
        close(reader)
        close(writer)
    }

    /// All lines up to one that satisfies; it waits for them.
    func lines(until isLast: (String) -> Bool) -> [String] {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
            if lines.contains(where: isLast) { return lines }
            let count = read(reader, &buffer, buffer.count)
            guard count > 0 else { return lines }
            text += buffer.prefix(count)
        }
    }
}

@Suite(.timeLimit(.minutes(1))) struct LogTests {
    private func writer(_ pipe: Pipe, capacity: Int = 1_000_000) -> LogWriter {
        LogWriter(pipe.writer, capacity: capacity) { "left out \($0)\n" }
    }

    @Test("lines come in order, and all before the end") func linesComeOrderAll() {
        let pipe = Pipe()
        let log = writer(pipe)
        for place in 0..<100 { log.write("line \(place)\n") }
        #expect(log.flush())
        #expect(pipe.lines { $0 == "line 99" } == (0..<100).map { "line \($0)" })
    }

    @Test("a log that nobody reads keeps nobody waiting, and tells what it has left out when it flows again")
    func logNobodyReadsKeeps() {
        let pipe = Pipe()
        let log = writer(pipe, capacity: 10_000)
        let line = String(repeating: "x", count: 99) + "\n"
        var written = 0
        func write(_ count: Int) {
            for _ in 0..<count { log.write(line) }
            written += count
        }
        // Until the pipe is full, and then more than the buffer holds.
        repeat { write(50) } while log.flush(within: .milliseconds(50))
        write(1_000)
        let lines = pipe.lines { $0.hasPrefix("left out ") }
        let told = lines.compactMap { $0.wholeMatch(of: /left out (\d+)/).flatMap { Int($0.1) } }.reduce(0, +)
        #expect(lines.count(where: { $0.hasPrefix("x") }) + told == written)
        #expect(told >= 850)
        #expect(log.flush())
        log.write("more\n")
        #expect(pipe.lines { $0 == "more" }.last == "more")
    }

    @Test(
        "what is not visible is escaped, in text and in JSON",
        arguments: [
            "\r\n", "\u{0}", "\u{1b}", "\u{7f}", "\u{85}", "\u{9b}", "\u{ad}", "\u{200b}", "\u{200e}", "\u{202e}",
            "\u{2066}",
            "\u{2028}", "\u{2029}", "\u{feff}", "\u{e000}", "\u{378}", "\u{e0041}", "\u{10ffff}",
        ]
    )
    func notVisibleEscapedText(text: String) throws {
        let line = TextLogHandler.line(level: "info", words: "a\(text)b", [("client_id", "c\(text)d")])
        for scalar in text.unicodeScalars { #expect(!line.dropLast().unicodeScalars.contains(scalar)) }
        #expect(line.contains("client_id=\"c\\"))
        let json = JSONLogHandler.line(level: "info", words: "a", ["client_id": "c\(text)d"])
        for scalar in text.unicodeScalars { #expect(!json.dropLast().unicodeScalars.contains(scalar)) }
        let read = try #require(JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        #expect(read["client_id"] as? String == "c\(text)d")
    }

    @Test("what is visible stays as it is") func visibleStays() {
        for text in ["Grüße", "温度", "🌡️".replacing("\u{fe0f}", with: ""), "a/b", "e\u{301}"] {
            #expect(text.visible == text)
            #expect(text.asField == text)
        }
    }

    @Test("a value can't be taken for another field") func valueCantTakenAnother() {
        #expect("a reason=b".asField == "\"a reason=b\"")
        #expect("a\" b".asField == "\"a\\\" b\"")
        #expect("".asField == "\"\"")
        #expect("a\\b".asField == "\"a\\\\b\"")
    }

    @Test("JSON has numbers as numbers, and times with their zone") func jsonNumbersNumbersTimes() throws {
        let json = JSONLogHandler.line(level: "info", words: "listening", ["event": "listener.bound", "port": 1883])
        let read = try #require(JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
        #expect(read["port"] as? Int == 1883)
        #expect(json.contains("\"port\":1883"))
        #expect((read["time"] as? String)?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
        let text = TextLogHandler.line(level: "info", words: "listening", [])
        #expect(
            text.firstMatch(of: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:?\d\d) info sluice: listening\n$/)
                != nil
        )
    }

    @Test("docs EVENTS lists every event and every key") func docsEVENTSListsEvery() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/EVENTS.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        for kind in Event.Kind.allCases {
            let row = "| `\(kind.rawValue)` | `\(kind.level)` | \(kind.meaning) |"
            #expect(text.contains(row), "\(row)")
        }
        for key in Event.Key.allCases {
            let row = "| `\(key.rawValue)` | \(key.meaning) |"
            #expect(text.contains(row), "\(row)")
        }
    }

    /// Lines about clients have fixed words and keys, since what reads them relies on it: only `Sluice` has words of its own.
    @Test("no code that clients reach logs free text") func noCodeClientsReach() throws {
        let sources = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Sources")
        for target in [
            "BrokerCore", "MQTTCodec", "MQTTTransport", "HTTPServer", "HTTPGateway", "CoAPGateway", "Webhooks", "Auth",
            "Storage",
            "Network", "JSONMessages",
        ] {
            let files = FileManager.default.enumerator(
                at: sources.appending(path: target),
                includingPropertiesForKeys: nil
            )
            while let file = files?.nextObject() as? URL {
                guard file.pathExtension == "swift" else { continue }
                let text = try String(contentsOf: file, encoding: .utf8)
                #expect(
                    text.firstMatch(of: /import Logging|\bprint\(|\bLogger\(|standardError/) == nil,
                    "\(file.path())"
                )
            }
        }
    }
}
