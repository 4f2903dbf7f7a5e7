import BrokerTestSupport
import CoAPGateway
import NIOCore
import Testing

/// A connection without its socket (RFC 8323 §3 to §5).
@Suite struct ConnectionTests {
    // MARK: The first message

    @Test("the first message says how large a message may be, and that bodies may come in blocks")
    func settings() {
        let scene = ConnectionScene()
        let settings = scene.sent()
        #expect(settings.map(\.code) == [SignalCode.csm])
        #expect(settings.first?.integer(2) == 100_000 && settings.first?.option(4) == [])
    }

    @Test(
        "a connection whose first message is another one is aborted",
        arguments: [
            RawMessage(.confirmable, SignalCode.ping, 0), RawMessage(.confirmable, Method.get, 0).to("/ps/a"),
            RawMessage(.confirmable, SignalCode.release, 0), RawMessage(.confirmable, 0x45, 0),
        ]
    )
    func noSettings(first: RawMessage) {
        let scene = ConnectionScene()
        _ = scene.sent()
        scene.take(first)
        #expect(scene.sent().map(\.code) == [SignalCode.abort] && scene.connection.stage == .over)
        #expect(scene.requests.isEmpty)
    }

    @Test("empty messages may come at any time and mean nothing")
    func empty() {
        let scene = ConnectionScene()
        scene.take([0, 0])
        #expect(scene.connection.stage == .greeting)
        scene.greet()
        scene.take([0, 0, 0, 0])
        #expect(scene.sent().isEmpty && scene.connection.stage == .open)
    }

    @Test("before its first message a peer gets no more room than that needs")
    func firstTooLarge() {
        let scene = ConnectionScene()
        _ = scene.sent()
        scene.take(RawMessage(.confirmable, SignalCode.csm, 0, payload: String(repeating: "x", count: 1_200)))
        #expect(scene.sent().map(\.code) == [SignalCode.abort])
    }

    @Test("a first message that does not come in time is waited for no longer")
    func silence() {
        let scene = ConnectionScene()
        _ = scene.sent()
        scene.pass(.seconds(9))
        #expect(scene.connection.stage == .greeting)
        scene.pass(.seconds(1))
        #expect(scene.sent().map(\.code) == [SignalCode.abort] && scene.connection.stage == .over)
    }

    @Test("a peer that speaks something else is told so, and why it got no connection can be told")
    func somethingElse() {
        for (bytes, words) in [
            (
                [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] as [UInt8],
                "the client speaks TLS, which this listener does not"
            ),
            (Array("GET / HTTP/1.1\r\n\r\n".utf8), "a message that is none"),
        ] {
            let scene = ConnectionScene()
            _ = scene.sent()
            scene.take(bytes)
            #expect(scene.sent().map(\.text) == [words] && scene.connection.flaw == words)
        }
    }

    // MARK: Options

    @Test("an option that must be understood and is not ends the connection; of a CSM its number is told")
    func critical() {
        for (code, told) in [(SignalCode.csm, 9), (SignalCode.ping, nil), (0xee as UInt8, nil)] {
            let scene = ConnectionScene().greeted()
            scene.take(RawMessage(.confirmable, code, 0).with(9, [1]))
            let abort = scene.sent()
            #expect(abort.map(\.code) == [SignalCode.abort] && abort.first?.integer(2) == told)
            #expect(abort.first?.text == "option 9 is not known")
        }
    }

    @Test("options that need not be understood, and messages that mean nothing yet, are passed over")
    func elective() {
        let scene = ConnectionScene().greeted()
        scene.take(RawMessage(.confirmable, SignalCode.csm, 0).with(2, [1, 2, 3, 4, 5]).with(10, [1]))
        scene.take(RawMessage(.confirmable, 0xee, 0, payload: "what for"))
        scene.take(RawMessage(.confirmable, SignalCode.pong, 0))
        scene.take(RawMessage(.confirmable, 0x45, 0, token: [1], payload: "an answer to nothing"))
        #expect(scene.sent().isEmpty && scene.connection.stage == .open)
        #expect(scene.connection.largestMessage == 1_152)
    }

