import Auth
import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

@Suite("SCRAM-SHA-256, RFC 5802 and RFC 7677") struct ScramTests {
    /// The keys of the password `pencil` with the salt of RFC 7677 §3.
    private static let pencil = """
        SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
        wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=
        """

    private func authenticator(_ lines: String..., nonce: String? = nil) throws -> ScramAuthenticator {
        let file = try PasswordFile(lines.joined(separator: "\n"))
        guard let nonce else { return ScramAuthenticator(file) }
        return ScramAuthenticator(file) { nonce }
    }

    private func begin(_ authenticator: ScramAuthenticator) throws -> any AuthenticationExchange {
        let credentials = Credentials(clientID: "c", userName: nil)
        return try #require(authenticator.begin("SCRAM-SHA-256", for: credentials))
    }

    private func text(_ step: AuthenticationStep) -> String? {
        switch step {
        case .continue(let data): data.map(String.init(buffer:)) ?? ""
        default: nil
        }
    }

    /// Runs a whole exchange.
    private func outcome(_ client: ScramClient, _ authenticator: ScramAuthenticator) throws -> AuthenticationStep {
        let exchange = try begin(authenticator)
        let first = exchange.step(client.first)
        guard let challenge = text(first) else { return first }
        let (message, signature) = try client.final(to: challenge)
        let last = exchange.step(message)
        if case .accepted(_, let data) = last { #expect(data == ByteBuffer(string: signature)) }
        return last
    }

    @Test("the exchange of RFC 7677 §3, byte for byte")
    func vector() throws {
        let authenticator = try authenticator("user:\(Self.pencil)", nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        let exchange = try begin(authenticator)
        let first = exchange.step(ByteBuffer(string: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
        #expect(
            text(first)
                == "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        )
        let last = exchange.step(
            ByteBuffer(
                string: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                    + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
            )
        )
        guard case .accepted("user", let data?) = last else {
            Issue.record("refused: \(last)")
            return
        }
        #expect(String(buffer: data) == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    }

    @Test("every exchange has a nonce of its own, and takes the right password only")
    func passwords() throws {
        let authenticator = try authenticator("user:\(Self.pencil)")
        let client = ScramClient(userName: "user", password: "pencil")
        #expect(try isAccepted(outcome(client, authenticator), as: "user"))
        let nonces = try (0..<3).map { _ in text(try begin(authenticator).step(client.first)) }
        #expect(Set(nonces).count == 3)
        var wrong = client
        for password in ["Pencil", "", "pencil "] {
            wrong.password = password
            #expect(try isRefused(outcome(wrong, authenticator), .badUserNameOrPassword))
        }
    }

    @Test(
        "user names are unescaped, and prepared as SASLprep has it",
        arguments: [
            ("a=2Cb=3Dc", "a,b=c"), ("I\u{ad}X", "IX"), ("\u{2168}", "IX"), ("jos\u{65}\u{301}", "jos\u{e9}"),
            ("a\u{a0}b", "a b"), ("jos\u{65}\u{301}", "jos\u{65}\u{301}"),
        ]
    )
    func names(_ sent: String, _ name: String) throws {
        let authenticator = try authenticator("\(name):\(Self.pencil)")
        #expect(try isAccepted(outcome(ScramClient(userName: sent, password: "pencil"), authenticator), as: name))
    }

    @Test("RFC 4013 passwords that look the same are the same")
    func preparedPasswords() throws {
        let keys = try ScramKeys(password: "\u{2168}\u{ad} \u{e9}", iterations: 4_096)
        let authenticator = try authenticator("user:\(keys)")
        // This client sends what SASLprep makes of it.
        #expect(
            try isAccepted(outcome(ScramClient(userName: "user", password: "IX \u{e9}"), authenticator), as: "user")
        )
    }

    @Test("a user that is not there, or has no SCRAM keys, is asked as others are, with the same salt each time")
    func unknown() throws {
        let lines = ["user:\(Self.pencil)", "plain:\(try PasswordHash.pbkdf2("pencil", iterations: 1))"]
        let authenticators = try (0..<2).map { _ in try authenticator(lines[0], lines[1]) }
        for name in ["nobody", "plain"] {
            let client = ScramClient(userName: name, password: "pencil")
            let challenges = try authenticators.map { authenticator in
                let challenge = try #require(text(try begin(authenticator).step(client.first)))
                return challenge.split(separator: ",").dropFirst().map(String.init)
            }
            #expect(challenges[0] == challenges[1])
            #expect(challenges[0].last == "i=4096")
            #expect(challenges[0].first?.utf8.count == "s=W22ZaJ0SNY7soEsUEjb6gQ==".utf8.count)
            #expect(try isRefused(outcome(client, authenticators[0]), .badUserNameOrPassword))
        }
        let salts = try ["nobody", "anybody", "user"].map { name in
            text(try begin(authenticators[0]).step(ScramClient(userName: name, password: "").first))?
                .split(separator: ",").dropFirst().first
        }
        #expect(Set(salts).count == 3)
    }

    @Test("a client may let the server begin")
    func emptyFirst() throws {
        let exchange = try begin(try authenticator("user:\(Self.pencil)"))
        #expect(text(exchange.step(nil)) == "")
        #expect(text(exchange.step(ScramClient(userName: "user", password: "pencil").first))?.hasPrefix("r=") == true)
    }

    @Test(
        "first messages that are not served are refused",
        arguments: [
            "", "n", "n,,", "x,,n=user,r=a", "n,,n=user", "n,,r=a,n=user", "n,,n=,r=a", "n,,n=user,r=",
            "n,,n=us=2Der,r=a", "n,,n=user=,r=a", "n,,n=user=2,r=a", "n,,n=user,r=a b", "n,,n=user,r=\u{e9}",
            "n,,m=x,n=user,r=a", "p=tls-exporter,,n=user,r=a", "n,a=other,n=user,r=a", "n,user,n=user,r=a", "\u{0}",
        ]
    )
    func malformedFirst(_ message: String) throws {
        let exchange = try begin(try authenticator("user:\(Self.pencil)"))
        let step = exchange.step(ByteBuffer(string: message))
        if message.isEmpty { return #expect(text(step) == "") }
        #expect(isRefused(step, .notAuthorized))
    }

    @Test("bytes that are not UTF-8 are refused")
    func notText() throws {
        let authenticator = try authenticator("user:\(Self.pencil)")
        #expect(isRefused(try begin(authenticator).step(ByteBuffer(bytes: [0xff, 0xfe])), .notAuthorized))
    }

    @Test("what is served besides: y, the own name as authzid, extensions", arguments: ["y,,", "n,a=user,"])
    func headers(_ header: String) throws {
        let client = ScramClient(userName: "user", password: "pencil", header: header, attributes: ",x=1")
        #expect(try isAccepted(outcome(client, try authenticator("user:\(Self.pencil)")), as: "user"))
    }

    @Test("a final message of another exchange, with another header or without its parts is refused")
    func malformedFinal() throws {
        let authenticator = try authenticator("user:\(Self.pencil)", nonce: "server")
        let client = ScramClient(userName: "user", password: "pencil")
        let good = try client.final(to: "r=\(client.nonce)server,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096").message
        let text = String(buffer: good)
        for changed in [
            text.replacing("server", with: "client"), text.replacing("c=biws", with: "c=eSws"), "",
            text.replacing(",p=", with: ",q="), String(text.prefix(20)), text.replacing("c=biws,", with: ""),
        ] {
            let exchange = try begin(authenticator)
            _ = exchange.step(client.first)
            #expect(isRefused(exchange.step(ByteBuffer(string: changed)), .notAuthorized), "\(changed)")
        }
        let short = try begin(authenticator)
        _ = short.step(client.first)
        let cut = text.replacing(/p=.*/, with: "p=AAAA")
        #expect(isRefused(short.step(ByteBuffer(string: cut)), .badUserNameOrPassword))
        let exchange = try begin(authenticator)
        _ = exchange.step(client.first)
        #expect(isAccepted(exchange.step(good), as: "user"))
    }

    @Test("an exchange under way when the file is replaced ends well only for a user whose keys are the same")
    func replaced() throws {
        let client = ScramClient(userName: "user", password: "pencil")
        let files = [("user:\(Self.pencil)\nother:\(Self.pencil)", true), ("other:\(Self.pencil)", false), ("", false)]
        for (file, isGood) in files {
            let authenticator = try authenticator("user:\(Self.pencil)")
            let exchange = try begin(authenticator)
            let challenge = try #require(text(exchange.step(client.first)))
            authenticator.replace(try PasswordFile(file))
            let last = exchange.step(try client.final(to: challenge).message)
            #expect(isAccepted(last, as: "user") == isGood)
            #expect(isRefused(last, .badUserNameOrPassword) == !isGood)
        }
    }

    @Test("other methods are not offered", arguments: ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", ""])
    func methods(_ method: String) throws {
        let credentials = Credentials(clientID: "c", userName: nil)
        #expect(try authenticator("user:\(Self.pencil)").begin(method, for: credentials) == nil)
    }

    @Test("[MQTT-4.12.0-2] [MQTT-4.12.1-1] a broker takes it in CONNECT, and again later")
    func broker() throws {
        let test = TestBroker(enhancedAuthenticator: try authenticator("user:\(Self.pencil)"))
        let scram = ScramClient(userName: "user", password: "pencil")
        let client = test.open()
        var connect = Connect(clientID: "c")
        connect.properties.authenticationMethod = ScramAuthenticator.method
        connect.properties.authenticationData = scram.first
        client.send(.connect(connect))
        for reason in [nil, ReasonCode.reauthenticate] {
            if let reason { client.send(auth(reason, scram.first)) }
            let challenge = try #require(try client.take { if case .auth(let auth) = $0 { auth } else { nil } })
            let (message, signature) = try scram.final(to: String(buffer: try #require(challenge.authenticationData)))
            client.send(auth(.continueAuthentication, message))
            let last = try client.take { packet -> ByteBuffer? in
                switch packet {
                case .connack(let connack): connack.properties.authenticationData
                case .auth(let auth): auth.authenticationData
                default: nil
                }
            }
            #expect(last == ByteBuffer(string: signature))
        }
        #expect(try client.ping())
    }

    private func auth(_ reason: ReasonCode, _ data: ByteBuffer) -> Packet {
        .auth(Auth(reasonCode: reason, authenticationMethod: ScramAuthenticator.method, authenticationData: data))
    }

    private func isAccepted(_ step: AuthenticationStep, as name: String) -> Bool {
        if case .accepted(let userName?, _) = step { userName.utf8.elementsEqual(name.utf8) } else { false }
    }

    private func isRefused(_ step: AuthenticationStep, _ reason: ReasonCode) -> Bool {
        if case .refused(reason, _) = step { true } else { false }
    }
}
