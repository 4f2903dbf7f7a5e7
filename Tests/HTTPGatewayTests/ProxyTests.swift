import BrokerCore
import HTTPGateway
import HTTPServer
import HTTPTestSupport
import MQTTCodec
import NIOConcurrencyHelpers
import NIOCore
import NetworkListeners
import Testing

@Suite(.timeLimit(.minutes(1))) struct ProxyTests {
    private static let loopback = TrustedProxies([AddressRange("127.0.0.0/8")].compactMap(\.self))

    @Test(
        "a range holds the addresses that begin with its bits",
        arguments: [
            ("10.0.0.0/8", "10.255.1.2", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false), ("10.1.2.128/25", "10.1.2.200", true),
            ("10.1.2.128/25", "10.1.2.100", false), ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false),
            ("2001:db8::/32", "2001:db8:1::5", true), ("2001:db8::/32", "2001:db9::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
        ]
    )
    func ranges(range: String, address: String, isIn: Bool) throws {
        let proxies = TrustedProxies([try #require(AddressRange(range))])
        #expect(proxies.contains(try #require(IPAddress(address))) == isIn)
    }

    @Test("what is no range is none", arguments: ["", "x", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0/8", "/8"])
    func badRanges(text: String) {
        #expect(AddressRange(text) == nil)
    }

    @Test(
        "the client is the last forwarded address that is no trusted proxy",
        arguments: [
            (["1.1.1.1"], "1.1.1.1"), (["6.6.6.6, 1.1.1.1"], "1.1.1.1"), (["6.6.6.6", "1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            (["1.1.1.1:4711"], "1.1.1.1"), (["[2001:db8::1]:80"], "2001:db8::1"), (["2001:db8::1"], "2001:db8::1"),
            (["10.0.0.9, 10.0.0.2"], "10.0.0.9"), (["unknown"], nil), (["unknown, 10.0.0.2"], "10.0.0.2"), ([], nil),
        ] as [([String], String?)]
    )
    func forwarded(values: [String], client: String?) throws {
        let proxies = TrustedProxies([try #require(AddressRange("10.0.0.0/8"))])
        let peer = try #require(IPAddress("10.0.0.1"))
        #expect(proxies.client(behind: peer, values)?.description == client)
        let stranger = try #require(IPAddress("11.0.0.1"))
        #expect(proxies.client(behind: stranger, values) == nil)
    }

    // MARK: The PROXY protocol

    private static func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
        [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, command, family]
            + [UInt8(rest.count >> 8), UInt8(rest.count & 0xff)] + rest
    }

    private static let goodHeaders: [([UInt8], String?)] = [
        (Array("PROXY TCP4 1.2.3.4 5.6.7.8 4711 80\r\n".utf8), "1.2.3.4 4711"),
        (Array("PROXY TCP6 2001:db8::1 ::1 1 2\r\n".utf8), "2001:db8::1 1"), (Array("PROXY UNKNOWN\r\n".utf8), nil),
        (Array("PROXY UNKNOWN ff ff 1 2\r\n".utf8), nil),
        (binary(0x21, 0x11, [1, 2, 3, 4, 5, 6, 7, 8, 0x12, 0x67, 0, 80]), "1.2.3.4 4711"),
        // With more that the proxy says.
        (binary(0x21, 0x11, [1, 2, 3, 4, 5, 6, 7, 8, 0x12, 0x67, 0, 80, 4, 0, 1, 9]), "1.2.3.4 4711"),
        (
            binary(
                0x21,
                0x21,
                [UInt8](repeating: 0, count: 15) + [1] + [UInt8](repeating: 9, count: 16) + [0, 7, 0, 8]
            ), "::1 7"
        ),
        (binary(0x20, 0x00, []), nil), (binary(0x21, 0x31, [UInt8](repeating: 0, count: 216)), nil),
    ]

    @Test("both versions are read, however they are cut, and nothing after them", arguments: goodHeaders)
    func headers(bytes: [UInt8], client: String?) throws {
        for length in 0..<bytes.count {
            var part = ByteBuffer(bytes: bytes.prefix(length))
            #expect(try ProxyHeader.read(&part) == nil)
            #expect(part.readableBytes == length)
        }
        var whole = ByteBuffer(bytes: bytes + Array("GET".utf8))
        let header = try #require(try ProxyHeader.read(&whole))
        #expect(header.client.map { "\($0.address) \($0.port)" } == client)
        #expect(String(buffer: whole) == "GET")
    }

    @Test(
        "what is no header is malformed",
        arguments: [
            Array("GET / HTTP/1.1\r\n".utf8), Array("PROXY TCP4 1.2.3.4 5.6.7.8 4711\r\n".utf8),
            Array("PROXY TCP4 x 5.6.7.8 1 2\r\n".utf8), Array("PROXY TCP4 1.2.3.4 5.6.7.8 70000 2\r\n".utf8),
            Array("PROXY UNKNOWN\n".utf8), Array("PROXY \(String(repeating: "x", count: 200))".utf8),
            binary(0x11, 0x11, []), binary(0x22, 0x11, []), binary(0x21, 0x11, [1, 2]),
            [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0xff, 0xff],
        ]
    )
    func malformed(bytes: [UInt8]) {
        var buffer = ByteBuffer(bytes: bytes)
        #expect(throws: ProxyHeader.Malformed.self) { try ProxyHeader.read(&buffer) }
    }

    /// Remembers where its clients come from.
    private final class Addresses: Authenticator, Sendable {
        let seen = NIOLockedValueBox<[String]>([])

        func authenticate(_ credentials: Credentials) -> Authentication {
            seen.withLockedValue { $0.append(credentials.remoteAddress) }
            return .accepted(userName: nil)
        }
    }

    @Test("a trusted proxy's word on the client's address reaches the broker, of requests and of WebSockets")
    func addresses() async throws {
        let addresses = Addresses()
        try await TestServer.run(
            authenticator: addresses,
            configuration: .test { $0.server.trustedProxies = Self.loopback }
        ) { server in
            let forwarded = "X-Forwarded-For: 203.0.113.7, 127.0.0.9"
            #expect(try await server.request("POST", "/publish?topic=a", [forwarded], body: "x").status == 200)
            let socket = try await WebSocketClient.open(server, fields: [forwarded])
            try await socket.send(2, WebSocketClient.bytes(.connect(Connect(clientID: "c"))))
            _ = try await socket.packets(1)
        }
        #expect(addresses.seen.withLockedValue(\.self) == ["203.0.113.7", "203.0.113.7"])
    }

    @Test("nobody else's is believed")
    func strangers() async throws {
        let addresses = Addresses()
        try await TestServer.run(authenticator: addresses) { server in
            let forwarded = "X-Forwarded-For: 203.0.113.7"
            _ = try await server.request("POST", "/publish?topic=a", [forwarded], body: "x")
        }
        #expect(addresses.seen.withLockedValue(\.self).first?.hasPrefix("127.0.0.1:") == true)
    }

    @Test("a PROXY header is taken off a trusted connection, and one without it is closed")
    func proxyProtocol() async throws {
        let addresses = Addresses()
        try await TestServer.run(
            authenticator: addresses,
            configuration: .test {
                $0.server.trustedProxies = Self.loopback
                $0.server.expectsProxyProtocol = true
            }
        ) { server in
            let client = try await server.connect()
            try await client.send(
                "PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\nPUT /v1/topics/a HTTP/1.1\r\nHost: a\r\n"
            )
            try await client.send("Content-Length: 1\r\nConnection: close\r\n\r\n1")
            #expect(try await client.untilClosed().hasPrefix("HTTP/1.1 200"))
            let without = try await server.connect()
            try await without.send("GET /v1/topics/a HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await without.untilClosed().isEmpty)
        }
        #expect(addresses.seen.withLockedValue(\.self) == ["203.0.113.7:4711"])
    }
}
