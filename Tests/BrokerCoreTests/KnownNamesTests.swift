import BrokerCore
import Testing

@Suite struct KnownNamesTests {
    @Test(
        "a name that is not known is told what was meant, or all there are",
        arguments: [
            ("retian", "did you mean retain?"), ("max_packet_size", "did you mean maximum_packet_size?"),
            ("qso", "did you mean qos?"), ("colour", "known are maximum_packet_size, qos, retain"), ("x", "known are"),
            ("", "known are"), (String(repeating: "r", count: 10_000), "known are"),
        ]
    )
    func hints(name: String, hint: String) {
        let known: KnownNames = ["retain", "qos", "maximum_packet_size"]
        #expect(known.hint(for: name).hasPrefix(hint))
    }

    @Test("names are compared by their bytes")
    func bytes() {
        let known: KnownNames = ["\u{e9}"]
        #expect(known.contains("\u{e9}"))
        #expect(!known.contains("e\u{301}"))
    }
}
