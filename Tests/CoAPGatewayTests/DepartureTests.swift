import BrokerCore
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Devices that leave, move or end their session while something is under way, without sockets and clocks.
@Suite struct DepartureTests {
    private let elsewhere = EndpointID(rawValue: 2)

    @Test("a publish with an id is carried out once, though its connection was lost before it was answered")
    func idempotencyOverConnections() throws {
        let scene = ServerScene()
        scene.receive(.post, "/ps/a?c=d&q=2&id=1", payload: "x")
        scene.server.endpointLost(scene.endpoint)
        scene.settle()
        #expect(scene.ask(.post, "/ps/a?c=d&q=2&id=1", payload: "x", from: elsewhere)?.code == .changed)
        #expect(scene.broker.statistics.published == 1)
    }

    @Test("a session that ends answers who waits for its messages, and nothing is waited for any more")
    func endWhileWaiting() throws {
        let scene = ServerScene { $0.separateResponseAfter = 500 }
        let session = try scene.beginSession()
        let waiting = scene.receive(.post, "/ps/up?\(session)&dl=1&wait=5", payload: "x")
        scene.settle()
        #expect(scene.layer.take().isEmpty)
        #expect(scene.ask(.delete, "/mqtt/connection?\(session)", token: [8])?.code == .deleted)
        guard case .acknowledgement(waiting, let response?) = scene.layer.take().first else {
            Issue.record("no answer")
            return
        }
        #expect(response.code == .changed && response.text.isEmpty)
        scene.now = scene.now + .seconds(10)
        scene.settle()
        #expect(scene.server.nextDeadline == nil)
        #expect(scene.layer.held[scene.endpoint] == 0)
    }

    @Test("a device that is heard of elsewhere waits no more where it was: the next message is not given away there")
    func moveWhileWaiting() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/down?\(session)", observe: 0)
        scene.ask(.get, "/ps/down?\(session)", observe: 1)
        let waiting = scene.receive(.post, "/ps/up?\(session)&dl=1&wait=60", payload: "x")
        scene.settle()
        #expect(scene.ask(.get, "/ps/down?\(session)", token: [9], observe: 0, from: elsewhere)?.code == .content)
        guard case .acknowledgement(waiting, let response?) = scene.layer.take().first else {
            Issue.record("no answer")
            return
        }
        #expect(response.text.isEmpty)
        _ = try scene.publish("down", "1", qos: .atLeastOnce)
        #expect(scene.acknowledgeAll() == ["1"])
    }

    @Test("an observation that moves to where its token is taken gives way, and leaves the one there alone")
    func moveToTakenToken() throws {
        let scene = ServerScene()
        let session = try scene.beginSession()
        scene.ask(.get, "/ps/own?\(session)", token: [1], observe: 0)
        scene.ask(.get, "/ps/other", token: [1], observe: 0, from: elsewhere)
        #expect(scene.ask(.put, "/mqtt/connection?\(session)", from: elsewhere)?.code == .changed)
        _ = try scene.publish("other", "1", qos: .atLeastOnce)
        #expect(scene.acknowledgeAll() == ["1"])
        #expect(scene.ask(.get, "/ps/other", token: [1], observe: 1, from: elsewhere)?.code == .content)
        _ = try scene.publish("other", "2", qos: .atLeastOnce)
        #expect(scene.acknowledgeAll().isEmpty)
    }

    @Test("repeats of a publish that was refused connect nobody who has left")
    func repeatsOfOneWhoLeft() throws {
        let scene = ServerScene()
        for _ in 0..<3 { scene.receive(.post, "/ps/$SYS/broker/a?c=d&q=1&id=1", confirmable: false, payload: "x") }
        scene.server.endpointLost(scene.endpoint)
        scene.settle()
        #expect(scene.broker.connectedClients == 0)
        #expect(scene.server.isSettled)
    }

    @Test("repeats of a publish under way are answered, however many others come meanwhile")
    func repeatsAmongMany() throws {
        let scene = ServerScene { $0.rememberedPublishes = 2 }
        let refused = "/ps/$SYS/broker/a?c=d&q=1&id=A"
        #expect(scene.ask(.post, refused, payload: "x")?.code.isError == true)
        #expect(scene.ask(.post, "/ps/a?c=d&q=1&id=B", payload: "x")?.code == .changed)
        for name in ["A", "A", "C", "D", "E"] { scene.receive(.post, "/ps/a?c=d&q=1&id=\(name)", payload: "x") }
        scene.settle()
        #expect(scene.layer.take().count == 5)
        #expect(scene.server.isSettled)
        #expect(scene.broker.statistics.published == 5)
    }

    @Test("a registration that nobody is there to hear the answer of leaves nothing behind")
    func registrationOfOneWhoLeft() throws {
        let scene = ServerScene()
        let session = try scene.beginSession("clean=1&ka=0")
        scene.receive(.get, "/ps/a?\(session)", observe: 0)
        scene.server.endpointLost(scene.endpoint)
        scene.settle()
        scene.ask(.get, "/ps/a?\(session)", observe: 0, from: elsewhere)
        scene.ask(.get, "/ps/a?\(session)", observe: 1, from: elsewhere)
        #expect(try scene.publish("a", "1", qos: .atLeastOnce) == .noMatchingSubscribers)
    }

    @Test("unsub=1 ends the subscription of a session whose connection has ended meanwhile")
    func unsubscribeAfterSilence() throws {
        let scene = ServerScene()
        let session = try scene.beginSession("clean=0&ka=10")
        scene.ask(.get, "/ps/a/+?\(session)", observe: 0)
        #expect(try scene.publish("a/b", "1", qos: .atLeastOnce) == .success)
        scene.now = scene.now + .seconds(60)
        scene.settle()
        #expect(scene.ask(.get, "/ps/a/+?\(session)&unsub=1", observe: 1)?.code == .content)
        #expect(try scene.publish("a/b", "2", qos: .atLeastOnce) == .noMatchingSubscribers)
    }

    @Test("whoever sends an upload block by block is heard of with each block")
    func keepAliveOfBlocks() throws {
        let scene = ServerScene()
        scene.ask(.get, "/ps/gone?q=1", observe: 0, from: elsewhere)
        let session = try scene.beginSession("clean=0&ka=10&will-topic=gone&will-qos=1")
        for number in 0..<10 as Range<UInt16> {
            scene.now = scene.now + .seconds(6)
            scene.broker.advance(to: scene.now)
            let block = request(
                .put,
                "/ps/a?\(session)",
                messageID: 1_000 + number,
                options: [(27, number == 0 ? [8] : [UInt8(number << 4 | 8)])],
                payload: text("sixteen letters.")
            )
            scene.server.received(block, from: scene.endpoint, now: scene.now)
            scene.settle()
        }
        #expect(scene.acknowledgeAll().isEmpty)
    }
}
