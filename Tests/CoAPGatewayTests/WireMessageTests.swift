import BrokerTestSupport
import CoAPGateway
import Testing

/// Messages in bytes and out of them, against the tests' own idea of them.
@Suite struct WireMessageTests {
    /// A message in the tests' words; nil when it is none.
    private static func read(_ bytes: [UInt8], asFrame: Bool = false) -> RawMessage? {
        bytes.withUnsafeBytes { bytes in
            guard let message = asFrame ? WireMessage(frame: bytes) : WireMessage(datagram: bytes) else { return nil }
            return raw(message)
        }
    }

    private static func raw(_ message: borrowing WireMessage) -> RawMessage? {
        guard let kind = RawMessage.Kind(rawValue: message.kind.rawValue) else { return nil }
        var token = message.token.description.split(separator: ":").compactMap { UInt8($0, radix: 16) }
        token = Array(token.prefix(Int(message.token.length)))
        var raw = RawMessage(kind, message.code.rawValue, message.messageID, token: token)
        message.forEachOption { number, value in
            raw.options.append((Int(number), value.withUnsafeBytes { [UInt8]($0) }))
            return true
        }
        raw.payload = message.withPayload { [UInt8]($0) }
        return raw
    }

    private static func randomMessage(_ generator: inout SplitMix64) -> RawMessage {
        let token = (0..<Int.random(in: 0...8, using: &generator)).map { _ in
            UInt8.random(in: 0...255, using: &generator)
        }
        let kind = RawMessage.Kind(rawValue: UInt8.random(in: 0...3, using: &generator)) ?? .confirmable
        let code = UInt8.random(in: 1...255, using: &generator)
        var message = RawMessage(kind, code, UInt16.random(in: 0...0xffff, using: &generator), token: token)
        let numbers = [1, 3, 4, 5, 6, 7, 11, 12, 14, 15, 17, 23, 27, 60, 252, 258, 2_048, 2_049, 65_000]
        for _ in 0..<Int.random(in: 0...6, using: &generator) {
            let length =
                Int.random(in: 0...20, using: &generator) == 0 ? 300 : Int.random(in: 0...14, using: &generator)
            message.add(numbers.randomElement(using: &generator) ?? 11, [UInt8](repeating: 0x61, count: length))
        }
        if Bool.random(using: &generator) {
            message.payload = [UInt8](repeating: 0xff, count: Int.random(in: 1...700, using: &generator))
        }
        return message
    }

    @Test("what is read is what was sent, lengths of options that no option may have included", arguments: 0..<8)
    func reading(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<500 {
            let message = Self.randomMessage(&generator)
            let read = try #require(Self.read(message.bytes), "\(message)")
            #expect(read.bytes == message.bytes)
            let framed = try #require(Self.read(message.frame, asFrame: true), "\(message)")
            #expect(framed.code == message.code && framed.token == message.token && framed.payload == message.payload)
            #expect(framed.options.map(\.number) == message.options.map(\.number))
            #expect(framed.options.map(\.value) == message.options.map(\.value))
        }
    }

    @Test("RFC 7252 §3.1: an option whose number is beyond 65,535 makes a message malformed, and is no other option")
    func numberOutOfRange() {
        // Uri-Path "a", then a delta of 65,535 and of 65,546: in 16 bits they are options 10 and 21.
        for delta: UInt16 in [65_266, 65_277] {
            let bytes: [UInt8] = [0x40, 2, 0, 1, 0xb1, 0x61, 0xe1, UInt8(delta >> 8), UInt8(delta & 0xff), 0x62]
            #expect(Self.read(bytes) == nil)
            let frame: [UInt8] = [UInt8((bytes.count - 4) << 4), 2] + bytes[4...]
            #expect(Self.read(frame, asFrame: true) == nil)
        }
    }

