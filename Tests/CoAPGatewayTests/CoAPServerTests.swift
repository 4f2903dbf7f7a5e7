import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Transcripts of the server without a socket, a thread or a clock.
@Suite struct CoAPServerTests {
    /// The one confirmable message sent.
    private func confirmable(_ scene: ServerScene) throws -> (id: ConfirmableID, response: CoAPResponse) {
        let sent = scene.layer.take()
        guard sent.count == 1, case .confirmable(let id, _, let response) = sent[0] else {
            throw CoAPFailure(.internalServerError, "\(sent)")
        }
        return (id, response)
    }

    private func observe(_ scene: ServerScene, _ uri: String, confirmable: Bool = true, token: [UInt8] = [7]) {
        scene.receive(.get, uri, confirmable: confirmable, token: token, observe: 0)
        scene.settle()
        _ = scene.layer.take()
    }

    @Test("a quick answer goes in the acknowledgement")
    func piggybacked() {
        let scene = ServerScene()
        let messageID = scene.receive(.post, "/ps/a", payload: "x")
        #expect(scene.layer.sent.isEmpty)
        scene.settle()
        guard case .acknowledgement(messageID, let response?) = scene.layer.take().first else {
            Issue.record("no answer")
            return
        }
        #expect(response.code == .changed)
    }

    @Test("a PUT does not tell whether a value stood to a client that may not read it")
    func blindWriter() {
        for mayRead in [true, false] {
            let authorizer = WritersOnly(mayRead: mayRead)
            let scene = ServerScene(authorizer: authorizer)
            let codes = (0..<2).map { _ -> CoAPCode? in
                scene.receive(.put, "/ps/a", payload: "x")
                scene.settle()
                guard case .acknowledgement(_, let response?) = scene.layer.take().first else { return nil }
                return response.code
            }
            #expect(codes == (mayRead ? [.created, .changed] : [.changed, .changed]))
        }
    }

    private final class WritersOnly: Authorizer {
        private let mayRead: Bool

        init(mayRead: Bool) { self.mayRead = mayRead }

        func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { true }

        func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { mayRead }
    }

    @Test("retained messages go to an observer at its pace: now and then one must be acknowledged")
    func retainedPace() throws {
        let scene = ServerScene()
        for number in 0..<50 { _ = scene.ask(.put, "/ps/r/\(number)", payload: "\(number)") }
        scene.receive(.get, "/ps/r/+", confirmable: false, observe: 0)
        scene.settle()
        var texts = Set<String>()
        var rounds = 0
        while rounds < 50 {
            rounds += 1
            scene.settle()
            let sent = scene.layer.take()
            guard !sent.isEmpty else { break }
            #expect(sent.count <= 17)
            for item in sent {
                switch item {
                case .acknowledgement: break
                case .nonConfirmable(_, _, let response): texts.insert(response.text)
                case .confirmable(let id, _, let response):
                    texts.insert(response.text)
                    scene.server.acknowledged(id, now: scene.now)
                }
            }
        }
        #expect(texts.subtracting([""]).count == 50)
    }

    @Test("an answer that takes longer follows the empty acknowledgement, in its turn")
    func separate() throws {
        let scene = ServerScene { $0.separateResponseAfter = 500 }
        scene.receive(.put, "/ps/a", payload: "x")
        #expect(scene.server.nextDeadline == scene.now + .milliseconds(500))
        scene.now = scene.now + .milliseconds(500)
        scene.server.endTurn(now: scene.now)
        guard case .acknowledgement(_, nil) = scene.layer.take().first else {
            Issue.record("no empty acknowledgement")
            return
        }
        scene.settle()
        #expect(try confirmable(scene).response.code == .created)
    }

    @Test("duplicates of a pending request are silent while its answer may still be in the acknowledgement")
    func pendingDuplicate() {
        let scene = ServerScene()
        let first = request(.post, "/ps/a", messageID: 9)
        scene.server.received(first, from: scene.endpoint, now: scene.now)
        scene.server.received(first, from: scene.endpoint, now: scene.now)
        #expect(scene.layer.sent.isEmpty)
        scene.settle()
        #expect(scene.layer.take().count == 1)
        #expect(scene.broker.statistics.published == 1)
    }

