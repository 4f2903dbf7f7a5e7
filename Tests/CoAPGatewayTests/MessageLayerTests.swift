import BrokerCore
import CoAPGateway
import MQTTCodec
import Testing

/// The message layer over a real socket (RFC 7252 §4).
@Suite struct MessageLayerTests {
    @Test("RFC 7252 §4.5: a confirmable duplicate is answered again and published once")
    func confirmableDuplicate() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let request = client.confirmable(Method.put, "/ps/a", payload: "x")
            let first = try client.ask(request)
            let second = try client.ask(request)
            #expect(first.codeText == "2.01")
            #expect(first.bytes == second.bytes)
            #expect(await gateway.received() == 1)
        }
    }

    @Test("RFC 7252 §4.3: a non-confirmable duplicate is dropped")
    func nonConfirmableDuplicate() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let request = client.nonConfirmable(Method.post, "/ps/a", payload: "x")
            let answer = try client.ask(request)
            #expect(answer.kind == .nonConfirmable)
            #expect(answer.codeText == "2.04")
            client.send(request)
            #expect(try client.drain().isEmpty)
            #expect(await gateway.received() == 1)
        }
    }

    @Test("a non-confirmable response has a Message ID of the server's own")
    func messageID() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            var own: Set<UInt16> = []
            for _ in 0..<3 {
                let request = client.nonConfirmable(Method.post, "/ps/a", payload: "x")
                let answer = try client.ask(request)
                own.insert(answer.messageID)
                #expect(answer.messageID != request.messageID)
            }
            #expect(own.count == 3)
        }
    }

    @Test("tokens of 0 to 8 bytes come back", arguments: 0...8)
    func tokens(length: Int) async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let token = (0..<UInt8(length)).map { $0 &* 37 }
            let answer = try client.ask(client.confirmable(Method.post, "/ps/a", token: token, payload: "x"))
            #expect(answer.token == token)
            let observed = try client.ask(client.confirmable(Method.get, "/ps/a", token: token).with(6, []))
            #expect(observed.token == token)
            try await gateway.publish("a", ["m"])
            #expect(try client.expect().token == token)
        }
    }

    @Test("RFC 7252 §5.4.1: an unknown critical option is refused, an unknown elective one ignored")
    func unknownOptions() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let critical = client.confirmable(Method.post, "/ps/a", payload: "x").with(2_049, [1])
            #expect(try client.ask(critical).codeText == "4.02")
            #expect(await gateway.received() == 0)
            let elective = client.confirmable(Method.post, "/ps/a", payload: "x").with(2_048, [1])
            #expect(try client.ask(elective).codeText == "2.04")
        }
    }

    @Test("every byte of a valid message spoiled in turn leaves the server standing")
    func spoiledBytes() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            let valid = client.confirmable(Method.post, "/ps/a/b?q=1&r=0", token: [1, 2, 3], payload: "payload")
                .with(12, integer: 50).block1(0, more: false, exponent: 6).with(258, integer: 2).bytes
            for place in valid.indices {
                for mask: UInt8 in [0x01, 0x10, 0x80, 0xff] {
                    var spoiled = valid
                    spoiled[place] ^= mask
                    client.send(spoiled)
                    client.send(Array(spoiled.prefix(place)))
                }
                // The receive buffer is finite: let the server come along.
                _ = try client.drain()
            }
            let other = try gateway.client()
            #expect(try other.ask(other.confirmable(Method.post, "/ps/a", payload: "x")).codeText == "2.04")
        }
    }

    @Test("RFC 7252 §4.3: a Reset answers what can't be a message")
    func malformed() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            client.send([0x49, 1, 0, 1])
            #expect(try client.expect().kind == .reset)
        }
    }

    @Test(
        "RFC 7252 §4.6: a request too large for a datagram gets 4.13 and is not published cut short",
        arguments: [1_473, 1_500, 9_000]
    )
    func longDatagrams(length: Int) async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            var request = client.nonConfirmable(Method.post, "/ps/a")
            request.payload = Array(repeating: 0x78, count: length - request.bytes.count - 1)
            #expect(request.bytes.count == length)
            for kind in [RawMessage.Kind.nonConfirmable, .confirmable] {
                request.kind = kind
                let answer = try client.ask(request)
                #expect(answer.codeText == "4.13" && answer.token == request.token)
                #expect(answer.integer(27) == 6)
                #expect((answer.messageID == request.messageID) == (kind == .confirmable))
            }
            #expect(await gateway.received() == 0)
            request.payload.removeLast(length - 1_472)
            #expect(try client.ask(request).codeText == "2.04")
        }
    }

    @Test("RFC 7967: responses nobody wants are not sent")
    func noResponse() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            client.send(client.nonConfirmable(Method.post, "/ps/a", payload: "x").with(258, integer: 2))
            #expect(try client.drain().isEmpty)
            let empty = try client.ask(client.confirmable(Method.post, "/ps/a", payload: "x").with(258, integer: 2))
            #expect(empty.kind == .acknowledgement)
            #expect(empty.code == 0)
            #expect(empty.token.isEmpty)
            // An error is none of the class declined.
            #expect(try client.ask(client.confirmable(Method.post, "/ps/+").with(258, integer: 2)).codeText == "4.00")
            #expect(await gateway.received() == 2)
        }
    }

    @Test("RFC 8323 §5: signalling over UDP is not obeyed")
    func signalling() async throws {
        try await withGateway { gateway in
            let client = try gateway.client()
            client.send(RawMessage(.confirmable, 7 << 5 | 2, 9, token: [1]))
            #expect(try client.drain().allSatisfy { $0.kind == .reset })
        }
    }

    @Test("RFC 7252 §5.2.2: an answer that takes long comes separately, confirmably, after an empty acknowledgement")
    func separateResponse() async throws {
        try await withGateway(configuration: .local { $0.separateResponseAfter = 0 }) { gateway in
            let client = try gateway.client()
            let request = client.confirmable(Method.put, "/ps/a", token: [4, 2], payload: "x")
            let empty = try client.ask(request)
            #expect(empty.kind == .acknowledgement)
            #expect(empty.code == 0)
            let response = try client.expect()
            #expect(response.kind == .confirmable)
            #expect(response.codeText == "2.01")
            #expect(response.token == [4, 2])
            client.acknowledge(response)
            // Its duplicate is acknowledged, and not carried out again.
            let again = try client.ask(request)
            #expect(again.code == 0)
            #expect(again.kind == .acknowledgement)
            #expect(try client.drain().isEmpty)
            #expect(await gateway.received() == 1)
        }
    }
}
