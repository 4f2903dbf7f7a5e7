import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct PublishTests {
    @Test("reads and writes PUBLISH as the standard has it", arguments: Vector.publishPackets)
    func decodesAndEncodes(_ vector: Vector) throws { try vector.check() }

    @Test("refuses a PUBLISH the standard forbids", arguments: Vector.publishErrors)
    func refuses(_ vector: Vector) throws { try vector.check() }

    @Test(
        "the layout of a forbidden PUBLISH tells the same Reason Code",
        arguments: Vector.publishErrors.filter { $0.role == .server }
    )
    func layoutRefuses(_ vector: Vector) throws {
        let bytes = vector.bytes
        let reason: ReasonCode?
        do throws(MalformedPacket) {
            let header = try FixedHeader.parse(bytes.readableBytesSpan, maximumPacketSize: .max)
            if let header { _ = try decodeByLayout(bytes.readableBytesSpan, header, vector.version) }
            reason = nil
        } catch {
            reason = error.reason
        }
        guard case .error(let expected) = vector.meaning else { return }
        #expect(reason == expected)
    }

    @Test("lends the payload out of the bytes it came in, without copying", arguments: ProtocolVersion.allCases)
    func payloadIsASlice(_ version: ProtocolVersion) throws {
        var bytes = ByteBuffer()
        let payload = ByteBuffer(repeating: 0x78, count: 100_000)
        PacketEncoder.encode(
            .publish(Publish(topic: try TopicName("t"), payload: payload)),
            version: version,
            into: &bytes
        )
        guard case .publish(let publish) = try decode(bytes, version) else {
            Issue.record("no PUBLISH")
            return
        }
        #expect(publish.payload == payload)
        let outer = bytes.withUnsafeReadableBytes { $0.baseAddress.map { UInt(bitPattern: $0) } ?? 0 }
        let inner = publish.payload.withUnsafeReadableBytes { $0.baseAddress.map { UInt(bitPattern: $0) } ?? 0 }
        #expect(inner == outer + UInt(bytes.readableBytes - payload.readableBytes))
    }
}
