import BrokerTestSupport
import CoAPGateway
import Testing

/// What a datagram asks for (RFC 7252 §4.2, §4.3).
@Suite struct IncomingDatagramTests {
    private static func meaning(_ bytes: [UInt8], isWhole: Bool = true) -> String {
        bytes.withUnsafeBytes { bytes in
            switch IncomingDatagram(bytes, isWhole: isWhole) {
            case .request(let request): "request \(request.code)"
            case .acknowledgement(let messageID): "acknowledgement \(messageID)"
            case .reset(let messageID): "reset \(messageID)"
            case .rejected(let messageID): "rejected \(messageID)"
            case .tooLarge(let isConfirmable, let messageID, let token):
                "too large \(isConfirmable) \(messageID) \(token)"
            case .ignored: "ignored"
            }
        }
    }

    @Test(
        "RFC 7252 §3, §4.1 to §4.3: what is in error is rejected if it is confirmable, and else passed over",
        arguments: [
            ([0x40, 1, 0, 9], "request 0.01"), ([0x50, 31, 0, 9], "request 0.31"),
            // Other versions, and what is too short.
            ([0x00, 1, 0, 9], "ignored"), ([0x80, 1, 0, 9], "ignored"), ([0xc0, 1, 0, 9], "ignored"),
            ([0x40, 1, 0], "ignored"), ([], "ignored"),
            // Pings, and empty messages that are not.
            ([0x40, 0, 0, 9], "rejected 9"), ([0x50, 0, 0, 9], "ignored"), ([0x41, 0, 0, 9, 1], "rejected 9"),
            // Tokens that are too long or not there, options and payloads that end too early.
            ([0x49, 1, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9], "rejected 9"), ([0x59, 1, 0, 9], "ignored"),
            ([0x44, 1, 0, 9, 1], "rejected 9"), ([0x40, 1, 0, 9, 0xb5, 1], "rejected 9"),
            ([0x40, 1, 0, 9, 0xff], "rejected 9"), ([0x50, 1, 0, 9, 0xff], "ignored"),
            // Classes that mean nothing here, and responses nobody has asked for.
            ([0x40, 0x21, 0, 9], "rejected 9"), ([0x40, 0xc1, 0, 9], "rejected 9"), ([0x40, 0xe1, 0, 9], "rejected 9"),
            ([0x50, 0xe1, 0, 9], "ignored"), ([0x40, 0x45, 0, 9], "rejected 9"), ([0x50, 0x45, 0, 9], "ignored"),
            // Acknowledgements carry a response or nothing, Resets nothing.
            ([0x60, 0, 0, 9], "acknowledgement 9"), ([0x60, 0x45, 0, 9], "acknowledgement 9"),
            ([0x60, 2, 0, 9], "ignored"), ([0x60, 0xe1, 0, 9], "ignored"), ([0x60, 0, 0, 9, 1], "ignored"),
            ([0x70, 0, 0, 9], "reset 9"), ([0x70, 0x45, 0, 9], "ignored"),
            // A critical option nobody knows: by name if it is confirmable, else the message is rejected.
            ([0x40, 1, 0, 9, 0x90], "request 0.01"), ([0x50, 1, 0, 9, 0x90], "rejected 9"),
        ] as [([UInt8], String)]
    )
    func meanings(bytes: [UInt8], expected: String) { #expect(Self.meaning(bytes) == expected) }

    @Test("a request of which only the beginning could be read is known as one that is too large")
    func tooLarge() {
        let long = [UInt8](repeating: 0x61, count: 1_500)
        #expect(Self.meaning([0x42, 2, 0, 9, 7, 8, 0xff] + long, isWhole: false) == "too large true 9 7:8")
        #expect(Self.meaning([0x52, 2, 0, 9, 7, 8, 0xff] + long, isWhole: false) == "too large false 9 7:8")
        #expect(Self.meaning([0x60, 0x45, 0, 9, 0xff] + long, isWhole: false) == "ignored")
        #expect(Self.meaning([0x40, 0x45, 0, 9, 0xff] + long, isWhole: false) == "rejected 9")
        #expect(Self.meaning([0x4f, 2, 0, 9, 0xff] + long, isWhole: false) == "rejected 9")
    }

    @Test("whatever comes has a meaning", arguments: 0..<4)
    func anything(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<20_000 {
            var bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                UInt8.random(in: .min ... .max, using: &generator)
            }
            if bytes.count > 4 { bytes[0] = bytes[0] & 0x3f | 0x40 }
            #expect(!Self.meaning(bytes, isWhole: Bool.random(using: &generator)).isEmpty)
        }
    }
}
