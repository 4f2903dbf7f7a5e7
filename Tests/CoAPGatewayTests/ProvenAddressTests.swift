import BrokerCore
import CoAPGateway
import CoreRuntime
import Testing

/// RFC 9175: an address that has not proven to be the sender's costs nothing.
@Suite struct ProvenAddressTests {
    private static func withEcho(_ body: (TestGateway) async throws -> Void) async throws {
        try await withGateway(configuration: .local { $0.asksForEcho = true }, body)
    }

    @Test("a request is carried out once it shows the Echo it was asked for")
    func echo() async throws {
        try await Self.withEcho { gateway in
            let client = try gateway.client()
            let request = client.confirmable(Method.post, "/ps/a", token: [1, 2, 3], payload: "x")
            let challenge = try client.ask(request)
            #expect(challenge.codeText == "4.01")
            #expect(challenge.kind == .acknowledgement)
            #expect(challenge.messageID == request.messageID)
            #expect(challenge.token == [1, 2, 3])
            #expect(challenge.payload.isEmpty)
            #expect(challenge.bytes.count < 3 * request.bytes.count)
            let echo = try #require(challenge.option(252))
            #expect(await gateway.received() == 0)
            #expect(await gateway.core.perform { $0.connectedClients } == 0)
            let again = client.confirmable(Method.post, "/ps/a", payload: "x").with(252, echo)
            #expect(try client.ask(again).codeText == "2.04")
            // From now on the address is known.
            #expect(try client.ask(client.confirmable(Method.post, "/ps/a", payload: "x")).codeText == "2.04")
        }
    }

    @Test("a non-confirmable request is asked in a non-confirmable message")
    func nonConfirmable() async throws {
        try await Self.withEcho { gateway in
            let client = try gateway.client()
            let request = client.nonConfirmable(Method.post, "/ps/a", payload: "x")
            let challenge = try client.ask(request)
            #expect(challenge.codeText == "4.01")
            #expect(challenge.kind == .nonConfirmable)
            let echo = try #require(challenge.option(252))
            #expect(try client.ask(client.nonConfirmable(Method.post, "/ps/a").with(252, echo)).codeText == "2.04")
        }
    }

    @Test("an Echo is good for one address and port only, and a wrong one is none")
    func others() async throws {
        try await Self.withEcho { gateway in
            let client = try gateway.client()
            let echo = try #require(try client.ask(client.confirmable(Method.post, "/ps/a")).option(252))
            let other = try gateway.client()
            let wrong = [echo.map { $0 ^ 1 }, Array(echo.dropLast()), echo + [0], []]
            for shown in [echo] + wrong {
                #expect(try other.ask(other.confirmable(Method.post, "/ps/a").with(252, shown)).codeText == "4.01")
            }
            #expect(await gateway.core.perform { $0.connectedClients } == 0)
        }
    }

    @Test("what is no request costs nothing: a ping and what is wrong get Reset, all else is dropped")
    func noRequest() async throws {
        try await Self.withEcho { gateway in
            let client = try gateway.client()
            for bytes: [UInt8] in [
                [], [0x40], [0x40, 1, 0], [0x80, 1, 0, 1], [0x59, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                [0x58, 1, 0, 1, 7], [0x50, 0, 0, 1], [0x60, 0, 0, 1], [0x70, 0, 0, 1], [0x50, 0x45, 0, 1],
                // Its answer would be more than three times as long.
                [0x40, 1, 0, 1],
            ] { client.send(bytes) }
            for bytes: [UInt8] in [[0x40, 0, 0x12, 0x34], [0x49, 1, 0x12, 0x35], [0x40, 0x45, 0x12, 0x36]] {
                client.send(bytes)
                let reset = try client.expect()
                #expect(reset.kind == .reset)
                #expect(reset.bytes == [0x70, 0, 0x12, bytes[3]])
            }
        }
    }

    @Test("every byte of a request that shows an Echo may be another, and every length shorter")
    func mutations() async throws {
        try await Self.withEcho { gateway in
            let client = try gateway.client()
            let echo = try #require(try client.ask(client.confirmable(Method.post, "/ps/a")).option(252))
            let whole = client.confirmable(Method.post, "/ps/a", payload: "x").with(252, echo).bytes
            let mutator = try gateway.client()
            for place in whole.indices {
                for value: UInt8 in [0x00, 0x0d, 0x0e, 0x0f, 0xd0, 0xe0, 0xf0, 0xff, whole[place] ^ 0x10] {
                    var bytes = whole
                    bytes[place] = value
                    mutator.send(bytes)
                }
                mutator.send(Array(whole.prefix(place)))
            }
            #expect(try client.ask(client.confirmable(Method.post, "/ps/a").with(252, echo)).codeText == "2.04")
        }
    }

    @Test("where peers heard more than once give way, one that asks again is sent a ping, and its Reset is a proof")
    func crowd() async throws {
        try await withGateway(configuration: .local { $0.idleEndpoints = 2 }) { gateway in
            let value = String(repeating: "x", count: 1_000)
            for _ in 0..<2 {
                let other = try gateway.client()
                for _ in 0..<2 {
                    let put = other.confirmable(Method.put, "/ps/value", payload: value)
                    #expect(try other.ask(put).codeText.hasPrefix("2.0"))
                }
            }
            let device = try gateway.client()
            #expect(try device.ask(device.confirmable(Method.post, "/ps/a")).codeText == "2.04")
            device.send(device.confirmable(Method.post, "/ps/a"))
            let messages = [try #require(device.receive()), try #require(device.receive())]
            #expect(messages.contains { $0.codeText == "2.04" })
            let ping = try #require(messages.first { $0.kind == .confirmable && $0.codeText == "0.00" })
            device.reset(ping)
            #expect(try device.ask(device.confirmable(Method.get, "/ps/value")).text == value)
        }
    }
}
