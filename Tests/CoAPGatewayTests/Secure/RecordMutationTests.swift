import BrokerTestSupport
import CGnuTLS
import CoAPGateway
import Foundation
import NIOCore
import Testing

/// Records that somebody has changed.
@Suite struct RecordMutationTests {
    /// `SLUICE_MUTATIONS=100` makes that many times as many.
    private static let times = ProcessInfo.processInfo.environment["SLUICE_MUTATIONS"].flatMap { Int($0) } ?? 1

    private func mutated(_ bytes: [UInt8], _ generator: inout SplitMix64) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &generator) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: bytes[place] = .random(in: 0...255, using: &generator)
            case 1: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
            case 2: bytes.insert(.random(in: 0...255, using: &generator), at: place)
            case 3: bytes += bytes
            default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            }
        }
        return bytes
    }

    @Test("changed, foreign and repeated datagrams end no session and silence none, and each message is read once")
    func established() throws {
        var generator = SplitMix64(seed: 7)
        let client = try SecureClient(.datagrams, .key("lamp", "sesame"))
        let server = try SecureServer(SecureSessionTests.security(), .datagrams)
        var handshake: [[UInt8]] = []
        try carry(client, server) { fromClient, bytes in
            if fromClient { handshake.append(bytes) }
            return [bytes]
        }
        for number in 0..<4_000 * Self.times {
            client.send([1, 2, UInt8(truncatingIfNeeded: number)])
            let record = try #require(client.takeLast())
            server.forgetReceived()
            // What was put behind the record or is not protected, as the version, changes nothing.
            try server.take(mutated(record, &generator))
            try server.take(handshake[number % handshake.count])
            try server.take(mutated(handshake[number % handshake.count], &generator))
            try server.take(record)
            try server.take(record)
            try #require(server.received.count == 1 && !server.isOver, "\(number)")
            #expect(server.received.last == [1, 2, UInt8(truncatingIfNeeded: number)])
        }
    }

    @Test(
        "changed records of a handshake get nobody in who has not the key",
        arguments: [SecureTransport.datagrams, .connections]
    )
    func handshakes(transport: SecureTransport) throws {
        var generator = SplitMix64(seed: 11)
        let security = SecureSessionTests.security(TestCertificates().listener())
        for round in 0..<1_500 * Self.times {
            let isKeyWrong = round.isMultiple(of: 2)
            let client = try SecureClient(
                transport,
                .key("lamp", isKeyWrong ? "wrong" : "sesame"),
                retransmission: 60_000
            )
            let server = try SecureServer(security, transport)
            let victim = Int.random(in: 0..<12, using: &generator)
            var number = 0
            // The client's end reads what is not changed: it is GnuTLS's alone.
            try carry(client, server) { fromClient, bytes in
                number += 1
                guard fromClient, number == victim else { return [bytes] }
                return [mutated(bytes, &generator)]
            }
            if isKeyWrong { #expect(server.established == nil) }
            if let established = server.established { #expect(established?.name == "lamp") }
            #expect(server.received.isEmpty)
        }
    }

    @Test("bytes that are no TLS end the session with words")
    func noise() throws {
        let get: [UInt8] = Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
        let server = try SecureServer(SecureSessionTests.security(), .connections)
        try server.take(get)
        #expect(server.isOver)
        #expect(server.refusals.count == 1)
        var generator = SplitMix64(seed: 3)
        for _ in 0..<3_000 * Self.times {
            let server = try SecureServer(SecureSessionTests.security(), .connections)
            let count = Int.random(in: 0..<200, using: &generator)
            try server.take((0..<count).map { _ in .random(in: 0...255, using: &generator) })
            #expect(server.established == nil)
        }
    }

    @Test("a handshake over a connection takes so many bytes and no more, and what comes after it does not count")
    func largeHandshake() throws {
        // The beginning of a ClientHello that says it has 16 MiB.
        var record: [UInt8] = [22, 3, 1, 0x40, 0] + [UInt8](repeating: 0, count: 16_384)
        record.replaceSubrange(5..<9, with: [1, 0xff, 0xff, 0xff])
        let server = try SecureServer(SecureSessionTests.security(), .connections)
        var count = 0
        while !server.isOver, count < 1_048_576 {
            try server.take(record)
            count += record.count
        }
        #expect(count <= 90_000)
        let client = try SecureClient(.connections, .key("lamp", "sesame"))
        let other = try SecureServer(SecureSessionTests.security(), .connections)
        client.shakeHands()
        for bytes in client.outgoing { try other.take(bytes) }
        client.outgoing = []
        client.incoming += other.outgoing
        client.shakeHands()
        for _ in 0..<8 { client.send([UInt8](repeating: 7, count: 16_000)) }
        try other.take(client.outgoing.flatMap { $0 })
        #expect(other.received.reduce(0) { $0 + $1.count } == 128_000)
    }
}
