import BrokerCore
import BrokerTestSupport
import CoAPGateway
import MQTTCodec
import NIOCore
import Testing

/// Whose session a `clientid` names, whose publish an `id`, and what a device may have that others have left.
@Suite struct SessionOwnerTests {
    private let elsewhere = EndpointID(rawValue: 2)

    /// A client of another protocol with a session.
    private func connect(_ scene: ServerScene, _ clientID: String, as userName: String?) -> VirtualConnection {
        let connection = VirtualConnection(
            transportProtocol: .mqtt,
            remoteAddress: "test",
            outlet: .messages(MessageSink(capacity: 1, receive: { _ in }, closed: { _ in }))
        )
        let request = ConnectRequest(
            clientID: clientID,
            cleanStart: false,
            sessionExpiryInterval: 100,
            userName: userName,
            password: userName.map { ByteBuffer(string: $0) }
        )
        #expect(scene.broker.connect(request, on: connection).reasonCode == .success)
        return connection
    }

    @Test("a clientid without a session identifies: the session of that name goes on", arguments: [0, nil] as [UInt8?])
    func identifies(observe: UInt8?) {
        let scene = ServerScene(authenticator: Users())
        let owner = connect(scene, "dev7", as: "alice")
        let query = "c=dev7&u=alice&p=alice"
        for endpoint in [scene.endpoint, elsewhere] {
            let code: CoAPCode = observe == nil ? .post : .get
            let answer = scene.ask(code, "/ps/a?\(query)", observe: observe, payload: "x", from: endpoint)
            #expect(answer?.code.isError == false)
        }
        #expect(owner.isConnected)
    }

    @Test(
        "another user's clientid is 4.03, whatever is asked for",
        arguments: ["u=bob&p=bob", ""],
        [
            ("/ps/a", CoAPCode.post), ("/ps/a", .put), ("/ps/a", .get), ("/mqtt/connection", .post),
            ("/ps/a?id=1", .post),
        ]
    )
    func foreign(credentials: String, request: (uri: String, code: CoAPCode)) {
        let scene = ServerScene(authenticator: Users())
        let owner = connect(scene, "dev7", as: "alice")
        let uri = "\(request.uri)\(request.uri.contains("?") ? "&" : "?")c=dev7&\(credentials)"
        #expect(scene.ask(request.code, uri, payload: "x")?.code == .forbidden)
        if request.code == .get { #expect(scene.ask(.get, uri, observe: 0)?.code == .forbidden) }
        #expect(owner.isConnected)
        #expect(scene.broker.statistics.published == 0)
    }

    @Test("a device that sleeps is not let back into a session that another user has under its name by then")
    func asleep() throws {
        let scene = ServerScene(authenticator: Users())
        let session = try scene.beginSession("clean=0&ka=1")
        scene.now = scene.now + .seconds(10)
        scene.settle()
        let owner = connect(scene, "d", as: "alice")
        #expect(scene.ask(.post, "/ps/a?\(session)", payload: "x")?.code == .forbidden)
        #expect(owner.isConnected)
        scene.broker.disconnect(owner, reason: .normalDisconnection, sessionExpiryInterval: 0)
        // What it had is over, also when there is another one of its name.
        #expect(scene.ask(.post, "/ps/a?\(session)", payload: "x")?.code == .unauthorized)
    }

    @Test("Client Identifiers are the same only byte for byte")
    func exactNames() throws {
        let scene = ServerScene()
        let (composed, decomposed) = ("dev-\u{e9}", "dev-e\u{301}")
        let token = try #require(scene.ask(.post, "/mqtt/connection?c=\(composed)&clean=0")).text
        #expect(scene.ask(.post, "/mqtt/connection?c=\(decomposed)", from: elsewhere)?.code == .created)
        #expect(scene.ask(.post, "/ps/t?c=\(composed)&t=\(token)", payload: "x")?.code == .changed)
    }

    @Test("id= is bound to what was published")
    func boundKey() {
        let scene = ServerScene()
        #expect(scene.ask(.post, "/ps/a?c=d&id=1", payload: "x")?.code == .changed)
        #expect(scene.ask(.post, "/ps/a?c=d&id=1", payload: "x")?.code == .changed)
        for (uri, payload) in [("/ps/a?c=d&id=1", "y"), ("/ps/b?c=d&id=1", "x"), ("/ps/a?c=d&id=1&r=1", "x")] {
            let answer = scene.ask(.post, uri, payload: payload)
            #expect(answer?.code == .unprocessableEntity)
            #expect(answer?.text == "the id was used for another publish")
        }
        #expect(scene.ask(.post, "/ps/a?c=d\u{301}&id=1", payload: "y")?.code == .changed)
        #expect(scene.broker.statistics.published == 2)
    }

    @Test("a PUT does not tell who may not read whether a value stood")
    func hiddenValue() {
        let scene = ServerScene(authorizer: Hidden())
        #expect(scene.ask(.put, "/ps/open", payload: "1")?.code == .created)
        #expect(scene.ask(.put, "/ps/open", payload: "2")?.code == .changed)
        for payload in ["1", "2"] { #expect(scene.ask(.put, "/ps/hidden", payload: payload)?.code == .changed) }
    }

    @Test("rights that are withdrawn hold for what a sleeping device has waiting")
    func withdrawn() throws {
        let rights = Hidden()
        rights.isHiding = false
        let scene = ServerScene(authorizer: rights)
        let session = try scene.beginSession()
        for (token, topic) in [1: "open", 2: "hidden"] as KeyValuePairs<UInt8, String> {
            #expect(scene.ask(.get, "/ps/\(topic)?\(session)", token: [token], observe: 0)?.code == .content)
        }
        for topic in ["hidden", "open", "hidden"] { _ = try scene.publish(topic, topic, qos: .atLeastOnce) }
        scene.settle()
        // The first one is on its way already, and lost.
        for case .confirmable(let id, _, _) in scene.layer.take() { scene.server.failed(id, .unreachable) }
        rights.isHiding = true
        scene.broker.permissionsChanged()
        scene.settle()
        #expect(scene.ask(.put, "/mqtt/connection?\(session)")?.code == .changed)
        #expect(scene.acknowledgeAll() == ["open"])
        #expect(scene.broker.pendingMessages(of: .client("d")) == 0)
    }
}

/// Lets strangers in, and users whose password is their name.
private final class Users: Authenticator {
    func authenticate(_ credentials: Credentials) -> Authentication {
        guard let userName = credentials.userName else { return .accepted(userName: nil) }
        let isGood = credentials.password.map { String(buffer: $0) } == userName
        return isGood ? .accepted(userName: userName) : .badCredentials
    }
}

/// Lets nobody read the topic `hidden`.
private final class Hidden: Authorizer {
    var isHiding = true

    func mayPublish(_ topic: String, client: ClientIdentity) -> Bool { true }
    func maySubscribe(_ filter: String, client: ClientIdentity) -> Bool { true }
    func mayReceive(_ topic: String, client: ClientIdentity) -> Bool { !isHiding || topic != "hidden" }
}
