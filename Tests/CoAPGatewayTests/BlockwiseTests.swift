import BrokerCore
import CoAPGateway
import MQTTCodec
import Testing

/// Block-wise transfers over a real socket (RFC 7959).
@Suite struct BlockwiseTests {
    private static let body = (0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 / 256) }

    private func upload(_ client: RawClient, _ body: [UInt8], exponent: Int, to uri: String) throws -> RawMessage {
        let size = 16 << exponent
        var answer: RawMessage?
        for start in stride(from: 0, to: body.count, by: size) {
            let end = min(start + size, body.count)
            var request = client.confirmable(Method.put, uri).block1(
                start / size,
                more: end < body.count,
                exponent: exponent
            )
            request.payload = Array(body[start..<end])
            let progress = try client.ask(request)
            if end < body.count { try #require(progress.codeText == "2.31") }
            #expect(progress.integer(27) == (start / size) << 4 | (end < body.count ? 8 : 0) | exponent)
            answer = progress
        }
        return try #require(answer)
    }

    private func download(_ client: RawClient, _ uri: String, exponent: Int) throws -> [UInt8] {
        var body: [UInt8] = []
        var eTag: [UInt8]?
        for number in 0... {
            let answer = try client.ask(client.confirmable(Method.get, uri).block2(number, exponent: exponent))
            try #require(answer.codeText == "2.05")
            if number == 0 {
                eTag = answer.option(4)
                #expect(answer.integer(28) == Self.body.count)
            }
            #expect(answer.option(4) == eTag)
            body += answer.payload
            let block = try #require(answer.integer(23))
            #expect(block >> 4 == number)
            if block & 8 == 0 { break }
        }
        return body
    }

    @Test("a body goes up and comes down in blocks of any size", arguments: [0, 3, 6])
    func bothWays(exponent: Int) async throws {
        try await withGateway { gateway in
            let client = try gateway.client().proven()
            let before = await gateway.received()
            #expect(try upload(client, Self.body, exponent: exponent, to: "/ps/a").codeText == "2.01")
            #expect(await gateway.received() == before + 1)
            #expect(try download(client, "/ps/a", exponent: exponent) == Self.body)
        }
    }

    @Test("a large representation comes in blocks without being asked to")
    func unasked() async throws {
        try await withGateway { gateway in
            let client = try gateway.client().proven()
            _ = try upload(client, Self.body, exponent: 6, to: "/ps/a")
            let answer = try client.ask(client.confirmable(Method.get, "/ps/a"))
            #expect(answer.integer(23) == 8 | 6)
            #expect(answer.payload.count == 1_024)
        }
    }

    @Test("RFC 7959 §2.4: all blocks are of one representation, though another has taken its place")
    func consistency() async throws {
        try await withGateway { gateway in
            let client = try gateway.client().proven()
            _ = try upload(client, Self.body, exponent: 6, to: "/ps/a")
            let first = try client.ask(client.confirmable(Method.get, "/ps/a").block2(0, exponent: 6))
            try await gateway.publish("a", [String(repeating: "other", count: 1_000)], retain: true)
            let second = try client.ask(client.confirmable(Method.get, "/ps/a").block2(1, exponent: 6))
            #expect(second.option(4) == first.option(4))
            #expect(second.payload == Array(Self.body[1_024..<2_048]))
            let anew = try client.ask(client.confirmable(Method.get, "/ps/a").block2(0, exponent: 6))
            #expect(anew.option(4) != first.option(4))
        }
    }

    @Test("RFC 7959 §2.9.2: a gap is 4.08, and nothing is published")
    func gap() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            var request = client.confirmable(Method.put, "/ps/a").block1(0, more: true, exponent: 0)
            request.payload = Array(Self.body[0..<16])
            #expect(try client.ask(request).codeText == "2.31")
            request = client.confirmable(Method.put, "/ps/a").block1(2, more: false, exponent: 0)
            request.payload = Array(Self.body[32..<40])
            #expect(try client.ask(request).codeText == "4.08")
            #expect(await gateway.received() == 0)
        }
    }

    @Test("RFC 7959 §2.9.3: too large a body is 4.13 with the size there may be, announced or not")
    func tooLarge() async throws {
        var limits = Limits()
        limits.maximumPacketSize = 2_000
        try await withGateway(limits: limits) { gateway in
            let client = try gateway.client().proven()
            var announced = client.confirmable(Method.put, "/ps/a").block1(0, more: true, exponent: 6)
                .with(60, integer: 2_001)
            announced.payload = Array(Self.body[0..<1_024])
            let refused = try client.ask(announced)
            #expect(refused.codeText == "4.13")
            #expect(refused.integer(60) == 2_000)
            var first = client.confirmable(Method.put, "/ps/a").block1(0, more: true, exponent: 6)
            first.payload = Array(Self.body[0..<1_024])
            #expect(try client.ask(first).codeText == "2.31")
            var second = client.confirmable(Method.put, "/ps/a").block1(1, more: true, exponent: 6)
            second.payload = Array(Self.body[1_024..<2_048])
            #expect(try client.ask(second).codeText == "4.13")
        }
    }

    @Test("a large notification is fetched in blocks, and the next one waits for that")
    func largeNotifications() async throws {
        try await withGateway { gateway in
            let client = try gateway.client().proven()
            _ = try client.ask(client.confirmable(Method.get, "/ps/a").with(6, []))
            let large = String(repeating: "0123456789", count: 150)
            try await gateway.publish("a", [large, "next"], qos: .atLeastOnce)
            let first = try client.expect()
            #expect(first.integer(23) == 8 | 6)
            let eTag = try #require(first.option(4))
            client.acknowledge(first)
            #expect(try client.drain().isEmpty)
            let rest = try client.ask(client.confirmable(Method.get, "/ps/a", token: [9]).block2(1, exponent: 6))
            #expect(rest.option(4) == eTag)
            #expect(rest.observe == nil)
            #expect(first.text + rest.text == large)
            #expect(try client.expect().text == "next")
        }
    }
}