    @Test("the last word on the largest message counts; none is as short as a few bytes")
    func largest() {
        let scene = ConnectionScene().greeted()
        scene.take(RawMessage(.confirmable, SignalCode.csm, 0).with(2, integer: 70_000))
        scene.take(RawMessage(.confirmable, SignalCode.csm, 0))
        #expect(scene.connection.largestMessage == 70_000)
        scene.take(RawMessage(.confirmable, SignalCode.csm, 0).with(2, integer: 20))
        #expect(scene.sent().first?.integer(2) == 2)
    }

    // MARK: Ping and Pong

    @Test("a Pong has its Ping's token, and says nothing of custody unless asked")
    func pong() {
        let scene = ConnectionScene().greeted()
        scene.take(RawMessage(.confirmable, SignalCode.ping, 0, token: [0xca, 0xfe]))
        let pongs = scene.sent()
        #expect(pongs.map(\.code) == [SignalCode.pong] && pongs.first?.token == [0xca, 0xfe])
        #expect(pongs.first?.options.isEmpty == true)
    }

    @Test("a Pong with Custody waits for the answers to what came before its Ping, in whatever order they come")
    func custody() {
        let scene = ConnectionScene().greeted()
        for token in 1...2 as ClosedRange<UInt8> { scene.get(token) }
        scene.take(RawMessage(.confirmable, SignalCode.ping, 0, token: [8]).with(2, []))
        scene.get(3)
        scene.take(RawMessage(.confirmable, SignalCode.ping, 0, token: [9]).with(2, []))
        // One without Custody is answered at once.
        scene.take(RawMessage(.confirmable, SignalCode.ping, 0, token: [7]))
        #expect(scene.sent().map(\.token) == [[7]])
        scene.answer(3)
        scene.answer(2)
        #expect(scene.sent().map(\.token) == [[3], [2]])
        scene.answer(1)
        let rest = scene.sent()
        #expect(rest.map(\.token) == [[1], [8], [9]])
        #expect(rest[1].option(2) == [] && rest[2].option(2) == [])
        scene.take(RawMessage(.confirmable, SignalCode.ping, 0, token: [6]).with(2, []))
        #expect(scene.sent().map(\.token) == [[6]])
    }

    @Test("of many Pings that wait for one answer the last ones are told less, at once")
    func manyPings() {
        let scene = ConnectionScene().greeted()
        scene.get(1)
        for token in 0..<66 as Range<UInt8> {
            scene.take(RawMessage(.confirmable, SignalCode.ping, 0, token: [token]).with(2, []))
        }
        let early = scene.sent()
        #expect(early.map(\.token) == [[64], [65]] && early.allSatisfy { $0.options.isEmpty })
        scene.answer(1)
        #expect(scene.sent().count == 65)
    }

    @Test("Pongs confirm in the order of our Pings")
    func confirmed() {
        let scene = ConnectionScene().greeted()
        for id in 1...2 as ClosedRange<UInt> { scene.connection.ping(ConfirmableID(rawValue: id), now: scene.now) }
        #expect(scene.sent().map { $0.option(2) } == [[], []])
        scene.take(RawMessage(.confirmable, SignalCode.pong, 0))
        #expect(scene.confirmed.map(\.rawValue) == [1])
        scene.take(RawMessage(.confirmable, SignalCode.pong, 0))
        #expect(scene.confirmed.map(\.rawValue) == [1, 2])
    }

    @Test("a Ping that is not answered ends the connection")
    func noPong() {
        let scene = ConnectionScene().greeted()
        scene.connection.ping(ConfirmableID(rawValue: 1), now: scene.now)
        scene.pass(.seconds(92))
        #expect(scene.connection.stage == .open)
        scene.pass(.seconds(1))
        #expect(scene.connection.stage == .over)
    }

