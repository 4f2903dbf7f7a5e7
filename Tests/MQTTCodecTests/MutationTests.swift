import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct MutationTests {
    @Test(
        "damaged bytes are a packet, an error or too few, and never read past the packet",
        arguments: 0..<200 as Range<UInt64>
    )
    func damaged(_ seed: UInt64) throws {
        for version in ProtocolVersion.allCases {
            for role in [PacketDecoder.Role.server, .client] {
                var random = RandomPackets(seed: seed, version: version)
                var bytes = ByteBuffer()
                PacketEncoder.encode(random.packet(for: role), version: version, into: &bytes)
                for _ in 0..<50 { check(damage(bytes, &random.generator), version, role) }
            }
        }
    }

    @Test("noise never crashes the decoder", arguments: 0..<200 as Range<UInt64>)
    func noise(_ seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<50 {
            var bytes = generator.bytes(count: generator.number(0...60))
            // Lengths that fit, so that more than the header is read.
            if bytes.count > 1 { bytes[1] = UInt8(bytes.count - 2) }
            let version = generator.pick(ProtocolVersion.allCases)
            check(ByteBuffer(bytes: bytes), version, generator.pick([.server, .client]))
        }
    }

    @Test("PublishLayout finds the parts that decoding PUBLISH finds", arguments: 0..<200 as Range<UInt64>)
    func layout(_ seed: UInt64) throws {
        for version in ProtocolVersion.allCases {
            var random = RandomPackets(seed: seed, version: version)
            var bytes = ByteBuffer()
            PacketEncoder.encode(.publish(random.publish(.server)), version: version, into: &bytes)
            compareLayout(bytes, version)
            for _ in 0..<50 { compareLayout(damage(bytes, &random.generator), version) }
        }
    }

    /// Decodes bytes with a guard behind them: what is read and what is left must not depend on what follows.
    private func check(_ bytes: ByteBuffer, _ version: ProtocolVersion, _ role: PacketDecoder.Role) {
        guard let header = try? FixedHeader.parse(bytes.readableBytesSpan, maximumPacketSize: .max) else { return }
        var results: [Result<Packet?, MalformedPacket>] = []
        for follower in [UInt8(0x00), 0xff] {
            var left = bytes
            left.writeRepeatingByte(follower, count: 8)
            let whole = header.packetLength <= bytes.readableBytes
            guard whole else { return }
            var decoder = PacketDecoder(role: role, version: version)
            do throws(MalformedPacket) {
                results.append(.success(try decoder.decode(from: &left)))
                #expect(left.readableBytes == bytes.readableBytes + 8 - header.packetLength)
            } catch {
                results.append(.failure(error))
            }
        }
        #expect(results[0] == results[1])
    }

    private func compareLayout(_ bytes: ByteBuffer, _ version: ProtocolVersion) {
        guard let header = try? FixedHeader.parse(bytes.readableBytesSpan, maximumPacketSize: .max),
            header.type == .publish, header.packetLength <= bytes.readableBytes
        else { return }
        let packet = bytes.readableBytesSpan.extracting(first: header.packetLength)
        let found = try? decodeByLayout(packet, header, version)
        #expect(found == decoded(bytes, version), "\(Array(bytes.readableBytesView))")
    }

    private func decoded(_ bytes: ByteBuffer, _ version: ProtocolVersion) -> Publish? {
        guard case .publish(let publish) = try? decode(bytes, version) else { return nil }
        return publish
    }

    /// Changes, cuts out or puts in a few bytes, mostly near the front where the structure is.
    private func damage(_ bytes: ByteBuffer, _ generator: inout SplitMix64) -> ByteBuffer {
        var array = Array(bytes.readableBytesView.prefix(400))
        for _ in 0..<generator.number(1...3) where !array.isEmpty {
            let place = generator.number(0...min(array.count - 1, generator.pick([3, 12, 399])))
            switch generator.number(0...4) {
            case 0: array.remove(at: place)
            case 1: array.insert(generator.number(0...255), at: place)
            case 2: array[place] ^= 1 << generator.number(0...7)
            default: array[place] = generator.pick([0, 1, 2, 0x7f, 0x80, 0xff, 0x23, 0x26, 0xc0, 0xed])
            }
        }
        // A Remaining Length that fits, half of the time.
        if array.count > 1, array.count < 130, generator.once(in: 2) { array[1] = UInt8(array.count - 2) }
        return ByteBuffer(bytes: array)
    }
}
