import BrokerCore
import BrokerTestSupport
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Sessions of `/mqtt/connection`, without sockets and clocks.
@Suite struct SessionTests {
    private let elsewhere = EndpointID(rawValue: 2)

    /// Fails the confirmable message that is under way.
    private func fail(_ scene: ServerScene, _ failure: DeliveryFailure = .unreachable) throws -> String {
        for case .confirmable(let id, _, let response) in scene.layer.take() {
            scene.server.failed(id, failure)
            scene.settle()
            return response.text
        }
        throw CoAPFailure(.internalServerError, "nothing was under way")
    }

    @Test("POST begins, PUT is the heartbeat, DELETE ends; nothing goes without the token")
    func lifecycle() throws {
        let scene = ServerScene()
        #expect(scene.ask(.post, "/mqtt/connection")?.code == .badRequest)
        #expect(scene.ask(.get, "/mqtt/connection?clientid=d")?.code == .methodNotAllowed)
        let session = try scene.beginSession("clean=1")
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .changed)
        #expect(scene.ask(.post, "/ps/a?\(session)", payload: "x")?.code == .changed)
        for wrong in ["c=d&t=x", "c=d&t=", "c=e&t=\(session.dropFirst(6))", "c=d"] {
            #expect(scene.ask(.post, "/ps/a?\(wrong)", payload: "x")?.code == .unauthorized, "\(wrong)")
        }
        #expect(scene.ask(.put, "/mqtt/connection?c=d&t=wrong")?.code == .unauthorized)
        #expect(scene.ask(.delete, "/mqtt/connection?\(session)")?.code == .deleted)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .unauthorized)
        #expect(scene.broker.statistics.published == 1)
    }

    @Test(
        "a persistent session keeps what its sleeping device was sent, and a heartbeat from elsewhere gets it, in order"
    )
    func sleepAndMove() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        #expect(scene.ask(.get, "/ps/a?\(session)", observe: 0)?.code == .content)
        for number in 1...40 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        #expect(try fail(scene) == "1")
        for number in 41...60 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        _ = try scene.publish("a", "lost", qos: .atMostOnce)
        scene.settle()
        #expect(scene.layer.take().isEmpty)
        #expect(scene.layer.held[scene.endpoint] == 0)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)", from: elsewhere)?.code == .changed)
        #expect(scene.acknowledgeAll() == (1...60).map(String.init))
    }

    @Test("a device that is heard of while a message is lost again and again is not asleep: it gets it once more")
    func awake() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        for number in 1...3 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        guard case .confirmable(let lost, _, _) = scene.layer.take().first else {
            Issue.record("nothing under way")
            return
        }
        scene.now = scene.now + .seconds(1)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .changed)
        scene.server.failed(lost, .unreachable)
        #expect(scene.acknowledgeAll() == ["1", "2", "3"])
    }

    @Test("a device to which there is no way is asleep: it gets what waits when it is heard of again")
    func noWay() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        scene.layer.sendFailure = .unreachable
        for number in 1...3 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        scene.layer.sendFailure = nil
        _ = try scene.publish("a", "4", qos: .atLeastOnce)
        scene.settle()
        #expect(scene.layer.take().isEmpty)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .changed)
        #expect(scene.acknowledgeAll() == ["1", "2", "3", "4"])
    }

    @Test("with NSTART above 1 as many are under way; those nobody acknowledged come again elsewhere, in order")
    func severalUnderWay() throws {
        let scene = ServerScene { $0.nstart = 3 }
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        for number in 1...6 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        let first = confirmables(scene)
        #expect(first.map(\.text) == ["1", "2", "3"])
        scene.server.acknowledged(first[1].id, now: scene.now)
        scene.settle()
        let second = confirmables(scene)
        #expect(second.map(\.text) == ["4"])
        scene.server.failed(first[2].id, .unreachable)
        scene.settle()
        // libcoap goes on with them for a while.
        scene.server.failed(first[0].id, .unreachable)
        scene.server.acknowledged(second[0].id, now: scene.now)
        scene.settle()
        #expect(scene.layer.take().isEmpty)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)", from: elsewhere)?.code == .changed)
        #expect(scene.acknowledgeAll() == ["1", "3", "4", "5", "6"])
    }

    private func confirmables(_ scene: ServerScene) -> [(id: ConfirmableID, text: String)] {
        scene.layer.take().compactMap { sent in
            if case .confirmable(let id, _, let response) = sent { (id, response.text) } else { nil }
        }
    }

    @Test("a session moves while a notification is under way: it comes again at the new address, once, and in order")
    func moveUnderWay() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        for number in 1...3 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        guard case .confirmable(let old, _, _) = scene.layer.take().first else {
            Issue.record("nothing under way")
            return
        }
        #expect(scene.ask(.post, "/ps/b?\(session)", payload: "x", from: elsewhere)?.code == .changed)
        scene.server.failed(old, .unreachable)
        #expect(scene.acknowledgeAll() == ["1", "2", "3"])
    }

    @Test("Reset ends the observation only: what was under way waits for the next registration")
    func reset() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        for number in 1...3 { _ = try scene.publish("a", "\(number)", qos: .atLeastOnce) }
        scene.settle()
        #expect(try fail(scene, .reset) == "1")
        #expect(scene.acknowledgeAll().isEmpty)
        scene.ask(.get, "/ps/a?\(session)", token: [8], observe: 0)
        #expect(scene.acknowledgeAll() == ["1", "2", "3"])
    }

    @Test("the end of an observation is not that of the subscription, unless it is asked for")
    func deregister() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        scene.ask(.get, "/ps/a?\(session)", observe: 1)
        _ = try scene.publish("a", "kept", qos: .atLeastOnce)
        scene.settle()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        #expect(scene.acknowledgeAll() == ["kept"])
        scene.ask(.get, "/ps/a?\(session)&unsub=1", observe: 1)
        #expect(try scene.publish("a", "gone", qos: .atLeastOnce) == .noMatchingSubscribers)
    }

    @Test("a session that does not persist unsubscribes when its device does not answer")
    func clean() throws {
        let scene = ServerScene()
        let session = try scene.beginSession("clean=1")
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        _ = try scene.publish("a", "x", qos: .atLeastOnce)
        scene.settle()
        #expect(try fail(scene) == "x")
        #expect(try scene.publish("a", "y", qos: .atLeastOnce) == .noMatchingSubscribers)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .changed)
    }

    @Test("silence beyond the Keep Alive publishes the will; the token brings a persistent session back")
    func keepAlive() throws {
        let scene = ServerScene()
        let session = try scene.beginSession("clean=0&ka=10&will-topic=gone&will-payload=d&will-qos=1&will-retain=1")
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        _ = try scene.publish("a", "1", qos: .atLeastOnce)
        scene.settle()
        _ = try fail(scene)
        for _ in 0..<8 {
            scene.now = scene.now + .seconds(2)
            scene.settle()
        }
        #expect(scene.ask(.get, "/ps/gone")?.text == "d")
        _ = try scene.publish("a", "2", qos: .atLeastOnce)
        scene.settle()
        #expect(scene.ask(.put, "/mqtt/connection?\(session)", from: elsewhere)?.code == .changed)
        #expect(scene.acknowledgeAll() == ["1", "2"])
    }

    @Test("heartbeats keep a session, messages nobody acknowledges do not")
    func heartbeat() throws {
        let scene = ServerScene()
        let session = try scene.beginSession("clean=1&ka=10")
        scene.ask(.get, "/ps/a?\(session)&q=0", observe: 0)
        for _ in 0..<5 {
            scene.now = scene.now + .seconds(9)
            #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .changed)
        }
        for _ in 0..<5 {
            scene.now = scene.now + .seconds(4)
            _ = try scene.publish("a", "x", qos: .atMostOnce)
            scene.settle()
        }
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .unauthorized)
    }

    @Test("another client with the Client Identifier takes the session over; the observer is told")
    func takeOver() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/a?\(session)", observe: 0)
        let other = VirtualConnection(
            transportProtocol: .mqtt,
            remoteAddress: "test",
            outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
        )
        _ = scene.broker.connect(ConnectRequest(clientID: "d"), on: other)
        scene.settle()
        guard case .confirmable(_, _, let farewell) = scene.layer.take().first else {
            Issue.record("no farewell")
            return
        }
        #expect(farewell.code == .conflict)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .unauthorized)
    }

    @Test("what waits in the core for a client this gateway does not remember comes after its registration")
    func restored() throws {
        let scene = ServerScene()
        let former = VirtualConnection(
            transportProtocol: .coap,
            remoteAddress: "test",
            outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
        )
        _ = scene.broker.connect(ConnectRequest(clientID: "d", sessionExpiryInterval: .max), on: former)
        let options = SubscriptionOptions(qos: .atLeastOnce)
        scene.broker.subscribe([.init(filter: "a/+", options: options)], identifier: 99, on: former) { _ in }
        scene.broker.disconnect(former, reason: .normalDisconnection)
        for number in 1...100 { _ = try scene.publish("a/b", "\(number)", qos: .atLeastOnce) }
        let answer = try #require(scene.ask(.post, "/mqtt/connection?c=d&clean=0"))
        #expect(answer.code == .changed)
        #expect(scene.layer.take().isEmpty)
        scene.ask(.get, "/ps/a/+?c=d&t=\(answer.text)", observe: 0)
        #expect(scene.acknowledgeAll() == (1...100).map(String.init))
    }

    @Test("a publish with the same id is carried out once, whatever its Message ID and the address it comes from")
    func idempotency() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        for _ in 0..<3 {
            #expect(scene.ask(.post, "/ps/a?\(session)&q=2&id=1", payload: "x", from: elsewhere)?.code == .changed)
        }
        let first = scene.receive(.post, "/ps/a?\(session)&q=2&id=2", payload: "x")
        let second = scene.receive(.post, "/ps/a?\(session)&q=2&id=2", payload: "x")
        scene.settle()
        let answered = scene.layer.take().compactMap { sent -> UInt16? in
            guard case .acknowledgement(let messageID, let response?) = sent, response.code == .changed else {
                return nil
            }
            return messageID
        }
        #expect(Set(answered) == [first, second])
        #expect(scene.broker.statistics.published == 2)
        #expect(scene.ask(.post, "/ps/a?id=3", payload: "x")?.code == .badRequest)
    }

    @Test("a repeat by id is for those only who could publish it, and takes nothing from them")
    func idempotencyOfStrangers() {
        let scene = ServerScene(authenticator: OnlyAlice())
        let (good, bad) = ("/ps/a?c=d&u=alice&p=rabbit", "/ps/a?c=d&u=alice&p=hare")
        #expect(scene.ask(.post, good + "&id=1", payload: "x")?.code == .changed)
        #expect(scene.ask(.post, bad + "&id=1", payload: "x", from: elsewhere)?.code == .unauthorized)
        #expect(scene.ask(.post, good + "&id=1", payload: "x", from: elsewhere)?.code == .changed)
        #expect(scene.broker.statistics.published == 1)
        // A stranger comes first, and gets between two that are the same.
        let requests = [bad, good, bad, good].map { scene.receive(.post, $0 + "&id=2", payload: "x") }
        scene.settle()
        var codes: [UInt16: CoAPCode] = [:]
        for case .acknowledgement(let id, let response?) in scene.layer.take() { codes[id] = response.code }
        #expect(requests.map { codes[$0] } == [.unauthorized, .changed, .unauthorized, .changed])
        #expect(scene.broker.statistics.published == 2)
    }

    @Test("obs=state sends the latest of what could not be sent at once")
    func coalescing() throws {
        let scene = ServerScene()
        scene.ask(.get, "/ps/+?obs=state", observe: 0)
        for number in 1...9 {
            _ = try scene.publish(number.isMultiple(of: 2) ? "a" : "b", "\(number)", qos: .atLeastOnce)
        }
        let payloads = scene.acknowledgeAll()
        #expect(payloads.suffix(2) == ["8", "9"])
        #expect(payloads.count <= 3)
    }

    @Test("sessions have a limit, and a device that begins its own anew is within it")
    func limit() throws {
        let scene = ServerScene { $0.sessions = 1 }
        _ = try scene.beginSession()
        #expect(scene.ask(.post, "/mqtt/connection?clientid=e")?.code == .serviceUnavailable)
        _ = try scene.beginSession()
    }

    @Test("an observation of a session ends where its client says so, wherever it was begun")
    func endsElsewhere() throws {
        let scene = ServerScene()
        let query = try scene.beginSession()
        #expect(scene.ask(.get, "/ps/t?\(query)", token: [9], observe: 0)?.observe != nil)
        let elsewhere = EndpointID(rawValue: 2)
        #expect(scene.ask(.get, "/ps/t?\(query)", token: [9], observe: 1, from: elsewhere)?.code == .content)
        #expect(try scene.publish("t", "1", qos: .atLeastOnce) == .success)
        #expect(scene.acknowledgeAll().isEmpty)
    }
}