    // MARK: The end

    @Test("after Release nothing more is read, and what was asked before is answered")
    func release() {
        let scene = ConnectionScene().greeted()
        scene.get(1)
        scene.take(
            RawMessage(.confirmable, SignalCode.release, 0).frame
                + RawMessage(.confirmable, SignalCode.ping, 0).frame
        )
        #expect(scene.connection.stage == .leaving && !scene.connection.isReading)
        scene.answer(1)
        #expect(scene.sent().map(\.token) == [[1]] && scene.connection.stage == .over)
    }

    @Test("after Abort nothing more is read or said")
    func abort() {
        let scene = ConnectionScene().greeted()
        scene.get(1)
        scene.take(
            RawMessage(.confirmable, SignalCode.abort, 0).frame
                + RawMessage(.confirmable, Method.get, 0).to("/ps/a").frame
        )
        #expect(scene.connection.stage == .over && scene.requests.count == 1)
        scene.answer(1)
        #expect(scene.sent().isEmpty)
    }

    @Test(
        "what is no message ends the connection with words",
        arguments: [
            [0x09, 0xe2], [0x01, 0x00, 0x01], [0x00, 0x20], [0x00, 0x60], [0x00, 0xc1],
            // An option longer than the message, and a payload that is not there.
            [0x10, 0x01, 0xb5], [0x10, 0x01, 0xff],
        ]
    )
    func malformed(bytes: [UInt8]) {
        let scene = ConnectionScene().greeted()
        scene.take(bytes)
        let abort = scene.sent()
        #expect(abort.map(\.code) == [SignalCode.abort] && abort.first?.text.isEmpty == false)
        #expect(scene.requests.isEmpty && scene.connection.stage == .over)
    }

    // MARK: Bounds

    @Test("a request that is too large gets 4.13 with what may be, and the next one is read")
    func tooLarge() {
        let scene = ConnectionScene().greeted()
        let large = RawMessage(.confirmable, Method.put, 0, token: [1], payload: String(repeating: "x", count: 64_000))
        scene.take(Array(large.to("/ps/a").frame))
        #expect(scene.requests.count == 1)
        let length = UInt32(200_000)
        scene.take([0xf1] + withUnsafeBytes(of: length.bigEndian) { Array($0) } + [Method.put, 2])
        let refusal = scene.sent()
        #expect(refusal.map(\.codeText) == ["4.13"] && refusal.first?.token == [2])
        #expect(refusal.first?.integer(60) == 100_000)
        scene.take([UInt8](repeating: 0, count: 265_805))
        scene.get(3)
        #expect(scene.requests.count == 2 && scene.connection.footprint < 1_000)
    }

    @Test("what is too large and no request ends the connection")
    func tooLargeSignal() {
        let scene = ConnectionScene().greeted()
        scene.take([0xf0, 0, 1, 0, 0, SignalCode.ping])
        #expect(scene.sent().map(\.code) == [SignalCode.abort])
    }

    @Test("a message that trickles in is waited for as long as it would take with patience, not for ever")
    func trickle() {
        let scene = ConnectionScene().greeted()
        let message = RawMessage(.confirmable, Method.put, 0, token: [1], payload: String(repeating: "x", count: 500))
            .to("/ps/a").frame
        for byte in message.prefix(29) {
            scene.take([byte])
            scene.pass(.seconds(1))
        }
        #expect(scene.connection.stage == .open)
        scene.take([message[29]])
        scene.pass(.seconds(1))
        #expect(scene.sent().map(\.code) == [SignalCode.abort])
    }

    @Test("a large message has more time as it comes")
    func steady() {
        let scene = ConnectionScene().greeted()
        scene.take([0xf0, 0, 0, 0x60, 0, Method.put])
        for _ in 0..<4 {
            scene.take([UInt8](repeating: 0, count: 16_384))
            scene.pass(.seconds(8))
        }
        #expect(scene.connection.stage == .open)
        scene.pass(.seconds(2))
        #expect(scene.connection.stage == .over)
    }