    @Test("what is written is read as the same, as a datagram and on a connection", arguments: 0..<8)
    func writing(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<500 {
            var message = Self.randomMessage(&generator)
            if Int.random(in: 0..<50, using: &generator) == 0 {
                message.payload = [UInt8](repeating: 1, count: 70_000)
            }
            let datagram = try #require(Self.write(message, room: 80_000))
            #expect(datagram == message.bytes)
            let frame = try #require(Self.writeFrame(message, room: 80_000))
            #expect(Self.read(frame, asFrame: true)?.payload == message.payload)
            if message.payload.count < 60_000 { #expect(frame == message.frame) }
            // One byte too little is too little.
            #expect(Self.write(message, room: datagram.count - 1) == nil)
        }
    }

    @Test("bytes that are changed, cut off or added never do harm, and are read alike or not at all", arguments: 0..<8)
    func mutations(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<1_500 {
            var bytes = Self.randomMessage(&generator).bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<max(bytes.count, 1), using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes = Array(bytes.prefix(place))
                case 1: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: place)
                default:
                    if place < bytes.count {
                        bytes[place] =
                            [0, 0x0d, 0x0e, 0x0f, 0xd0, 0xe0, 0xf0, 0xff, bytes[place] ^ 1][
                                Int.random(in: 0..<9, using: &generator)
                            ]
                    }
                }
            }
            _ = Self.read(bytes, asFrame: true)
            guard let read = Self.read(bytes) else { continue }
            let expected = RawMessage(bytes)
            #expect(read.description == expected?.description)
        }
    }

    @Test(
        "RFC 7252 §3: what is no message is none",
        arguments: [
            [], [0x40], [0x40, 1, 0], [0x80, 1, 0, 1], [0x00, 1, 0, 1], [0x49, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            [0x42, 1, 0, 1, 1], [0x40, 1, 0, 1, 0xff], [0x40, 1, 0, 1, 0xf0], [0x40, 1, 0, 1, 0x0f],
            [0x40, 1, 0, 1, 0xb2, 1], [0x40, 1, 0, 1, 0xe0, 0xff, 0xff], [0x41, 0, 0, 1, 1], [0x40, 0, 0, 1, 0xff, 1],
        ]
    )
    func malformed(bytes: [UInt8]) { #expect(Self.read(bytes) == nil) }

    private static func request(_ options: [(Int, Int)]) -> (CoAPRequest, UInt16?)? {
        var message = RawMessage(.confirmable, Method.get, 1)
        for (number, length) in options { message.add(number, [UInt8](repeating: 0x61, count: length)) }
        return message.bytes.withUnsafeBytes { WireMessage(datagram: $0)?.request() }
    }

    @Test("RFC 7252 §5.4.1, §5.4.3, §5.4.5: unknown, wrongly long or repeated critical options are refused by name")
    func critical() throws {
        for options in [
            [(2_049, 1)], [(5, 1)], [(3, 0)], [(11, 256)], [(23, 4)], [(27, 4)], [(17, 1), (17, 1)], [(9, 2)],
        ] {
            let (request, critical) = try #require(Self.request(options))
            #expect(critical == UInt16(options[0].0))
            #expect(request.malformed?.code.description == "4.02", "\(options)")
            #expect(request.malformed?.diagnostic.contains("\(options[0].0)") == true)
        }
    }

    @Test("RFC 7252 §5.4.1, §5.4.3, §5.4.5: unknown, wrongly long or repeated elective options are passed over")
    func elective() throws {
        for options in [
            [(2_048, 1)], [(6, 4)], [(12, 3)], [(14, 5)], [(4, 0)], [(4, 9)], [(60, 5)], [(252, 41)], [(258, 2)],
        ] {
            let (request, critical) = try #require(Self.request(options))
            #expect(critical == nil && request.malformed == nil, "\(options)")
            #expect(request.observe == nil && request.contentFormat == nil && request.eTags.isEmpty)
        }
        let twice = RawMessage(.confirmable, Method.get, 1).with(12, integer: 50).with(12, integer: 60)
        #expect(twice.bytes.withUnsafeBytes { WireMessage(datagram: $0)?.request().request.contentFormat } == 50)
    }

    @Test("RFC 7252 §5.10.2: who asks for a proxy is told that this is none", arguments: [35, 39])
    func proxy(number: Int) throws {
        #expect(try #require(Self.request([(number, 3)])).0.malformed?.code.description == "5.05")
    }

    private static func write(_ message: RawMessage, room: Int) -> [UInt8]? {
        withRoom(room) { room in
            message.payload.withUnsafeBytes {
                WireMessage.write(
                    WireMessage.Kind(rawValue: message.kind.rawValue) ?? .confirmable,
                    CoAPCode(rawValue: message.code),
                    messageID: message.messageID,
                    Token(message.token),
                    options(message),
                    payload: $0,
                    into: room
                )
            }.map { 0..<$0 }
        }
    }

    private static func writeFrame(_ message: RawMessage, room: Int) -> [UInt8]? {
        withRoom(room) { room in
            message.payload.withUnsafeBytes {
                WireMessage.writeFrame(
                    CoAPCode(rawValue: message.code),
                    Token(message.token),
                    options(message),
                    payload: $0,
                    into: room
                )
            }
        }
    }

    private static func withRoom(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Range<Int>?) -> [UInt8]? {
        withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { room in body(room).map { Array(room[$0]) } }
    }

    private static func options(_ message: RawMessage) -> OptionWriter {
        var writer = OptionWriter()
        for (number, value) in message.options { writer.add(UInt16(number), value) }
        return writer
    }
}
