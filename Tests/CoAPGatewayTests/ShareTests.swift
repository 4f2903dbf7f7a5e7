import BrokerCore
import BrokerTestSupport
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// What all endpoints of a listener share: no address and no user has all of it.
@Suite struct ShareTests {
    /// Endpoints at ports of one address.
    private func crowd(_ scene: ServerScene, _ ports: ClosedRange<UInt>, at host: String) -> [EndpointID] {
        ports.map { port in
            let endpoint = EndpointID(rawValue: port)
            scene.layer.addresses[endpoint] = "\(host):\(port)"
            return endpoint
        }
    }

    @Test("datagrams from ever new ports leave no more connections behind than there may be idle ones")
    func idleClients() throws {
        let scene = ServerScene { $0.idleClients = 20 }
        for endpoint in crowd(scene, 100...299, at: "192.0.2.1") {
            for name in ["a", "b"] {
                #expect(
                    scene.ask(.post, "/ps/t?clientid=\(name)\(endpoint.rawValue)", payload: "x", from: endpoint)?.code
                        == .changed
                )
            }
        }
        #expect(scene.broker.statistics.published == 400)
        #expect(scene.broker.connectedClients == 20)
    }

    @Test("Client Identifiers by which nobody finds a session are short, and all different; others can't be guessed")
    func assignedClientIDs() {
        let scene = ServerScene()
        func assigned(_ scope: ConnectRequest.Scope) -> String {
            var request = ConnectRequest()
            request.scope = scope
            let connection = VirtualConnection(
                transportProtocol: .coap,
                remoteAddress: "192.0.2.1:1",
                outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
            )
            return scene.broker.connect(request, on: connection).clientID
        }
        let nameless = (0..<100).map { assigned($0.isMultiple(of: 2) ? .connection : .request) }
        #expect(Set(nameless).count == 100 && nameless.allSatisfy { $0.utf8.count <= 15 })
        let own = (0..<100).map { _ in assigned(.clientID) }
        #expect(Set(own.map { $0.prefix(16) }).count == 100 && own.allSatisfy { $0.utf8.count > 24 })
    }

    @Test("a client that observes, and one that has just asked, do not give way to idle ones")
    func busyClients() throws {
        let scene = ServerScene { $0.idleClients = 3 }
        let (observer, regular) = (EndpointID(rawValue: 1), EndpointID(rawValue: 2))
        #expect(scene.ask(.get, "/ps/t", observe: 0, from: observer)?.code == .content)
        for endpoint in crowd(scene, 100...120, at: "192.0.2.1") {
            scene.ask(.post, "/ps/u", payload: "x", from: regular)
            scene.ask(.post, "/ps/u", payload: "x", from: endpoint)
        }
        #expect(scene.broker.connectedClients == 4)
        _ = try scene.publish("t", "hello", qos: .atLeastOnce)
        #expect(scene.acknowledgeAll() == ["hello"])
    }

    @Test("one address has half of the sessions: then 4.29 with Max-Age, and others still get theirs")
    func sessions() throws {
        let scene = ServerScene { $0.sessions = 4 }
        let one = crowd(scene, 100...102, at: "192.0.2.1")
        for (number, endpoint) in one.enumerated() {
            let answer = try #require(
                scene.ask(.post, "/mqtt/connection?clientid=d\(number)&ka=0", from: endpoint)
            )
            #expect(answer.code == (number < 2 ? .created : .tooManyRequests))
            #expect((answer.maxAge != nil) == (number == 2))
            #expect(number < 2 || answer.text.contains("sessions"))
        }
        for endpoint in crowd(scene, 200...201, at: "[2001:db8::1]") {
            let answer = scene.ask(.post, "/mqtt/connection?clientid=e\(endpoint.rawValue)", from: endpoint)
            #expect(answer?.code == .created)
        }
        let last = crowd(scene, 300...300, at: "192.0.2.3")[0]
        #expect(scene.ask(.post, "/mqtt/connection?clientid=f", from: last)?.code == .serviceUnavailable)
        // A session that ends gives its place back.
        let first = try #require(scene.ask(.post, "/mqtt/connection?clientid=d0&ka=0", from: one[0]))
        #expect(scene.ask(.delete, "/mqtt/connection?c=d0&t=\(first.text)", from: one[0])?.code == .deleted)
        #expect(scene.ask(.post, "/mqtt/connection?clientid=f", from: last)?.code == .created)
    }

    @Test("one address has half of the observations, and gets them back with the endpoint")
    func observations() {
        let scene = ServerScene { $0.observations = 6 }
        let endpoints = crowd(scene, 100...103, at: "192.0.2.1")
        for (number, endpoint) in endpoints.enumerated() {
            let answer = scene.ask(.get, "/ps/t", observe: 0, from: endpoint)
            #expect(answer?.code == (number < 3 ? .content : .tooManyRequests))
        }
        scene.server.endpointGone(endpoints[0])
        scene.settle()
        #expect(scene.ask(.get, "/ps/t", token: [8], observe: 0, from: endpoints[3])?.code == .content)
    }

    @Test("bodies that are kept while they are fetched are bounded by their bytes: the oldest give way")
    func downloads() throws {
        let scene = ServerScene { $0.downloadBytes = 40_000 }
        for name in ["a", "b", "c"] {
            let message = Message(
                topic: try TopicName(name),
                payload: ByteBuffer(string: String(repeating: name, count: 15_000)),
                qos: .atMostOnce,
                retain: true
            )
            let publisher = VirtualConnection(
                transportProtocol: .mqtt,
                remoteAddress: "test",
                outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
            )
            _ = scene.broker.connect(ConnectRequest(), on: publisher)
            _ = scene.broker.publish(message, from: publisher)
        }
        // One address has half of it: one body at a time.
        let endpoint = crowd(scene, 100...100, at: "192.0.2.1")[0]
        for name in ["a", "b", "c"] {
            #expect(scene.ask(.get, "/ps/\(name)", from: endpoint)?.block2?.more == true)
        }
        #expect((10_000...20_000).contains(scene.server.keptBytes))
        scene.server.endpointGone(endpoint)
        #expect(scene.server.keptBytes == 0)
    }

    @Test("unfinished uploads of one address take half of the room for them")
    func uploads() {
        let scene = ServerScene { $0.uploadBytes = 64 }
        let endpoints = crowd(scene, 100...102, at: "192.0.2.1")
        func begin(_ endpoint: EndpointID) -> CoAPCode? {
            // Block1: 0, more, 16 bytes (RFC 7959 §2.2).
            scene.server.received(
                request(
                    .put,
                    "/ps/t",
                    messageID: UInt16(endpoint.rawValue),
                    options: [(27, [0x08])],
                    payload: text("0123456789abcdef")
                ),
                from: endpoint,
                now: scene.now
            )
            scene.settle()
            guard case .acknowledgement(_, let response)? = scene.layer.take().last else { return nil }
            return response?.code
        }
        #expect(begin(endpoints[0]) == .continue)
        #expect(begin(endpoints[1]) == .continue)
        #expect(begin(endpoints[2]) == .serviceUnavailable)
        let other = crowd(scene, 200...200, at: "192.0.2.2")[0]
        #expect(begin(other) == .continue)
    }

    @Test("what is on its way to a slow observer is bounded by its bytes: the rest of QoS 1 waits in the core's queue")
    func notifications() throws {
        let scene = ServerScene { $0.notificationBytes = 10_000 }
        scene.ask(.get, "/ps/t?qos=1", observe: 0)
        let payload = String(repeating: "x", count: 1_000)
        for number in 0..<100 { _ = try scene.publish("t", "\(number) \(payload)", qos: .atLeastOnce) }
        let received = scene.acknowledgeAll().compactMap { $0.split(separator: " ").first.flatMap { Int($0) } }
        #expect(received == Array(0..<100))
    }
}
