import Auth
import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOConcurrencyHelpers
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

    @Test("a password is looked at elsewhere, and remembered when it is good") func passwordLookedElsewhereRemembered()
        async throws
    {
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

    @Test("a user that is not there is looked at as long, and refused") func userNotThereLooked() async throws {
        let authenticator = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: false)
        let answer = authenticator.authenticate(credentials("nobody", "rabbit"))
        #expect(isPending(answer))
        #expect(await settled(answer) == "badCredentials")
    }

    @Test("who shows nothing is anonymous, and the transport's word is good") func showsNothingAnonymousTransports()
        async throws
    {
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

    @Test("another file forgets what was found with the old one") func anotherFileForgetsFound() async throws {
        let authenticator = PasswordAuthenticator(try Self.file("rabbit"), allowsAnonymous: false)
        #expect(await settled(authenticator.authenticate(credentials("alice", "rabbit"))) == Self.alice)
        authenticator.replace(try Self.file("hatter"))
        #expect(await settled(authenticator.authenticate(credentials("alice", "rabbit"))) == "badCredentials")
        #expect(await settled(authenticator.authenticate(credentials("alice", "hatter"))) == Self.alice)
    }

    @Test("as many as may wait do, the next is told that the server is busy, and one who asks the same is not")
    func manyWaitDoNext()
        async throws
    {
        let file = try Self.file("rabbit", iterations: 50_000)
        let authenticator = PasswordAuthenticator(file, allowsAnonymous: false, waiting: 2)
        let answers = ["a", "b", "c", "a"].map { authenticator.authenticate(credentials("alice", $0)) }
        #expect("\(answers[2])" == "busy")
        for answer in [answers[0], answers[1], answers[3]] { #expect(await settled(answer) == "badCredentials") }
        #expect(isPending(authenticator.authenticate(credentials("alice", "c"))))
    }

    @Test("a broker lets nobody in but those with the right password", arguments: ProtocolVersion.allCases)
    func brokerLetsNobodyBut(_ version: ProtocolVersion) async throws {
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

    /// Who has been answered, in the order of the answers.
    private final class Order: Sendable {
        private let order = NIOLockedValueBox<[String]>([])

        var all: [String] { order.withLockedValue { $0 } }

        func note(_ name: String, _ answer: Authentication) {
            guard case .pending(let pending) = answer else { return }
            pending.whenAnswered { [order] answer in order.withLockedValue { $0.append("\(name) \(answer)") } }
        }
    }

    private func wrong(_ number: Int, from address: String) -> Credentials {
        Credentials(
            clientID: "c",
            userName: "alice",
            password: ByteBuffer(string: "\(address) \(number)"),
            remoteAddress: address,
            network: ClientNetwork(address)
        )
    }

    @Test("who comes from another address waits for a few of those that one address sends")
    func comesAnotherAddressWaits() async throws {
        let authenticator = PasswordAuthenticator(try Self.file("rabbit", iterations: 5_000), allowsAnonymous: false)
        let order = Order()
        var last: Authentication?
        for number in 0..<200 {
            let answer = authenticator.authenticate(wrong(number, from: "192.0.2.1:\(number)"))
            order.note("crowd", answer)
            last = answer
        }
        let before = order.all.count
        let other = authenticator.authenticate(wrong(0, from: "192.0.2.2:1"))
        order.note("other", other)
        #expect(await settled(other) == "badCredentials")
        _ = await settled(try #require(last))
        let place = try #require(order.all.firstIndex(of: "other badCredentials"))
        // The one in hand, the one whose turn it was, and those that were done between two lines of this test.
        #expect(place - before < 100)
        #expect(order.all.count == 201)
    }

    @Test("one address has half of the places, and gives some when others have none") func oneAddressHalfPlaces()
        async throws
    {
        let file = try Self.file("rabbit", iterations: 100_000)
        let authenticator = PasswordAuthenticator(file, allowsAnonymous: false, waiting: 8)
        let crowd = (0..<8).map { authenticator.authenticate(wrong($0, from: "192.0.2.1:\($0)")) }
        // One may have been taken from the queue meanwhile.
        #expect((4...5).contains(crowd.count(where: isPending)))
        #expect("\(crowd[7])" == "busy")
        let second = (0..<4).map { authenticator.authenticate(wrong($0, from: "[2001:db8::\($0)]:1")) }
        #expect(second.count(where: isPending) >= 3)
        // A third one comes when all places are taken: the youngest of the longest queue is told that we are busy.
        let third = authenticator.authenticate(wrong(0, from: "192.0.2.3:1"))
        #expect(isPending(third))
        #expect(await settled(third) == "badCredentials")
        var answers: [String] = []
        for answer in crowd + second where isPending(answer) { answers.append(await settled(answer)) }
        #expect(answers.allSatisfy { $0 == "badCredentials" || $0 == "busy" })
        #expect(answers.count { $0 == "busy" } <= 1)
    }

    private func isPending(_ answer: Authentication) -> Bool {
        if case .pending = answer { true } else { false }
    }
}
