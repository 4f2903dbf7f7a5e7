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
}
