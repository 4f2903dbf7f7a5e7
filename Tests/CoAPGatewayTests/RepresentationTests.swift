import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Messages as representations, reasons as codes, numbers as options; without a socket.
@Suite struct RepresentationTests {
    private func message(
        _ payload: [UInt8],
        contentType: String? = nil,
        isText: Bool? = nil,
        expiresAt: NIODeadline = .distantFuture
    ) throws -> Message {
        var properties = PublishProperties()
        properties.contentType = contentType
        properties.payloadFormatIndicator = isText
        return Message(
            topic: try TopicName("t"),
            payload: ByteBuffer(bytes: payload),
            qos: .atMostOnce,
            properties: MessageProperties.forwarded(from: properties),
            expiresAt: expiresAt
        )
    }

    private let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test(
        "content types have numbers both ways",
        arguments: [
            (0, "text/plain;charset=utf-8"), (40, "application/link-format"), (41, "application/xml"),
            (42, "application/octet-stream"), (50, "application/json"), (60, "application/cbor"),
            (110, "application/senml+json"), (112, "application/senml+cbor"),
        ] as [(UInt16, String)]
    )
    func contentFormats(number: UInt16, contentType: String) throws {
        var properties = PublishProperties()
        ContentFormat.describe(number, in: &properties)
        #expect(properties.contentType == contentType)
        #expect(ContentFormat.number(of: properties) == number)
    }

    @Test("a content type is read as people write it")
    func contentTypeSpellings() throws {
        #expect(Representation(try message([], contentType: "text/plain")).contentFormat == 0)
        #expect(Representation(try message([], contentType: "Text/Plain; charset=UTF-8")).contentFormat == 0)
        #expect(Representation(try message([], isText: true)).contentFormat == 0)
        #expect(Representation(try message([], contentType: "application/x-own")).contentFormat == nil)
        #expect(Representation(try message([])).contentFormat == nil)
    }

    @Test("RFC 7252 §5.10.4: what the client does not accept is 4.06; a message without a type suits anybody")
    func accept() throws {
        let json = Representation(try message(text("{}"), contentType: "application/json"))
        #expect { try json.response(to: request(.get, "/ps/t", options: [(17, [60])]), now: now) } throws: {
            ($0 as? CoAPFailure)?.code == .notAcceptable
        }
        let wanted = try json.response(to: request(.get, "/ps/t", options: [(17, [50])]), now: now)
        #expect(wanted.contentFormat == 50)
        let untyped = Representation(try message(text("x")))
        #expect(try untyped.response(to: request(.get, "/ps/t", options: [(17, [60])]), now: now).code == .content)
    }

    @Test("an ETag is the payload's and its type's")
    func eTags() throws {
        let first = Representation(try message(text("x")))
        #expect(first.eTag == Representation(try message(text("x"))).eTag)
        #expect(first.eTag != Representation(try message(text("y"))).eTag)
        #expect(first.eTag != Representation(try message(text("x"), contentType: "application/json")).eTag)
    }

    @Test("Max-Age is what is left of the Message Expiry Interval")
    func maxAge() throws {
        let expiring = Representation(try message(text("x"), expiresAt: now + .seconds(90)))
        #expect(try expiring.response(to: request(.get, "/ps/t"), now: now).maxAge == 90)
        #expect(try expiring.response(to: request(.get, "/ps/t"), now: now + .seconds(30)).maxAge == 60)
        #expect(try Representation(message(text("x"))).response(to: request(.get, "/ps/t"), now: now).maxAge == 60)
    }

    @Test("a block beyond the end is 4.00, the last one says that it is")
    func blocks() throws {
        let body = Representation(try message(Array(repeating: 1, count: 40)))
        func block(_ number: UInt8) throws -> CoAPResponse {
            try body.response(to: request(.get, "/ps/t", options: [(23, [number << 4])]), now: now)
        }
        #expect(try block(0).block2 == Block(number: 0, more: true, sizeExponent: 0))
        #expect(try block(0).size2 == 40)
        #expect(try block(2).block2 == Block(number: 2, more: false, sizeExponent: 0))
        #expect(try block(2).payloadLength == 8)
        #expect { try block(3) } throws: { ($0 as? CoAPFailure)?.code == .badRequest }
    }

    @Test("options that take much room make the blocks smaller")
    func roomForPayload() throws {
        var response = CoAPResponse(.content)
        response.locationPath = Array(repeating: String(repeating: "x", count: 200), count: 3)
        try response.cut(try message(Array(repeating: 1, count: 2_000)), wanted: nil)
        #expect(response.block2 == Block(number: 0, more: true, sizeExponent: 4))
    }

    @Test(
        "Reason Codes have response codes",
        arguments: [
            (ReasonCode.topicNameInvalid, CoAPCode.badRequest), (.badUserNameOrPassword, .unauthorized),
            (.notAuthorized, .forbidden), (.packetTooLarge, .requestEntityTooLarge),
            (.payloadFormatInvalid, .unsupportedContentFormat), (.quotaExceeded, .tooManyRequests),
            (.serverBusy, .serviceUnavailable), (.serverShuttingDown, .serviceUnavailable),
            (.sessionTakenOver, .conflict), (.unspecifiedError, .internalServerError),
        ]
    )
    func reasons(reason: ReasonCode, code: CoAPCode) {
        let failure = CoAPFailure(reason, "why")
        #expect(failure.code == code)
        #expect(failure.diagnostic == "\(reason.name): why")
        #expect((failure.response.maxAge != nil) == (code == .tooManyRequests || code == .serviceUnavailable))
    }

    @Test("codes are written as RFC 7252 writes them")
    func codes() {
        #expect(CoAPCode.content.description == "2.05")
        #expect(CoAPCode.continue.description == "2.31")
        #expect(CoAPCode.tooManyRequests.description == "4.29")
    }

    @Test("RFC 7641 §3.4: Observe numbers rise by one and stay in 24 bits")
    func observeNumbers() {
        var sequence = ObserveSequence(now: .uptimeNanoseconds(0xff_fffe << 24))
        #expect(sequence.next() == 0xff_ffff)
        #expect(sequence.next() == 0)
        #expect(sequence.next() == 1)
    }

    @Test("a level that is no path segment leaves the Location-Path out")
    func locationPath() throws {
        #expect(try TopicName("/a//b").locationPath(under: "ps") == ["ps", "", "a", "", "b"])
        #expect(try TopicName("a").locationPath(under: nil) == ["a"])
        #expect(try TopicName(String(repeating: "x", count: 256)).locationPath(under: "ps").isEmpty)
    }
}
