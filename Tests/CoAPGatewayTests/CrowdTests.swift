import CoAPGateway
import NIOCore
import Testing

/// Known peers are served while a flood of others goes on.
@Suite struct CrowdTests {
    private static func crowd(contexts: Int = 1, looks: Int) -> Crowd {
        var bounds = Crowd.Bounds()
        bounds.looks = looks
        bounds.span = .milliseconds(100)
        return Crowd(contexts: contexts, bounds: bounds)
    }

    private static func peer(_ number: Int) -> PeerAddress {
        PeerAddress(ipv4: 0x7f00_0001, port: UInt16(number))
    }

    private static func begin(_ crowd: Crowd, _ peers: Range<Int>) {
        for number in peers { crowd.entered(peer(number)) }
    }

    @Test("strangers have to wait once the sessions looked at for them are too many")
    func looks() {
        let crowd = Self.crowd(looks: 10)
        crowd.look(now: .uptimeNanoseconds(1))
        Self.begin(crowd, 0..<3)
        // 1, 2 and 3 sessions were looked at.
        #expect(!crowd.isTooMuch)
        Self.begin(crowd, 3..<4)
        #expect(crowd.isTooMuch)
    }

    @Test("peers that several contexts share cost that much less each, but always something")
    func contexts() {
        let crowd = Self.crowd(contexts: 4, looks: 10)
        crowd.look(now: .uptimeNanoseconds(1))
        Self.begin(crowd, 0..<8)
        #expect(!crowd.isTooMuch)
        // Seven cost 1, the eighth 2, the ninth 2.
        Self.begin(crowd, 8..<9)
        #expect(crowd.isTooMuch)
    }

    @Test("strangers may come again when the span is over, and not before")
    func span() {
        let crowd = Self.crowd(looks: 1)
        let begin = NIODeadline.uptimeNanoseconds(1)
        crowd.look(now: begin)
        Self.begin(crowd, 0..<1)
        crowd.look(now: begin + .milliseconds(99))
        #expect(crowd.isTooMuch)
        crowd.look(now: begin + .milliseconds(100))
        #expect(!crowd.isTooMuch)
    }

    @Test("a peer with several sessions is known until the last one is over")
    func severalSessions() {
        let crowd = Self.crowd(looks: 1)
        for _ in 0..<3 { crowd.entered(Self.peer(1)) }
        for _ in 0..<2 { crowd.left(Self.peer(1)) }
        #expect(crowd.knows(Self.peer(1)))
        crowd.left(Self.peer(1))
        #expect(!crowd.knows(Self.peer(1)))
    }

    @Test("peers are known by address and port from when they enter to when they leave")
    func known() {
        let crowd = Self.crowd(looks: 1)
        #expect(!crowd.knows(Self.peer(1)))
        Self.begin(crowd, 1..<2)
        #expect(crowd.knows(Self.peer(1)))
        #expect(!crowd.knows(Self.peer(2)))
        #expect(!crowd.knows(PeerAddress(ipv4: 0x7f00_0002, port: 1)))
        crowd.left(Self.peer(1))
        #expect(!crowd.knows(Self.peer(1)))
    }

    @Test("a known device is served while strangers flood the socket", arguments: [true, false])
    func flood(inBatches: Bool) async throws {
        let admitted = 40
        let configuration = CoAPListener.Configuration.local {
            $0.shards = 1
            $0.batchesDatagrams = inBatches
            // As many strangers as that costs, and no more however long the test takes.
            $0.strangers.looks = admitted * (admitted + 1) / 2
            $0.strangers.span = .hours(1)
        }
        try await withGateway(configuration: configuration) { gateway in
            let device = try gateway.client()
            #expect(try device.ask(device.confirmable(Method.post, "/ps/known", payload: "x")).codeText == "2.04")
            let (rounds, strangers) = (20, 200)
            for _ in 0..<rounds {
                for _ in 0..<strangers {
                    let stranger = try gateway.client()
                    stranger.send(stranger.nonConfirmable(Method.post, "/ps/flood", payload: "x"))
                }
                let request = device.confirmable(Method.post, "/ps/known", payload: "x")
                #expect(try device.insist(request).codeText == "2.04")
            }
            let published = Int(await gateway.received())
            #expect(published >= rounds + 1)
            // Of the strangers those that had come in the same moment as the last one admitted.
            #expect(published < rounds + 1 + admitted + 64)
        }
    }
}

extension RawClient {
    /// Sends a request again, as a device does, until it is answered.
    fileprivate func insist(_ request: RawMessage) throws -> RawMessage {
        for _ in 0..<5 {
            send(request)
            if let answer = receive(within: 1_000) { return answer }
        }
        return try expect()
    }
}
