import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct FixedHeaderTests {
    /// MQTT 5.0 table 1-1, and one value between.
    private static let lengths: [(String, Int)] = [
        ("00", 0), ("7f", 127), ("8001", 128), ("ff7f", 16_383), ("808001", 16_384), ("ffff7f", 2_097_151),
        ("80808001", 2_097_152), ("ffffff7f", 268_435_455), ("c102", 321),
    ]

    @Test("MQTT 5.0 §1.5.5 reads every length of a Remaining Length", arguments: lengths)
    func remainingLength(_ words: String, _ value: Int) throws {
        let bytes = wire("30 \(words)")
        let header = try #require(try parse(bytes))
        #expect(header.remainingLength == value)
        #expect(header.headerLength == bytes.readableBytes)
        #expect(header.type == .publish)
        for length in 0..<bytes.readableBytes {
            #expect(try parse(bytes.getSlice(at: 0, length: length) ?? ByteBuffer()) == nil)
        }
    }

    @Test(
        "[MQTT-1.5.5-1] refuses lengths in more bytes than they need",
        arguments: ["8000", "ff00", "808000", "80808000"]
    )
    func overlong(_ words: String) {
        let bytes = wire("c0 \(words)")
        let error = #expect(throws: MalformedPacket.self) {
            try parse(bytes)
        }
        #expect(error?.reason == .malformedPacket)
    }

    @Test("MQTT 5.0 §1.5.5 refuses a Remaining Length of five bytes before it has arrived")
    func fiveBytes() {
        #expect(failure(wire("30 80808080")) == .malformedPacket)
        #expect(failure(wire("30 ffffffff7f")) == .malformedPacket)
    }

    @Test("[MQTT-3.2.2-15] refuses a packet that is too large as soon as its length is known")
    func tooLarge() throws {
        var decoder = PacketDecoder(role: .server, version: .v5, maximumPacketSize: 100)
        var fits = wire("30 62")
        #expect(try decoder.decode(from: &fits) == nil)
        var large = wire("30 63")
        let error = #expect(throws: MalformedPacket.self) { try decoder.decode(from: &large) }
        #expect(error?.reason == .packetTooLarge)
    }

    @Test("[MQTT-2.1.3-1] takes just the flags each type has", arguments: UInt8.min...UInt8.max)
    func flags(_ first: UInt8) throws {
        let type = first >> 4
        let flags = first & 0x0f
        let isValid: Bool =
            switch type {
            case 0: false
            case 3: true
            case 6, 8, 10: flags == 2
            default: flags == 0
            }
        let isTaken = (try? parse(ByteBuffer(bytes: [first, 0]))) != nil
        #expect(isTaken == isValid)
    }

    private func parse(_ bytes: ByteBuffer) throws(MalformedPacket) -> FixedHeader? {
        try FixedHeader.parse(bytes.readableBytesSpan, maximumPacketSize: .max)
    }
}
