import HTTPServer
import HTTPTestSupport
import NIOCore
import Testing

@Suite struct WebSocketFrameReaderTests {
    /// Reads everything, cut into pieces of that size.
    private func read(
        _ frames: [ByteBuffer],
        pieces: Int = .max,
        maximum: Int = 1_000_000
    ) throws -> (data: [UInt8], controls: [WebSocketFrameReader.Event]) {
        var all = ByteBuffer()
        for frame in frames { all.writeImmutableBuffer(frame) }
        var reader = WebSocketFrameReader(maximumMessageSize: maximum)
        var output = ByteBuffer()
        var controls: [WebSocketFrameReader.Event] = []
        while var piece = all.readSlice(length: min(pieces, all.readableBytes)), piece.readableBytes > 0 {
            while let control = try reader.read(&piece, into: &output) { controls.append(control) }
        }
        return (Array(output.readableBytesView), controls)
    }

    private func failure(_ frames: [ByteBuffer], maximum: Int = 1_000) -> WebSocketFailure? {
        #expect(throws: WebSocketFailure.self) { try read(frames, maximum: maximum) }
    }

    private static let sizes = [0, 1, 2, 3, 7, 8, 9, 125, 126, 127, 1_000, 65_535, 65_536, 70_001]

    @Test("payload of any length loses its mask, however the bytes are cut", arguments: sizes, [1, 3, 5, 1_024, .max])
    func masking(size: Int, pieces: Int) throws {
        let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
        let read = try read([WebSocketClient.frame(2, payload), WebSocketClient.frame(2, [1, 2, 3])], pieces: pieces)
        #expect(read.data == payload + [1, 2, 3])
    }

    @Test("fragments are one stream, with control frames in between", arguments: [1, 2, .max])
    func fragments(pieces: Int) throws {
        let read = try read(
            [
                WebSocketClient.frame(2, [1, 2], isFinal: false), WebSocketClient.frame(9, [9]),
                WebSocketClient.frame(0, [], isFinal: false), WebSocketClient.frame(0, [3]),
                WebSocketClient.frame(10, []), WebSocketClient.frame(2, [4]),
            ],
            pieces: pieces
        )
        #expect(read.data == [1, 2, 3, 4])
        #expect(read.controls == [.ping(ByteBuffer(bytes: [9])), .pong])
    }

    @Test("[MQTT-6.0.0-1] text is refused with 1003")
    func text() { #expect(failure([WebSocketClient.frame(1, [65])]) == .unacceptable) }

    @Test(
        "what RFC 6455 §5 forbids is a protocol error",
        arguments: [
            [0x82, 0x01, 0x00],  // no mask
            [0xc2, 0x80, 0, 0, 0, 0],  // a reserved bit
            [0x83, 0x80, 0, 0, 0, 0],  // a reserved opcode
            [0x8b, 0x80, 0, 0, 0, 0],  // a reserved control opcode
            [0x09, 0x80, 0, 0, 0, 0],  // a fragmented control frame
            [0x89, 0xfe, 0, 126, 0, 0, 0, 0],  // a long control frame
            [0x80, 0x80, 0, 0, 0, 0],  // a continuation of nothing
            [0x82, 0xfe, 0, 5, 0, 0, 0, 0],  // a length that could be shorter
            [0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0],  // the same
            [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0],  // the highest bit
            [0x88, 0x81, 0, 0, 0, 0, 3],  // half a close code
            [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed],  // 1005 is never sent
        ] as [[UInt8]]
    )
    func protocolErrors(bytes: [UInt8]) { #expect(failure([ByteBuffer(bytes: bytes)]) == .protocolError) }

    @Test("a new message before the end of the last is a protocol error")
    func interleaved() {
        let frames = [WebSocketClient.frame(2, [1], isFinal: false), WebSocketClient.frame(2, [1])]
        #expect(failure(frames) == .protocolError)
    }

    @Test("a frame or message beyond the limit is known by its header")
    func limits() throws {
        #expect(failure([ByteBuffer(bytes: [0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0])]) == .messageTooLarge)
        let half = [UInt8](repeating: 0, count: 600)
        let fragments = [WebSocketClient.frame(2, half, isFinal: false), WebSocketClient.frame(0, half)]
        #expect(failure(fragments) == .messageTooLarge)
        let separate = [WebSocketClient.frame(2, half), WebSocketClient.frame(2, half)]
        #expect(try read(separate, maximum: 1_000).data.count == 1_200)
    }

    @Test("a close has a code, or none; its reason is UTF-8")
    func closing() throws {
        #expect(try read([WebSocketClient.frame(8, [])]).controls == [.close(nil)])
        #expect(try read([WebSocketClient.frame(8, [0x03, 0xe8, 65])]).controls == [.close(1_000)])
        #expect(failure([WebSocketClient.frame(8, [0x03, 0xe8, 0xff])]) == .notUTF8)
    }
}