    @Test("a message is acknowledged to the core when its notification is, so that the core's window bounds us")
    func window() throws {
        let scene = ServerScene { $0.receiveMaximum = 2 }
        observe(scene, "/ps/a")
        for number in 0..<5 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        for expected in 0..<5 {
            let (id, response) = try confirmable(scene)
            #expect(response.withPayload { String(decoding: $0, as: UTF8.self) } == "\(expected)")
            scene.server.acknowledged(id, now: scene.now)
            scene.settle()
        }
        #expect(scene.layer.take().isEmpty)
    }

    @Test("an endpoint that answers no more loses all its observations and is let go")
    func unreachable() throws {
        let scene = ServerScene()
        observe(scene, "/ps/a", token: [1])
        observe(scene, "/ps/b", token: [2])
        #expect(scene.layer.held[scene.endpoint] == 1)
        _ = try scene.publish("a", "x", qos: .atLeastOnce)
        scene.settle()
        scene.server.failed(try confirmable(scene).id, .unreachable)
        scene.settle()
        #expect(try scene.publish("a", "x", qos: .atLeastOnce) == .noMatchingSubscribers)
        #expect(try scene.publish("b", "x", qos: .atLeastOnce) == .noMatchingSubscribers)
        #expect(scene.layer.held[scene.endpoint] == 0)
    }

    @Test("what the network does not take is tried again in a moment, in order, and counts as nothing meanwhile")
    func busy() throws {
        let scene = ServerScene()
        observe(scene, "/ps/a")
        scene.layer.sendFailure = .busy
        for number in 1...3 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        let retry = try #require(scene.server.nextDeadline)
        #expect(retry > scene.now && retry <= scene.now + .milliseconds(100))
        scene.now = retry
        scene.settle()
        #expect(scene.server.nextDeadline.map { $0 > retry } == true)
        scene.layer.sendFailure = nil
        // Not before its time, whatever else happens.
        _ = try scene.publish("a", "4", qos: .atLeastOnce)
        scene.settle()
        #expect(scene.layer.take().isEmpty)
        scene.now = scene.now + .milliseconds(100)
        #expect(scene.acknowledgeAll() == ["1", "2", "3", "4"])
        #expect(scene.server.nextDeadline == nil)
    }

    @Test("what can't be made a message of is given up, and what follows goes")
    func impossible() throws {
        let scene = ServerScene()
        observe(scene, "/ps/a")
        scene.layer.sendFailure = .impossible
        _ = try scene.publish("a", "1", qos: .atLeastOnce)
        scene.settle()
        scene.layer.sendFailure = nil
        _ = try scene.publish("a", "2", qos: .atLeastOnce)
        #expect(scene.acknowledgeAll() == ["2"])
    }

    @Test("a Reset ends the one observation it is for")
    func reset() throws {
        let scene = ServerScene()
        observe(scene, "/ps/a", confirmable: false, token: [1])
        observe(scene, "/ps/b", confirmable: false, token: [2])
        _ = try scene.publish("a", "x", qos: .atMostOnce)
        scene.settle()
        guard case .nonConfirmable(let messageID, _, _) = scene.layer.take().first else {
            Issue.record("no notification")
            return
        }
        scene.server.reset(messageID &+ 1, from: scene.endpoint)
        scene.settle()
        #expect(try scene.publish("a", "x", qos: .atMostOnce) == .success)
        scene.server.reset(messageID, from: scene.endpoint)
        scene.settle()
        #expect(try scene.publish("a", "x", qos: .atMostOnce) == .noMatchingSubscribers)
        #expect(try scene.publish("b", "x", qos: .atMostOnce) == .success)
    }

    @Test("RFC 7641 §4.5: a QoS 0 notification is confirmable once in a while")
    func confirmationInterval() throws {
        let scene = ServerScene { $0.confirmationInterval = 100 }
        observe(scene, "/ps/a", confirmable: false)
        scene.now = scene.now + .seconds(100)
        _ = try scene.publish("a", "x", qos: .atMostOnce)
        scene.settle()
        scene.server.acknowledged(try confirmable(scene).id, now: scene.now)
        _ = try scene.publish("a", "y", qos: .atMostOnce)
        scene.settle()
        guard case .nonConfirmable = scene.layer.take().first else {
            Issue.record("not non-confirmable")
            return
        }
    }

