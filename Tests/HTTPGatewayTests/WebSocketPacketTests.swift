import HTTPGateway
import HTTPServer
import MQTTCodec
import NIOCore
import NIOEmbedded
import Testing

/// MQTT Control Packets as messages of a WebSocket.
@Suite struct WebSocketPacketTests {
    private func makeChannel() throws -> EmbeddedChannel {
        let rules = WebSocketCodec.Rules(maximumMessageSize: 1_000_000)
        let channel = EmbeddedChannel(handler: WebSocketCodec(.binary, rules, messageLength: \.packetLength))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    /// Everything written since the last call.
    private func written(_ channel: EmbeddedChannel) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = try channel.readOutbound(as: ByteBuffer.self) { bytes += Array(buffer.readableBytesView) }
        return bytes
    }

    @Test(
        "what is no MQTT leaves in one binary frame",
        arguments: [(1, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)]
    )
    func framing(size: Int, header: Int) throws {
        let channel = try makeChannel()
        try channel.writeOutbound(ByteBuffer(repeating: 7, count: size))
        let bytes = try written(channel)
        #expect(bytes.count == header + size)
        #expect(bytes[0] == 0x82)
        #expect(bytes.suffix(size).allSatisfy { $0 == 7 })
    }

    @Test("each MQTT Control Packet is a message of its own, however many leave together")
    func packets() throws {
        let channel = try makeChannel()
        var output = ByteBuffer()
        let sizes = [2, 3_000, 2, 70_000, 100]
        for size in sizes {
            let payload = ByteBuffer(repeating: 1, count: size)
            let publish = Publish(topic: try TopicName("t"), payload: payload)
            PacketEncoder.encode(.publish(publish), version: .v3_1_1, into: &output)
        }
        let total = output.readableBytes
        try channel.writeOutbound(output)
        var bytes = ByteBuffer(bytes: try written(channel))
        var payload = 0
        for _ in sizes {
            #expect(bytes.readInteger(as: UInt8.self) == 0x82)
            var length = Int(bytes.readInteger(as: UInt8.self) ?? 0)
            if length == 126 { length = Int(bytes.readInteger(as: UInt16.self) ?? 0) }
            if length == 127 { length = Int(bytes.readInteger(as: UInt64.self) ?? 0) }
            let slice = bytes.readSlice(length: length)
            let packet = try #require(slice)
            let header = try FixedHeader.parse(packet.readableBytesSpan, maximumPacketSize: .max)
            #expect(header?.packetLength == length)
            payload += length
        }
        #expect(payload == total && bytes.readableBytes == 0)
    }
}
