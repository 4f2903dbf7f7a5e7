import Auth
import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct PasswordAuthenticatorTests {
    private static func file(_ password: String, iterations: Int = 5) throws -> PasswordFile {
        try PasswordFile(
            """
            alice:\(try PasswordHash.pbkdf2(password, iterations: iterations))
            bob:\(PasswordHash.scram(try ScramKeys(password: password, iterations: 1)))
            """
        )
    }

    private func credentials(_ userName: String?, _ password: String?, identity: String? = nil) -> Credentials {
        Credentials(
            clientID: "c",
            userName: userName,
            password: password.map { ByteBuffer(string: $0) },
            transportIdentity: identity
        )
    }

    /// The answer, however long it takes.
    private func settled(_ answer: Authentication) async -> String {
        guard case .pending(let pending) = answer else { return "\(answer)" }
        return await withCheckedContinuation { continuation in
            pending.whenAnswered { continuation.resume(returning: "\($0)") }
        }
    }

    private static let alice = "\(Authentication.accepted(userName: "alice"))"
    private static let bob = "\(Authentication.accepted(userName: "bob"))"

    @Test func `a password is looked at elsewhere, and remembered when it is good`() async throws {
        let authenticator = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: false)
        for (user, accepted) in [("alice", Self.alice), ("bob", Self.bob)] {
            let first = authenticator.authenticate(credentials(user, "rabbit"))
            #expect(isPending(first))
            #expect(await settled(first) == accepted)
            #expect("\(authenticator.authenticate(credentials(user, "rabbit")))" == accepted)
        }
        for _ in 0..<2 {
            let wrong = authenticator.authenticate(credentials("alice", "Rabbit"))
            #expect(isPending(wrong))
            #expect(await settled(wrong) == "badCredentials")
        }
    }

    @Test func `a user that is not there is looked at as long, and refused`() async throws {
        let authenticator = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: false)
        let answer = authenticator.authenticate(credentials("nobody", "rabbit"))
        #expect(isPending(answer))
        #expect(await settled(answer) == "badCredentials")
    }

    @Test func `who shows nothing is anonymous, and the transport's word is good`() async throws {
        let open = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: true)
        let closed = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: false)
        #expect("\(open.authenticate(credentials(nil, nil)))" == "\(Authentication.accepted(userName: nil))")
        #expect("\(closed.authenticate(credentials(nil, nil)))" == "notAuthorized")
        // Whoever shows something secret wants to be known by it.
        for authenticator in [open, closed] {
            for password in ["rabbit", ""] {
                #expect("\(authenticator.authenticate(credentials(nil, password)))" == "badCredentials")
            }
        }
        #expect("\(open.authenticate(credentials("alice", nil)))" == "badCredentials")
        let known = closed.authenticate(credentials(nil, nil, identity: "device"))
        #expect("\(known)" == "\(Authentication.accepted(userName: "device"))")
        let empty = PasswordAuthenticator(try PasswordFile(""), allowsAnonymous: false)
        #expect("\(empty.authenticate(credentials("alice", "rabbit")))" == "badCredentials")
    }

    @Test func `another file forgets what was found with the old one`() async throws {
        let authenticator = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: false)
        #expect(await settled(authenticator.authenticate(credentials("alice", "rabbit"))) == Self.alice)
        authenticator.replace(try Self.file("hatter"))
        #expect(await settled(authenticator.authenticate(credentials("alice", "rabbit"))) == "badCredentials")
        #expect(await settled(authenticator.authenticate(credentials("alice", "hatter"))) == Self.alice)
    }

    @Test func `as many as may wait do, the next is told that the server is busy, and one who asks the same is not`()
        async throws
    {
        let file = try Self.file("rabbit", iterations: 50_000)
        let authenticator = PasswordAuthenticator(file, allowsAnonymous: false, waiting: 2)
        let answers = ["a", "b", "c", "a"].map { authenticator.authenticate(credentials("alice", $0)) }
        #expect("\(answers[2])" == "busy")
        for answer in [answers[0], answers[1], answers[3]] { #expect(await settled(answer) == "badCredentials") }
        #expect(isPending(authenticator.authenticate(credentials("alice", "c"))))
    }

    @Test(arguments: ProtocolVersion.allCases)
    func `a broker lets nobody in but those with the right password`(_ version: ProtocolVersion) async throws {
        let authenticator = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: false)
        #expect(await settled(authenticator.authenticate(credentials("alice", "rabbit"))) == Self.alice)
        let test = TestBroker(authenticator: authenticator)
        let alice = try test.connect("c", version) {
            $0.userName = "alice"
            $0.password = ByteBuffer(string: "rabbit")
        }
        #expect(try alice.ping())
        let nobody = test.open(version)
        #expect(try nobody.connect("c")?.reasonCode == .notAuthorized)
        #expect(nobody.isClosed)
    }

    private func isPending(_ answer: Authentication) -> Bool {
        if case .pending = answer { true } else { false }
    }
}