    @Test("a message that expires while it waits is passed over")
    func expired() throws {
        let scene = ServerScene()
        observe(scene, "/ps/a")
        scene.receive(.post, "/ps/a?expiry=5", payload: "soon gone")
        scene.receive(.post, "/ps/a", payload: "stays")
        _ = try scene.publish("a", "first", qos: .atLeastOnce)
        scene.settle()
        let sent = scene.layer.take()
        guard case .confirmable(let id, _, let response) = sent.last else {
            Issue.record("no notification")
            return
        }
        #expect(response.withPayload { String(decoding: $0, as: UTF8.self) } == "first")
        scene.now = scene.now + .seconds(6)
        scene.server.acknowledged(id, now: scene.now)
        scene.settle()
        #expect(try confirmable(scene).response.withPayload { String(decoding: $0, as: UTF8.self) } == "stays")
    }

    @Test("GET with Observe 1 that overtakes the registration's answer leaves no observation")
    func earlyDeregistration() throws {
        let scene = ServerScene()
        scene.receive(.get, "/ps/a", observe: 0)
        scene.receive(.get, "/ps/a", observe: 1)
        scene.settle()
        #expect(try scene.publish("a", "x", qos: .atMostOnce) == .noMatchingSubscribers)
        #expect(scene.layer.held[scene.endpoint] == 0)
    }

    @Test("two observations of one topic share a subscription, which ends with the last")
    func shared() throws {
        let scene = ServerScene()
        observe(scene, "/ps/a", token: [1])
        observe(scene, "/ps/a", token: [2])
        _ = try scene.publish("a", "x", qos: .atMostOnce)
        scene.settle()
        #expect(scene.layer.take().count == 2)
        scene.receive(.get, "/ps/a", token: [1], observe: 1)
        scene.settle()
        #expect(try scene.publish("a", "x", qos: .atMostOnce) == .success)
        scene.receive(.get, "/ps/a", token: [2], observe: 1)
        scene.settle()
        #expect(try scene.publish("a", "x", qos: .atMostOnce) == .noMatchingSubscribers)
    }

    @Test("bounds: observations and clients of one endpoint, and pending requests")
    func bounds() {
        let scene = ServerScene {
            $0.observationsPerEndpoint = 1
            $0.clientsPerEndpoint = 2
            $0.pendingRequests = 2
        }
        observe(scene, "/ps/a", token: [1])
        scene.receive(.get, "/ps/b", token: [2], observe: 0)
        #expect(lastCode(scene) == .tooManyRequests)
        scene.receive(.post, "/ps/a")
        scene.receive(.post, "/ps/a")
        scene.receive(.post, "/ps/a")
        #expect(lastCode(scene) == .serviceUnavailable)
        scene.settle()
        // The observer stays; the idle one gives way to the next.
        for name in ["x", "y", "z"] {
            scene.receive(.post, "/ps/a?c=\(name)")
            scene.settle()
            #expect(lastCode(scene) == nil)
        }
        #expect(scene.broker.statistics.published == 5)
    }

    private func lastCode(_ scene: ServerScene) -> CoAPCode? {
        guard case .acknowledgement(_, let response?) = scene.layer.take().last, response.code.isError else {
            return nil
        }
        return response.code
    }

    @Test("an endpoint that is gone is disconnected, and what the core still says of it is dropped")
    func gone() throws {
        let scene = ServerScene()
        observe(scene, "/ps/a?c=thing")
        scene.receive(.post, "/ps/a?c=thing", payload: "x")
        scene.server.endpointGone(scene.endpoint)
        scene.settle()
        #expect(scene.server.endpointCount == 0)
        #expect(try scene.publish("a", "x", qos: .atMostOnce) == .noMatchingSubscribers)
        #expect(scene.layer.take().isEmpty)
        #expect(scene.server.isSettled)
    }
}
