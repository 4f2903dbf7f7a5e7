import BrokerTestSupport
import CoAPGateway
import Testing

/// Messages in a stream of bytes (RFC 8323 §3.2).
@Suite struct StreamFramingTests {
    /// Puts bytes in and takes messages out, in the order and size that `pieces` says.
    private func messages(in bytes: [UInt8], pieces: [Int], largest: Int = 100_000) -> [[UInt8]] {
        var framing = StreamFraming()
        var messages: [[UInt8]] = []
        var left = bytes[...]
        for size in pieces + [bytes.count] {
            framing.append(Array(left.prefix(size)))
            left = left.dropFirst(size)
            while case .message = framing.next(largest: largest) { messages.append(framing.withMessage { Array($0) }) }
            framing.compact()
        }
        #expect(!framing.hasPart && framing.footprint == 0)
        return messages
    }

    private static func message(_ payload: Int, token: [UInt8] = []) -> [UInt8] {
        RawMessage(
            .confirmable,
            Method.post,
            0,
            token: token,
            payload: String(repeating: "x", count: payload)
        ).frame
    }

    @Test("messages of any length are found wherever the stream is cut")
    func cutAnywhere() {
        // Each form of the length, below, at and above its bounds.
        let wanted = [0, 11, 12, 13, 267, 268, 269, 1_000].enumerated()
            .map { Self.message($0.element, token: Array(repeating: 7, count: $0.offset)) }
        let bytes = wanted.flatMap { $0 }
        for place in 0..<bytes.count { #expect(messages(in: bytes, pieces: [place]) == wanted) }
        #expect(messages(in: bytes, pieces: Array(repeating: 1, count: bytes.count)) == wanted)
    }

    @Test("a length in four bytes")
    func longest() {
        let payload = [UInt8](repeating: 0, count: 70_000)
        let length = UInt32(70_001 - 65_805)
        let bytes = [0xf1] + withUnsafeBytes(of: length.bigEndian) { Array($0) } + [2, 9, 0xff] + payload
        #expect(messages(in: bytes, pieces: [1, 1, 1, 1, 1, 1, 60_000]) == [bytes])
    }

    @Test("a message that is too large is told by its head, and passed over")
    func tooLarge() throws {
        var framing = StreamFraming()
        let large = Self.message(600, token: [1, 2])
        framing.append(large[..<5])
        guard case .incomplete = framing.next(largest: 500) else { throw Unexpected() }
        framing.append([large[5]])
        guard case .tooLarge(.post, let token) = framing.next(largest: 500) else { throw Unexpected() }
        #expect(token == Token([1, 2]) && framing.hasPart)
        framing.append(large[6..<300])
        guard case .incomplete = framing.next(largest: 500) else { throw Unexpected() }
        #expect(framing.part == 300)
        framing.compact()
        #expect(framing.footprint == 0)
        framing.append(large[300...] + Self.message(3))
        guard case .message = framing.next(largest: 500) else { throw Unexpected() }
        #expect(framing.withMessage { Array($0) } == Self.message(3))
    }

    @Test("a length of 4 GiB costs nothing")
    func announced() throws {
        var framing = StreamFraming()
        framing.append([0xf0, 0xff, 0xff, 0xff, 0xff, 2])
        guard case .tooLarge = framing.next(largest: 1_152) else { throw Unexpected() }
        framing.append([UInt8](repeating: 0, count: 100_000))
        guard case .incomplete = framing.next(largest: 1_152) else { throw Unexpected() }
        framing.compact()
        #expect(framing.footprint == 0 && framing.part == 100_006)
    }

    @Test("the first byte tells a token that is too long", arguments: 9...15 as ClosedRange<UInt8>)
    func reserved(length: UInt8) throws {
        var framing = StreamFraming()
        framing.append([0xd0 | length])
        guard case .malformed = framing.next(largest: 1_152) else { throw Unexpected() }
    }

    private struct Unexpected: Error {}
}

extension StreamFraming {
    mutating func append(_ bytes: some Collection<UInt8>) { Array(bytes).withUnsafeBytes { append($0) } }
}
