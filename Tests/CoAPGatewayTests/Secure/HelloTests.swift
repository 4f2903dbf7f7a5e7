import BrokerTestSupport
import CGnuTLS
import CoAPGateway
import NIOCore
import Testing

/// What is done for ClientHellos before anything is kept of them (RFC 6347 §4.2.1).
@Suite struct HelloTests {
    private func hello() throws -> [UInt8] {
        let client = try SecureClient(.datagrams, .key("lamp", "sesame"))
        client.shakeHands()
        return try #require(client.outgoing.first)
    }

    private func judge(_ bytes: [UInt8]) -> ClientHello.Record { bytes.withUnsafeBytes { ClientHello.judge($0) } }

    private func check(
        _ cookies: HelloCookies,
        _ hello: [UInt8],
        from address: [UInt8],
        at now: NIODeadline
    ) -> [UInt8]? {
        var answer: [UInt8]?
        let proof = hello.withUnsafeBytes { hello in
            address.withUnsafeBytes { address in
                cookies.check(hello, from: address, now: now) { answer = [UInt8]($0) }
            }
        }
        if proof != nil { answer = [] }
        return answer
    }

    @Test("a datagram is judged by the types it names; what is cut is useless, however short")
    func judgement() throws {
        let hello = try hello()
        guard case .hello = judge(hello) else { return #expect(Bool(false), "\(hello)") }
        for length in 0..<hello.count { #expect(judge(Array(hello.prefix(length))) == .useless, "\(length)") }
        var other = hello
        other[0] = 23
        #expect(judge(other) == .other)
        other[0] = 0x44
        #expect(judge(other) == .clear)
        other[0] = 0x84
        #expect(judge(other) == .useless)
        #expect(judge([0x40, 1, 0, 0]) == .clear)
        #expect(judge([0x40, 1, 0]) == .useless)
        var fragment = hello
        fragment[13 + 8] = 1
        #expect(judge(fragment) == .useless)
        var encrypted = hello
        encrypted[4] = 1
        #expect(judge(encrypted) == .other)
        var certificate = hello
        certificate[13] = 11
        #expect(judge(certificate) == .other)
    }

    @Test("the answer to a ClientHello is smaller than it is, and proves an address only that it went to")
    func cookie() throws {
        let now = NIODeadline.now()
        let cookies = try HelloCookies(now: now)
        let client = try SecureClient(.datagrams, .key("lamp", "sesame"))
        client.shakeHands()
        let first = try #require(client.takeLast())
        let (address, other): ([UInt8], [UInt8]) = ([127, 0, 0, 1, 0, 7], [127, 0, 0, 1, 0, 8])
        let request = try #require(check(cookies, first, from: address, at: now))
        #expect(!request.isEmpty && request.count < first.count)
        client.incoming = [request]
        client.shakeHands()
        let second = try #require(client.takeLast())
        #expect(check(cookies, second, from: address, at: now) == [])
        #expect(check(cookies, second, from: other, at: now)?.isEmpty == false)
        let strangers = try HelloCookies(now: now)
        #expect(check(strangers, second, from: address, at: now)?.isEmpty == false)
        // Its key is renewed, and renewed again; one that nobody has used meanwhile is no better.
        #expect(check(cookies, second, from: address, at: now + .seconds(61)) == [])
        #expect(check(cookies, second, from: address, at: now + .seconds(122))?.isEmpty == false)
        let idle = try HelloCookies(now: now)
        #expect(check(idle, second, from: address, at: now + .seconds(1_000))?.isEmpty == false)
    }

    @Test("a device that lost its state gets in again with a proof, and a hello of before is none")
    func reentry() throws {
        let server = try SecureServer(SecureSessionTests.security(), .datagrams)
        let first = try SecureClient(.datagrams, .key("lamp", "sesame"))
        try carry(first, server)
        #expect(first.isEstablished)
        let former = server.session
        server.forget()
        let second = try SecureClient(.datagrams, .key("lamp", "sesame"))
        try carry(second, server)
        #expect(second.isEstablished)
        #expect(former !== server.session)
    }

    @Test("ClientHellos that are changed anywhere make no session and no harm")
    func mutations() throws {
        var generator = SplitMix64(seed: 15)
        let cookies = try HelloCookies(now: .now())
        let hello = try hello()
        for _ in 0..<20_000 {
            var bytes = hello
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[place] = .random(in: 0...255, using: &generator)
                case 1: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
                case 2: bytes.insert(.random(in: 0...255, using: &generator), at: place)
                default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                }
            }
            guard case .hello = judge(bytes) else { continue }
            let answer = check(cookies, bytes, from: [1, 2, 3, 4, 5, 6], at: .now())
            #expect((answer?.count ?? 0) < bytes.count)
            #expect(answer != [])
        }
    }
}
