import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite struct TokenExpiryTests {
    /// Lets everybody in by a token that is good for so many seconds.
    private final class TokenDesk: Authenticator {
        let expiresAt: NIODeadline?

        init(seconds: Int64?) { expiresAt = seconds.map { TestBroker.start + .seconds($0) } }

        func authenticate(_ credentials: Credentials) -> Authentication {
            .acceptedToken(userName: "alice", expiresAt: expiresAt)
        }
    }

    @Test("a connection ends with the token that let it in, and its session goes on", arguments: [5, 200])
    func connectionEndsTokenLet(seconds: Int64) throws {
        let test = TestBroker(authenticator: TokenDesk(seconds: seconds))
        let client = try test.connectPersistent("a")
        _ = try client.packets()
        test.advance(to: TestBroker.start + .seconds(seconds) - .milliseconds(1))
        #expect(!client.isClosed)
        test.advance(to: TestBroker.start + .seconds(seconds))
        let disconnect = try client.take { if case .disconnect(let packet) = $0 { packet } else { nil } }
        #expect(disconnect?.reasonCode == .notAuthorized)
        #expect(disconnect?.reasonString == "the token is over")
        #expect(client.isClosed)
        #expect(test.broker.sessionCount == 1)
    }

    @Test("a token without an end ends nothing, and one that is over lets nobody in") func tokenWithoutEndEnds() throws
    {
        let lasting = TestBroker(authenticator: TokenDesk(seconds: nil))
        let client = try lasting.connect("a")
        lasting.advance(seconds: 1_000_000)
        #expect(!client.isClosed)
        let late = TestBroker(authenticator: TokenDesk(seconds: 0))
        #expect(try late.open().connect("a")?.reasonCode == .badUserNameOrPassword)
    }

    /// Lets everybody in under the user name they give, by a token that is good for so many seconds as the password says.
    private final class RenewingDesk: Authenticator {
        func authenticate(_ credentials: Credentials) -> Authentication {
            let seconds = Int64(String(buffer: credentials.password ?? ByteBuffer()))
            return .acceptedToken(
                userName: credentials.userName ?? "alice",
                expiresAt: seconds.map { TestBroker.start + .seconds($0) }
            )
        }
    }

    @Test(
        "a newer token of the same user prolongs a connection",
        arguments: [("alice", "200", 200), ("alice", "for ever", nil), ("alice", "5", 10), ("bob", "200", 10)]
    )
    func newerTokenSameUser(user: String, newer: String, end: Int64?) {
        let test = TestBroker(authenticator: RenewingDesk())
        func connection(_ user: String, _ token: String, isTransient: Bool) -> VirtualConnection {
            let sink = MessageSink(capacity: 0, receive: { _ in }, closed: { _ in })
            let made = VirtualConnection(transportProtocol: .http, remoteAddress: "", outlet: .messages(sink))
            var request = ConnectRequest(clientID: "", isTransient: isTransient, userName: user)
            request.password = ByteBuffer(string: token)
            test.broker.connect(request, on: made) { #expect(!$0.reasonCode.isError) }
            return made
        }
        let poll = connection("alice", "10", isTransient: false)
        test.advance(seconds: 1)
        test.broker.prolong(poll, byTokenOf: connection(user, newer, isTransient: true))
        guard let end else {
            test.advance(seconds: 1_000_000)
            return #expect(poll.isConnected)
        }
        test.advance(to: TestBroker.start + .seconds(end) - .milliseconds(1))
        #expect(poll.isConnected)
        test.advance(to: TestBroker.start + .seconds(end))
        #expect(!poll.isConnected)
    }

    @Test("the end of a former token does not end a later connection") func endFormerTokenDoes() throws {
        let test = TestBroker(authenticator: TokenDesk(seconds: 10))
        let client = try test.connect("a")
        client.drop()
        test.advance(seconds: 20)
        #expect(test.broker.nextDeadline == nil || test.broker.sessionCount == 0)
    }
}
