import BrokerTestSupport
import CoAPGateway
import Testing

/// Handshake messages of DTLS in fragments (RFC 6347 §4.2.3).
@Suite struct HandshakeMessagesTests {
    private func number(_ value: Int, _ bytes: Int) -> [UInt8] {
        (0..<bytes).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    /// A fragment of a message; the whole of it unless told otherwise.
    private func fragment(
        _ sequence: Int,
        _ body: [UInt8],
        type: UInt8 = 11,
        at offset: Int = 0,
        count: Int? = nil,
        length: Int? = nil
    ) -> [UInt8] {
        let count = count ?? body.count - offset
        return [type] + number(length ?? body.count, 3) + number(sequence, 2) + number(offset, 3) + number(count, 3)
            + body[offset..<min(offset + count, body.count)]
    }

    private func take(_ messages: inout HandshakeMessages, _ bytes: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBytes { messages.take($0) }
    }

    private let body = (0..<100).map { UInt8($0) }

    @Test(
        "messages come out whole and in order, however they are cut, doubled and mixed",
        arguments: 1...20 as ClosedRange<UInt64>
    )
    func order(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var messages = HandshakeMessages(most: 4_096)
        let bodies = (0..<5).map { _ in
            (0..<Int.random(in: 0...600, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
        }
        let expected = bodies.enumerated().flatMap { fragment(7 + $0, $1, type: UInt8(10 + $0)) }
        // The first one says where the client's numbers begin.
        var read = take(&messages, fragment(7, bodies[0], type: 10))
        for _ in 0..<400 where read != expected {
            let place = Int.random(in: 0..<5, using: &generator)
            let offset = Int.random(in: 0...bodies[place].count, using: &generator)
            let count = Int.random(in: 0...(bodies[place].count - offset), using: &generator)
            read += take(
                &messages,
                fragment(7 + place, bodies[place], type: UInt8(10 + place), at: offset, count: count)
            )
            let second = fragment(
                7 + place,
                bodies[place],
                type: UInt8(10 + place),
                count: min(bodies[place].count, offset + count)
            )
            read += take(&messages, second)
        }
        for (place, body) in bodies.enumerated() {
            read += take(&messages, fragment(7 + place, body, type: UInt8(10 + place)))
        }
        #expect(read == expected)
    }

    @Test("a fragment that contradicts another one, or itself, changes nothing")
    func contradictions() {
        var messages = HandshakeMessages(most: 4_096)
        _ = take(&messages, fragment(0, body, count: 1))
        let wrong = [
            fragment(0, body, at: 1, length: 101), fragment(0, body, type: 12, at: 1),
            fragment(0, body, count: 99, length: 98),
            fragment(0, body, length: 0x99_0000), fragment(0, body, at: 2), Array(fragment(0, body, at: 1).dropLast()),
            fragment(0, body, count: 0), fragment(9, body), fragment(60_000, body),
        ]
        for bytes in wrong { #expect(take(&messages, bytes).isEmpty, "\(bytes)") }
        #expect(take(&messages, fragment(0, body, at: 1)) == fragment(0, body))
        #expect(take(&messages, fragment(0, body)).isEmpty)
    }

    @Test("what is kept is bounded")
    func bounds() {
        var messages = HandshakeMessages(most: 200)
        _ = take(&messages, fragment(0, [], type: 1))
        for sequence in 2...6 { #expect(take(&messages, fragment(sequence, body)).isEmpty) }
        // There was room for two.
        let expected = (1...3).flatMap { fragment($0, $0 == 1 ? [] : body) }
        #expect(take(&messages, fragment(1, [])) == expected)
    }
}