    @Test("nothing more is read while many requests wait for their answers")
    func window() {
        let scene = ConnectionScene { $0.unanswered = 2 }.greeted()
        for token in 1...3 as ClosedRange<UInt8> { scene.get(token) }
        #expect(scene.requests.count == 2 && !scene.connection.isReading)
        // That takes no time of the peer's.
        scene.pass(.seconds(100))
        scene.answer(1)
        #expect(scene.connection.canGoOn)
        scene.goOn()
        #expect(scene.requests.count == 3 && scene.connection.stage == .open)
    }

    @Test("nothing more is read while answers are not, and it is told when there is room for what nobody asked for")
    func backPressure() {
        let scene = ConnectionScene { $0.output = 1_000 }.greeted()
        for token in 1...5 as ClosedRange<UInt8> { scene.get(token) }
        for token in 1...5 as ClosedRange<UInt8> { scene.answer(token, String(repeating: "x", count: 300)) }
        scene.get(6)
        #expect(scene.requests.count == 5 && !scene.connection.isReading)
        #expect(!scene.connection.hasRoom() && !scene.connection.takesRoomBack())
        #expect(scene.sent().count == 5)
        #expect(scene.connection.takesRoomBack() && !scene.connection.takesRoomBack())
        scene.goOn()
        #expect(scene.requests.count == 6)
    }

    @Test("a connection that says nothing for long is released; one that observes is asked whether it is there")
    func idle() {
        let scene = ConnectionScene().greeted()
        scene.pass(.seconds(300))
        #expect(scene.sent().map(\.code) == [SignalCode.release] && scene.connection.stage == .over)
        let observing = ConnectionScene().greeted()
        observing.connection.holds = 1
        observing.pass(.seconds(300))
        #expect(observing.sent().map(\.code) == [SignalCode.ping] && observing.connection.stage == .open)
        observing.take(RawMessage(.confirmable, SignalCode.pong, 0))
        observing.pass(.seconds(200))
        #expect(observing.sent().isEmpty && observing.connection.stage == .open)
    }

    @Test(
        "whatever a peer sends, it is bounded, answered once and left without a rest",
        arguments: 0..<40 as Range<UInt64>
    )
    func anything(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let messages: [[UInt8]] =
            [
                RawMessage(.confirmable, SignalCode.csm, 0).with(2, integer: 4_000),
                RawMessage(.confirmable, SignalCode.ping, 0, token: [1]).with(2, []),
                RawMessage(.confirmable, SignalCode.ping, 0), RawMessage(.confirmable, SignalCode.pong, 0),
                RawMessage(.confirmable, SignalCode.release, 0), RawMessage(.confirmable, Method.get, 0).to("/ps/a"),
                RawMessage(.confirmable, Method.put, 0, token: [2], payload: String(repeating: "y", count: 300)),
                RawMessage(.confirmable, Method.put, 0, token: [3], payload: String(repeating: "z", count: 2_500)),
            ].map(\.frame) + [[0, 0], [0x0d], [0xff]]
        for _ in 0..<100 {
            var script: [UInt8] = [UInt8.random(in: 0...3, using: &generator) == 0 ? 1 : 0]
            for _ in 0..<Int.random(in: 1...40, using: &generator) {
                var bytes = messages.randomElement(using: &generator) ?? []
                if UInt8.random(in: 0...9, using: &generator) == 0 {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
                }
                while !bytes.isEmpty {
                    let part = bytes.prefix(Int.random(in: 1...255, using: &generator))
                    script += [UInt8.random(in: 0..<6, using: &generator), UInt8(part.count)] + part
                    bytes.removeFirst(part.count)
                    if Bool.random(using: &generator) {
                        script += [.random(in: 7...15, using: &generator), .random(in: 0...255, using: &generator)]
                    }
                }
            }
            var run = ConnectionScript(script)
            run.run()
        }
    }
}
