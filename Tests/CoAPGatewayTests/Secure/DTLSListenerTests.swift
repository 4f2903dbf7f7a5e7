import BrokerCore
import CoAPGateway
import CoreRuntime
import MQTTCodec
import NIOCore
import Testing

/// A listener with DTLS, and devices with sockets (RFC 7252 §9.1).
@Suite("CoAP over DTLS", .timeLimit(.minutes(1)))
struct DTLSListenerTests {
    private func configuration(
        _ security: CoAPSecurity = SecureSessionTests.security(),
        _ change: (inout CoAPListener.Configuration) -> Void = { _ in }
    ) -> CoAPListener.Configuration {
        .local {
            $0.security = security
            change(&$0)
        }
    }

    @Test("a device publishes, asks and observes; its acknowledgement is what QoS 1 waits for")
    func serves() async throws {
        try await withGateway(configuration: configuration()) { gateway in
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            let put = device.socket.confirmable(Method.put, "/ps/a", payload: "one")
            #expect(try device.ask(put).codeText == "2.01")
            #expect(try device.ask(device.socket.confirmable(Method.get, "/ps/a")).text == "one")
            let register = device.socket.confirmable(Method.get, "/ps/a?q=1", token: [9]).with(6, integer: 0)
            #expect(try device.ask(register).observe != nil)
            _ = device.receive(within: 200)
            try await gateway.publish("a", ["two", "three"], qos: .atLeastOnce)
            for expected in ["two", "three"] {
                let notification = try #require(device.receive())
                #expect(notification.kind == .confirmable && notification.text == expected)
                // The next one waits for it (NSTART).
                device.send(RawMessage(.acknowledgement, 0, notification.messageID))
            }
        }
    }

    @Test("what comes in the clear is told to the log, and gets no answer")
    func clear() async throws {
        let (events, note) = AsyncStream.makeStream(of: Event.self)
        let log = EventLog(from: .info) { note.yield($0) }
        try await withGateway(configuration: configuration(), events: log) { gateway in
            let client = try gateway.client()
            client.send(client.confirmable(Method.get, "/ps/a"))
            for await event in events where event.kind == .clientRefused {
                #expect(event.fields.contains { $0.value == .text(HandshakeWords.notSecure) })
                break
            }
            #expect(client.receive(within: 100) == nil)
        }
    }

    @Test(
        "RFC 7252 §4.6: a request too large for a datagram gets 4.13, and the session goes on",
        arguments: [1_473, 2_000, 9_000, 16_300]
    )
    func largeRecords(length: Int) async throws {
        try await withGateway(configuration: configuration()) { gateway in
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            device.session.sendLargeRecords()
            for kind in [RawMessage.Kind.confirmable, .nonConfirmable] {
                var request = device.socket.confirmable(Method.post, "/ps/a", token: [5])
                request.kind = kind
                request.payload = Array(repeating: 0x78, count: length - request.bytes.count - 1)
                // Several of them wait for the listener at a time.
                for _ in 0..<3 { device.send(request) }
                for _ in 0..<3 {
                    let answer = try #require(device.receive())
                    #expect(answer.codeText == "4.13" && answer.token == request.token)
                }
            }
            #expect(await gateway.received() == 0)
            let put = device.socket.confirmable(Method.put, "/ps/a", payload: "x")
            #expect(try device.ask(put).codeText == "2.01")
        }
    }

    @Test("records that are too large, and datagrams that no record fits into, harm no session")
    func hugeDatagrams() async throws {
        try await withGateway(configuration: configuration()) { gateway in
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            for (said, length) in [(65_000, 65_000), (18_432, 18_432), (40_000, 300), (1_500, 1_500)] {
                device.socket.send(
                    [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, UInt8(said >> 8), UInt8(said & 0xff)]
                        + [UInt8](repeating: 7, count: length)
                )
            }
            let put = device.socket.confirmable(Method.put, "/ps/a", payload: "x")
            #expect(try device.ask(put).codeText == "2.01")
        }
    }

    @Test("a device that lost its state gets in at once from the same port, and what it had is over")
    func reboot() async throws {
        try await withGateway(configuration: configuration()) { gateway in
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            let register = device.socket.confirmable(Method.get, "/ps/a", token: [9]).with(6, integer: 0)
            _ = try device.ask(register)
            for _ in 0..<3 {
                try device.reboot()
                try device.shakeHands()
                #expect(device.session.isEstablished)
                let put = device.socket.confirmable(Method.put, "/ps/a", payload: "x")
                #expect(try device.ask(put).codeText.hasPrefix("2.0"))
            }
            // Nobody observes any more: the answer is the next that comes.
            try await gateway.publish("a", ["y"])
            #expect(try device.ask(device.socket.confirmable(Method.get, "/nowhere")).codeText.hasPrefix("4."))
        }
    }

