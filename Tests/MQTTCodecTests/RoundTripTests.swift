import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct RoundTripTests {
    private static let ways: [(ProtocolVersion, PacketDecoder.Role)] = [
        (.v3_1_1, .server), (.v3_1_1, .client), (.v5, .server), (.v5, .client),
    ]

    @Test("any valid packet is the same after encoding and decoding", arguments: 0..<200 as Range<UInt64>)
    func roundTrip(_ seed: UInt64) throws {
        for (version, role) in Self.ways {
            let (packets, bytes) = Self.stream(seed, version, role)
            var left = bytes
            var decoder = PacketDecoder(role: role, version: version)
            for packet in packets { #expect(try decoder.decode(from: &left) == packet) }
            #expect(try decoder.decode(from: &left) == nil)
            #expect(left.readableBytes == 0)
        }
    }

    @Test(
        "bytes that arrive one at a time give the same packets, and none before it is whole",
        arguments: 0..<40 as Range<UInt64>
    )
    func byteByByte(_ seed: UInt64) throws {
        for (version, role) in Self.ways {
            let (packets, bytes) = Self.stream(seed, version, role)
            var decoder = PacketDecoder(role: role, version: version)
            var arrived = ByteBuffer()
            var decoded: [Packet] = []
            for byte in bytes.readableBytesView {
                arrived.writeInteger(byte)
                let before = arrived
                if let packet = try decoder.decode(from: &arrived) {
                    decoded.append(packet)
                } else {
                    #expect(arrived == before)
                }
            }
            #expect(decoded == packets)
            #expect(arrived.readableBytes == 0)
        }
    }

    @Test("no beginning of a packet is taken for a packet", arguments: 200..<240 as Range<UInt64>)
    func prefixes(_ seed: UInt64) throws {
        for (version, role) in Self.ways {
            var random = RandomPackets(seed: seed, version: version)
            var bytes = ByteBuffer()
            PacketEncoder.encode(random.packet(for: role), version: version, into: &bytes)
            for length in 0..<min(bytes.readableBytes, 2_000) {
                var decoder = PacketDecoder(role: role, version: version)
                var prefix = try #require(bytes.getSlice(at: 0, length: length))
                #expect(try decoder.decode(from: &prefix) == nil)
                #expect(prefix.readableBytes == length)
            }
        }
    }

    @Test(
        "writes the acknowledgements of the hot path as the packets' own encoding",
        arguments: 0..<50 as Range<UInt64>
    )
    func acknowledgements(_ seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let version = generator.pick(ProtocolVersion.allCases)
        let id: PacketID = generator.number(1...PacketID.max)
        let (type, make) = generator.pick([
            (PacketType.puback, Packet.puback), (.pubrec, Packet.pubrec), (.pubrel, Packet.pubrel),
            (.pubcomp, Packet.pubcomp),
        ])
        let reason: ReasonCode = generator.pick([.success, .packetIdentifierNotFound])
        var fast = ByteBuffer()
        PacketEncoder.writeAcknowledgement(type, packetID: id, reasonCode: reason, version: version, into: &fast)
        var whole = ByteBuffer()
        PacketEncoder.encode(make(Acknowledgement(packetID: id, reasonCode: reason)), version: version, into: &whole)
        #expect(fast == whole)
    }

    @Test("the parts that others keep are the same after encoding and decoding", arguments: 0..<100 as Range<UInt64>)
    func parts(_ seed: UInt64) throws {
        var random = RandomPackets(seed: seed, version: .v5)
        let properties = random.publish(.server).properties
        let decoded = try PublishProperties.decode(properties.encoded.readableBytesSpan, fromClient: true)
        #expect(decoded == properties)
        let options = SubscriptionOptions(
            qos: random.generator.pick(QoS.allCases),
            noLocal: random.generator.once(in: 2),
            retainAsPublished: random.generator.once(in: 2),
            retainHandling: random.generator.pick(SubscriptionOptions.RetainHandling.allCases)
        )
        #expect(try SubscriptionOptions(options.byte(.v5), version: .v5) == options)
    }

    /// A few packets and their bytes.
    private static func stream(
        _ seed: UInt64,
        _ version: ProtocolVersion,
        _ role: PacketDecoder.Role
    ) -> ([Packet], ByteBuffer) {
        var random = RandomPackets(seed: seed, version: version)
        let packets = (0..<5).map { _ in random.packet(for: role) }
        var bytes = ByteBuffer()
        for packet in packets { PacketEncoder.encode(packet, version: version, into: &bytes) }
        return (packets, bytes)
    }
}
