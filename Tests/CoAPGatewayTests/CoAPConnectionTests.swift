import BrokerCore
import CoAPGateway
import CoreRuntime
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
        RawMessage(.confirmable, Method.post, 0, token: [number], payload: payload).to("/ps/a/b").frame
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

    @Test("a client that asks for much at once gets it all, at the pace it reads")
    func muchAtOnce() async throws {
        try await withConnection { connection, gateway in
            try await gateway.publish("a/b", [String(repeating: "x", count: 1_000_000)], retain: true)
            let get = RawMessage(.confirmable, Method.get, 0, token: [1]).to("/ps/a/b").frame
            connection.send((0..<30).flatMap { _ in get })
            for _ in 0..<30 { #expect(try connection.expect().payload.count == 1_000_000) }
        }
    }

    @Test("what a client asks for and does not read is not kept beyond what connections may keep")
    func unread() async throws {
        let bytes = ConnectionBytes(Quota.Limit(total: 8_388_608))
        let places = SocketPlaces(Quota.Limit(total: 100))
        try await withGateway(configuration: .local { $0.transport = .tcp }, places: places, bytes: bytes) { gateway in
            try await gateway.publish("a/b", [String(repeating: "x", count: 1_000_000)], retain: true)
            let connection = try RawConnection(port: gateway.port)
            let get = RawMessage(.confirmable, Method.get, 0, token: [1]).to("/ps/a/b").frame
            connection.send((0..<60).flatMap { _ in get })
            #expect(await becomesTrue { places.count == 0 })
            #expect(bytes.used == 0)
        }
    }

    @Test(
        "notifications wait for an observer that does not read for a while",
        arguments: [QoS.atMostOnce, .atLeastOnce]
    )
    func slowObserver(qos: QoS) async throws {
        try await withConnection { connection, gateway in
            connection.send(
                RawMessage(.confirmable, Method.get, 0, token: [1]).with(6, []).to("/ps/a?q=\(qos.rawValue)")
            )
            #expect(try connection.expect().observe != nil)
            // More than is kept for a connection, and less than for a client.
            let payloads = (0..<80).map { "\($0) " + String(repeating: "x", count: 10_000) }
            try await gateway.publish("a", payloads, qos: qos)
            for payload in payloads { #expect(try connection.expect().text == payload) }
        }
    }

    @Test("a client that has finished what it sends gets its answers, and then the end")
    func halfClosed() async throws {
        try await withConnection { connection, gateway in
            connection.send((0..<100).flatMap { post(UInt8($0), payload: "x") })
            connection.finish()
            let answers = try (0..<100).map { _ in try connection.expect() }
            #expect(answers.allSatisfy { $0.codeText == "2.04" })
            #expect(try connection.bytesToEnd() == 0)
            #expect(await gateway.received() == 100)
        }
    }

    @Test("why a connection is aborted is heard, though more was sent than was read")
    func abortIsHeard() async throws {
        try await withConnection { connection, _ in
            connection.send([0x0f] + [UInt8](repeating: 0, count: 300_000))
            let abort = try connection.expect()
            #expect(abort.code == SignalCode.abort && abort.text == "a token longer than 8 bytes")
            #expect(try connection.bytesToEnd() == 0)
        }
    }

    @Test("when the broker stops, it releases its connections")
    func stop() async throws {
        var left: RawConnection?
        try await withConnection { connection, _ in left = connection }
        #expect(try left?.expect().code == SignalCode.release)
        #expect(try left?.bytesToEnd() == 0)
    }

    @Test("a connection that does not say in time what it is gets an end")
    func silence() async throws {
        var limits = Limits()
        limits.connectTimeout = 1
        let places = SocketPlaces(Quota.Limit(total: 100))
        try await withGateway(limits: limits, configuration: .local { $0.transport = .tcp }, places: places) {
            gateway in
            let silent = try RawConnection(port: gateway.port, greets: false)
            #expect(try silent.expect().code == SignalCode.csm)
            #expect(try silent.expect().code == SignalCode.abort)
            #expect(try silent.bytesToEnd() == 0)
            #expect(await becomesTrue { places.count == 0 })
        }
    }

    @Test("of an end in the middle of things nothing is left")
    func ends() async throws {
        let places = SocketPlaces(Quota.Limit(total: 1_000))
        let bytes = ConnectionBytes(Quota.Limit(total: 8_388_608))
        try await withGateway(configuration: .local { $0.transport = .tcp }, places: places, bytes: bytes) { gateway in
            let csm: [UInt8] = [0, 0xe1]
            let get = RawMessage(.confirmable, Method.get, 0, token: [1]).with(6, []).to("/ps/a/b").frame
            let ends: [[UInt8]] = [
                csm + [0, 0xe4], csm + [0, 0xe4, 0, 0xe2], csm + [0, 0xe5] + csm,
                [0, 0xe4, 0x10, 0x10, 0x20, 0x10, 0x20, 0],
                [0, 0xe5, 0x10, 0xe2, 0x20, 0, 0x2e], csm + get, csm + get + [0, 0xe4] + get, csm + [0xd0, 0xff, 2],
                [0xd0], [],
                csm + [0xf0, 0, 0, 0xff, 0xff, 2] + [UInt8](repeating: 0, count: 20_000), csm + [9],
            ]
            for end in ends {
                for _ in 0..<10 { try RawConnection(port: gateway.port, greets: false).send(end) }
            }
            #expect(await becomesTrue { places.count == 0 && bytes.used == 0 })
        }
    }

    @Test("one address has half of a listener's connections")
    func share() async throws {
        let configuration = CoAPListener.Configuration.local {
            $0.transport = .tcp
            $0.idleEndpoints = 8
        }
        let places = SocketPlaces(Quota.Limit(total: 100))
        try await withGateway(configuration: configuration, places: places) { gateway in
            var connections = try (0..<4).map { _ in try RawConnection(port: gateway.port) }
            #expect(try RawConnection(port: gateway.port, greets: false).bytesToEnd() == 0)
            // Of one that goes the place is free.
            connections.removeLast()
            #expect(await becomesTrue { places.count == 3 })
            connections.append(try RawConnection(port: gateway.port))
        }
    }

    @Test("bodies go up and down in blocks of any number of kilobytes")
    func bert() async throws {
        try await withConnection { connection, _ in
            let body = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            func put(_ number: Int, more: Bool, _ part: ArraySlice<UInt8>) throws -> RawMessage {
                var block = RawMessage(.confirmable, Method.put, 0, token: [1]).to("/ps/large")
                block = block.block1(number, more: more, exponent: 7)
                block.payload = Array(part)
                connection.send(block)
                return try connection.expect()
            }
            #expect(try put(0, more: true, body[..<4_096]).codeText == "2.31")
            #expect(try put(4, more: true, body[4_096..<5_000]).codeText == "4.00")
            #expect(try put(0, more: true, body[..<4_096]).codeText == "2.31")
            #expect(try put(4, more: false, body[4_096...]).codeText.hasPrefix("2.0"))
            connection.send(RawMessage(.confirmable, SignalCode.csm, 0).with(2, integer: 5_000))
            func get(_ number: Int) throws -> RawMessage {
                connection.send(
                    RawMessage(.confirmable, Method.get, 0, token: [1]).to("/ps/large").block2(number, exponent: 7)
                )
                return try connection.expect()
            }
            let first = try get(0)
            #expect(first.integer(23) == 0x0f && first.payload == Array(body[..<4_096]))
            #expect(try get(4).payload == Array(body[4_096..<8_192]))
            let last = try get(8)
            #expect(last.integer(23) == 0x87 && last.payload == Array(body[8_192...]))
        }
    }
}
