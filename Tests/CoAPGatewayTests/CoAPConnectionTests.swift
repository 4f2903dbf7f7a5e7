import CoAPGateway
import MQTTCodec
import Testing

/// CoAP over TCP, byte by byte (RFC 8323).
@Suite struct CoAPConnectionTests {
    private func withConnection(_ body: (RawConnection, TestGateway) async throws -> Void) async throws {
        try await withGateway(configuration: .local { $0.transport = .tcp }) { gateway in
            try await body(try RawConnection(port: gateway.port), gateway)
        }
    }

    private func post(_ number: UInt8, payload: String) -> [UInt8] {
        RawConnection.frame(RawMessage(.confirmable, Method.post, 0, token: [number], payload: payload).to("/ps/a/b"))
    }

    @Test("a message is read wherever it is cut", arguments: ["", "longer", String(repeating: "long", count: 100)])
    func cutAnywhere(payload: String) async throws {
        try await withConnection { connection, _ in
            for place in 1..<8 {
                let bytes = post(UInt8(place), payload: payload)
                // The answer to what comes with its beginning says that the server has read so far.
                connection.send(post(0, payload: "") + bytes.prefix(place))
                #expect(try connection.expect().token == [0])
                connection.send(bytes.dropFirst(place))
                let answer = try connection.expect()
                #expect(answer.codeText == "2.04" && answer.token == [UInt8(place)])
            }
        }
    }

    @Test("messages that come together are all read")
    func together() async throws {
        try await withConnection { connection, gateway in
            var bytes: [UInt8] = []
            for number in 0..<200 as Range<UInt8> {
                bytes += post(number, payload: String(repeating: "x", count: Int(number)))
            }
            connection.send(bytes)
            let answers = try (0..<200).map { _ in try connection.expect() }
            #expect(Set(answers.map(\.token)).count == 200 && answers.allSatisfy { $0.codeText == "2.04" })
            #expect(await gateway.received() == 200)
        }
    }

    @Test("a client may ask for much before it reads the first answer, and answers a Ping after all that")
    func manyAtOnce() async throws {
        try await withConnection { connection, gateway in
            let payload = String(repeating: "x", count: 300)
            connection.send((0..<3_000).flatMap { post(UInt8($0 & 0xff), payload: payload) })
            let answers = try (0..<3_000).map { _ in try connection.expect() }
            #expect(answers.allSatisfy { $0.codeText == "2.04" })
            #expect(await gateway.received() == 3_000)
        }
    }

    @Test("a client that asks for large values and confirms none is given no more than 16 MiB of them")
    func unread() async throws {
        try await withConnection { connection, gateway in
            try await gateway.publish("a/b", [String(repeating: "x", count: 1_000_000)], retain: true)
            let get = RawConnection.frame(RawMessage(.confirmable, Method.get, 0, token: [1]).to("/ps/a/b"))
            connection.send((0..<60).flatMap { _ in get })
            let total = try connection.bytesToEnd()
            #expect(total < 25_000_000)
        }
    }
}