    @Test("a handshake that was given up, or has failed, keeps nobody out of the same port")
    func givenUp() async throws {
        try await withGateway(configuration: configuration()) { gateway in
            let device = try SecureRawClient(port: gateway.port)
            for answers in 1...4 {
                try device.reboot()
                try device.shakeHands(answers: answers)
            }
            try device.reboot(.key("nobody", "sesame"))
            try device.shakeHands()
            #expect(device.session.failure != nil)
            try device.reboot(.key("lamp", "sesame"))
            try device.shakeHands()
            #expect(device.session.isEstablished)
        }
    }

    @Test("datagrams that are no records, and ClientHellos that are cut, are not answered and do no harm")
    func noise() async throws {
        try await withGateway(configuration: configuration()) { gateway in
            let stranger = try SecureRawClient(port: gateway.port)
            stranger.session.shakeHands()
            let hello = try #require(stranger.session.takeLast())
            for length in 0..<hello.count { stranger.socket.send(Array(hello.prefix(length))) }
            stranger.socket.send(stranger.socket.confirmable(Method.get, "/ps/a").bytes)
            for type in [20, 21, 22, 23, 24, 25] as [UInt8] {
                stranger.socket.send(
                    [type, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30] + [UInt8](repeating: 7, count: 30)
                )
            }
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            #expect(device.session.isEstablished)
            #expect(stranger.socket.receiveBytes(within: 50) == nil)
            stranger.socket.send(hello)
            #expect(try #require(stranger.socket.receiveBytes())[13] == 3)
        }
    }

    @Test("more handshakes than there may be keep nobody out who means it")
    func manyHandshakes() async throws {
        let few = configuration { $0.handshakes = 4 }
        try await withGateway(configuration: few) { gateway in
            var idle: [SecureRawClient] = []
            for _ in 0..<40 {
                let client = try SecureRawClient(port: gateway.port)
                try client.shakeHands(answers: 2)
                idle.append(client)
            }
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            #expect(device.session.isEstablished)
            #expect(try device.ask(device.socket.confirmable(Method.put, "/ps/a", payload: "x")).codeText == "2.01")
            _ = idle
        }
    }

    @Test("a key that is another one ends its sessions, and the new one lets in")
    func keys() async throws {
        let security = SecureSessionTests.security()
        try await withGateway(configuration: configuration(security)) { gateway in
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            #expect(try device.ask(device.socket.confirmable(Method.put, "/ps/a", payload: "x")).codeText == "2.01")
            security.preSharedKeys?.replace([Array("lamp".utf8): Array("other".utf8)])
            #expect(device.receive() == nil)
            #expect(device.session.failure == 0)
            try device.reboot(.key("lamp", "other"))
            try device.shakeHands()
            #expect(device.session.isEstablished)
        }
    }

    @Test("another certificate is shown to those who come after it, and sessions go on")
    func certificates() async throws {
        let certificates = TestCertificates()
        let certificate = Replaceable(certificates.listener())
        let security = CoAPSecurity(preSharedKeys: nil, certificate: certificate)
        try await withGateway(configuration: configuration(security)) { gateway in
            let own = SecureClient.Credentials.certificate(certificates.authority.sign("lamp"))
            let device = try SecureRawClient(port: gateway.port, own)
            try device.shakeHands()
            let former = device.session.peerCertificate
            certificate.replace(certificates.listener())
            #expect(try device.ask(device.socket.confirmable(Method.put, "/ps/a", payload: "x")).codeText == "2.01")
            let next = try SecureRawClient(port: gateway.port, own)
            try next.shakeHands()
            #expect(next.session.isEstablished)
            #expect(next.session.peerCertificate != former)
            #expect(try device.ask(device.socket.confirmable(Method.get, "/ps/a")).text == "x")
        }
    }

    @Test("a device that nobody observes is forgotten when it says nothing for long, with a goodbye")
    func idle() async throws {
        let short = configuration { $0.idleTimeout = 1 }
        try await withGateway(configuration: short) { gateway in
            let device = try SecureRawClient(port: gateway.port)
            try device.shakeHands()
            #expect(device.receive(within: 10_000) == nil)
            #expect(device.session.failure == 0)
        }
    }
}
