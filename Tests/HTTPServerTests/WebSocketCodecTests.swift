import HTTPServer
import HTTPTestSupport
import NIOCore
import NIOEmbedded
import Testing

@Suite struct WebSocketCodecTests {
    private func makeChannel(maximum: Int = 1_000_000) throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(handler: WebSocketCodec(.binary, .init(maximumMessageSize: maximum)))
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
        "what is sent leaves in one binary frame",
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

    @Test("each message of a buffer has a frame of its own, however many leave together")
    func messages() throws {
        // The first two bytes of a message are its length.
        let codec = WebSocketCodec(.binary, .init(maximumMessageSize: 1_000)) { buffer in
            buffer.getInteger(at: buffer.readerIndex, as: UInt16.self).map(Int.init) ?? buffer.readableBytes
        }
        let channel = EmbeddedChannel(handler: codec)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        var output = ByteBuffer()
        for size in [UInt16(2), 3_000, 100] {
            output.writeInteger(size)
            output.writeRepeatingByte(7, count: Int(size) - 2)
        }
        try channel.writeOutbound(output)
        let bytes = try written(channel)
        #expect(bytes.prefix(6) == [0x82, 2, 0, 2, 0x82, 126])
        #expect(bytes.count == (2 + 2) + (4 + 3_000) + (2 + 100))
        #expect(bytes.suffix(102).prefix(4) == [0x82, 100, 0, 100])
    }

    @Test("an empty buffer is no frame")
    func empty() throws {
        let channel = try makeChannel()
        try channel.writeOutbound(ByteBuffer())
        #expect(try written(channel).isEmpty)
    }

    @Test("payload of all frames of a read goes up together")
    func reading() throws {
        let channel = try makeChannel()
        var bytes = WebSocketClient.frame(2, [1, 2])
        bytes.writeImmutableBuffer(WebSocketClient.frame(2, [3]))
        try channel.writeInbound(bytes)
        #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: [1, 2, 3]))
        #expect(try channel.readInbound(as: ByteBuffer.self) == nil)
    }

    @Test("a ping is answered with its own payload")
    func pings() throws {
        let channel = try makeChannel()
        try channel.writeInbound(WebSocketClient.frame(9, [1, 2, 3]))
        #expect(try written(channel) == [0x8a, 3, 1, 2, 3])
    }

    @Test("pings that can't be answered yet don't pile up")
    func pingFlood() throws {
        let channel = try makeChannel()
        channel.isWritable = false
        for number in UInt8(0)..<100 { try channel.writeInbound(WebSocketClient.frame(9, [number])) }
        #expect(try written(channel).isEmpty)
        channel.isWritable = true
        channel.pipeline.fireChannelWritabilityChanged()
        #expect(try written(channel) == [0x8a, 1, 99])
    }

    @Test("a close frame is answered with its code, and the connection closes")
    func closedByPeer() throws {
        let channel = try makeChannel()
        try channel.writeInbound(WebSocketClient.frame(8, [0x03, 0xe9]))
        #expect(try written(channel) == [0x88, 2, 0x03, 0xe9])
        #expect(!channel.isActive)
    }

    @Test("closing sends a close frame, and waits for the peer's")
    func closedFromAbove() throws {
        let channel = try makeChannel()
        let closed = channel.close()
        #expect(try written(channel) == [0x88, 2, 0x03, 0xe8])
        #expect(channel.isActive)
        #expect(throws: (any Error).self) { try channel.writeOutbound(ByteBuffer(bytes: [1])) }
        try channel.writeInbound(WebSocketClient.frame(8, [0x03, 0xe8]))
        #expect(!channel.isActive)
        channel.embeddedEventLoop.run()
        try closed.wait()
    }

    @Test("a peer that doesn't answer the close is not waited for long")
    func closeTimeout() throws {
        let channel = try makeChannel()
        channel.close(promise: nil)
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    @Test("what came before an error still counts, and the error has its code")
    func failing() throws {
        let channel = try makeChannel(maximum: 10)
        var bytes = WebSocketClient.frame(2, [1])
        bytes.writeImmutableBuffer(WebSocketClient.frame(2, [UInt8](repeating: 0, count: 11)))
        try channel.writeInbound(bytes)
        #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: [1]))
        #expect(try written(channel) == [0x88, 2, 0x03, 0xf1])
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    @Test("a server that stops says that it goes away")
    func quiescing() throws {
        let channel = try makeChannel()
        channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(300))
        #expect(try written(channel) == [0x88, 2, 0x03, 0xe9])
    }

    // MARK: Pings

    private func makeChannel(_ form: WebSocketFrameReader.Form = .binary, pongs: Bool) throws -> EmbeddedChannel {
        var rules = WebSocketCodec.Rules(maximumMessageSize: 1_000)
        rules.pingInterval = .seconds(30)
        rules.tellsPongs = pongs
        let channel = EmbeddedChannel(handler: WebSocketCodec(form, rules))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    @Test("a peer is pinged, and closed when it says nothing at all until the next ping", arguments: [true, false])
    func silence(answers: Bool) throws {
        let channel = try makeChannel(pongs: false)
        channel.embeddedEventLoop.advanceTime(by: .seconds(30))
        #expect(try written(channel) == [0x89, 0])
        if answers { try channel.writeInbound(WebSocketClient.frame(10, [])) }
        channel.embeddedEventLoop.advanceTime(by: .seconds(30))
        #expect(try written(channel) == (answers ? [0x89, 0] : [0x88, 2, 0x03, 0xe8]))
    }

    @Test("a pong is a sign of life to the handler above, when that is asked for", arguments: [true, false])
    func pongs(isAskedFor: Bool) throws {
        let channel = try makeChannel(pongs: isAskedFor)
        try channel.writeInbound(WebSocketClient.frame(10, []))
        #expect(try channel.readInbound(as: ByteBuffer.self) == (isAskedFor ? ByteBuffer() : nil))
    }

    @Test("text messages go up one by one, each whole, and down in one text frame each")
    func text() throws {
        let channel = try makeChannel(.text, pongs: false)
        var bytes = WebSocketClient.frame(1, Array("on".utf8), isFinal: false)
        bytes.writeImmutableBuffer(WebSocketClient.frame(9, []))
        bytes.writeImmutableBuffer(WebSocketClient.frame(0, Array("e".utf8)))
        bytes.writeImmutableBuffer(WebSocketClient.frame(1, Array("two".utf8)))
        for byte in bytes.readableBytesView { try channel.writeInbound(ByteBuffer(bytes: [byte])) }
        #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "one"))
        #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(string: "two"))
        #expect(try written(channel) == [0x8a, 0])
        try channel.writeOutbound(ByteBuffer(string: "x"))
        #expect(try written(channel) == [0x81, 1, UInt8(ascii: "x")])
    }
}
