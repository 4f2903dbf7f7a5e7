import BrokerCore
import CoAPGateway
import CoreRuntime
import Testing

/// CoAP over TLS (RFC 8323 §8.2), over sockets.
@Suite struct TLSListenerTests {
    private static let key = SecureClient.Credentials.key("lamp", "sesame")

    private func withSecureGateway(
        limits: Limits = Limits(),
        places: SocketPlaces = SocketPlaces(Quota.Limit(total: 100)),
        handshakes: Int = 64,
        _ body: (TestGateway, PreSharedKeys) async throws -> Void
    ) async throws {
        let keys = PreSharedKeys([Array("lamp".utf8): Array("sesame".utf8)])
        let configuration = CoAPListener.Configuration.local {
            $0.transport = .tcp
            $0.security = CoAPSecurity(preSharedKeys: keys)
            $0.handshakes = handshakes
        }
        try await withGateway(limits: limits, configuration: configuration, places: places) { try await body($0, keys) }
    }

    private func put(_ token: UInt8, _ payload: String) -> [UInt8] {
        RawMessage(.confirmable, Method.put, 0, token: [token], payload: payload).to("/ps/a").frame
    }

    @Test("messages are carried, of any size and however the records are cut", arguments: ["1.2", "1.3"])
    func messages(version: String) async throws {
        try await withSecureGateway { gateway, _ in
            let words = "NORMAL:-VERS-ALL:+VERS-TLS\(version):+ECDHE-PSK:+PSK:+DHE-PSK"
            let connection = try SecureRawConnection(port: gateway.port, Self.key, priorities: words)
            let large = String(repeating: "x", count: 300_000)
            for (token, payload) in ["", "x", large].enumerated() {
                connection.send(put(UInt8(token), payload))
                #expect(try connection.expect().token == [UInt8(token)])
            }
            connection.client.send(put(9, "y"))
            connection.flush(bytewise: true)
            #expect(try connection.expect().token == [9])
            connection.send(put(1, large) + put(2, large))
            connection.send(RawMessage(.confirmable, Method.get, 0, token: [3]).to("/ps/a").frame)
            #expect(try (0..<3).map { _ in try connection.expect().payload.count } == [0, 0, 300_000])
        }
    }

    @Test("what came before a goodbye is carried out")
    func goodbye() async throws {
        try await withSecureGateway { gateway, _ in
            let connection = try SecureRawConnection(port: gateway.port, Self.key)
            connection.client.send(put(1, "last words"))
            connection.client.goodbye()
            connection.flush()
            #expect(try connection.ends())
            #expect(await gateway.received() == 1)
        }
    }

    @Test("a wrong key is told by an alert, and nothing is left of it")
    func wrongKey() async throws {
        let places = SocketPlaces(Quota.Limit(total: 100))
        try await withSecureGateway(places: places) { gateway, _ in
            for credentials in [SecureClient.Credentials.key("lamp", "wrong"), .key("nobody", "sesame")] {
                let connection = try SecureRawConnection(port: gateway.port, credentials, greets: false)
                try connection.shakeHands()
                #expect(!connection.client.isEstablished && connection.client.failure != nil)
                #expect(try connection.ends())
            }
            #expect(await becomesTrue { places.count == 0 })
        }
    }

    @Test("a key that is replaced ends the connection, with words")
    func replacedKey() async throws {
        try await withSecureGateway { gateway, keys in
            let connection = try SecureRawConnection(port: gateway.port, Self.key)
            keys.replace([Array("lamp".utf8): Array("another".utf8)])
            let abort = try connection.expect()
            #expect(abort.code == SignalCode.abort && abort.text == "the key is another one now")
            #expect(try connection.next() == nil)
            _ = try SecureRawConnection(port: gateway.port, .key("lamp", "another"))
        }
    }

    @Test("a handshake that is not finished in time, or that is one too many, ends")
    func handshakes() async throws {
        var limits = Limits()
        limits.connectTimeout = 4
        let places = SocketPlaces(Quota.Limit(total: 100))
        try await withSecureGateway(limits: limits, places: places, handshakes: 4) { gateway, _ in
            let silent = try (0..<5).map { _ in
                try SecureRawConnection(port: gateway.port, Self.key, greets: false)
            }
            // Two of one address are as many as there may be: the first ones give way.
            #expect(await becomesTrue { places.count <= 2 })
            for connection in silent { #expect(try connection.ends()) }
            _ = try SecureRawConnection(port: gateway.port, Self.key)
        }
    }
}
