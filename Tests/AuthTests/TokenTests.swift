import Auth
import BrokerCore
import BrokerTestSupport
import Crypto
import Foundation
import JWTKit
import MQTTCodec
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct TokenTests {
    private func authenticator(
        _ keys: TokenKeys,
        passwords: PasswordFile? = nil,
        allowsAnonymous: Bool = false,
        _ change: (inout TokenRules) -> Void = { _ in }
    ) -> CredentialAuthenticator {
        var accepted = AcceptedCredentials()
        accepted.tokens = keys
        accepted.passwords = passwords
        change(&accepted.tokenRules)
        return CredentialAuthenticator(accepted, allowsAnonymous: allowsAnonymous)
    }

    @Test("tokens of every algorithm are good with their own key only") func tokensEveryAlgorithmGood() async throws {
        let issuers = try await TestIssuer.all()
        for issuer in issuers {
            let token = try await issuer.token(.user("alice"))
            #expect(await authenticator(issuer.keys).user(token) == "alice", "\(issuer.algorithm)")
            for other in issuers where !other.keys.contain(issuer.keys) {
                #expect(await authenticator(other.keys).user(token) == nil)
            }
        }
    }

    @Test("a token that was tampered with is worthless") func tokenTamperedWorthless() async throws {
        for issuer in try await TestIssuer.all() {
            let authenticator = authenticator(issuer.keys)
            let parts = try await issuer.token(.user("alice")).split(separator: ".").map(String.init)
            let other = try await issuer.token(.user("mallory")).split(separator: ".").map(String.init)
            #expect(await authenticator.user([parts[0], other[1], parts[2]].joined(separator: ".")) == nil)
            #expect(await authenticator.user([parts[0], parts[1], ""].joined(separator: ".")) == nil)
            let unsigned = Data(#"{"alg":"none"}"#.utf8).base64EncodedString().replacing("=", with: "")
            for signature in ["", parts[2]] {
                #expect(await authenticator.user([unsigned, parts[1], signature].joined(separator: ".")) == nil)
            }
        }
    }

    @Test("no change of some bytes of a token lets anybody else in", arguments: 0..<6, [1, 2, 3] as [UInt64])
    func noChangeSomeBytes(place: Int, seed: UInt64) async throws {
        let issuer = try await TestIssuer.all()[place]
        let authenticator = authenticator(issuer.keys)
        let token = Array(try await issuer.token(.user("alice")).utf8)
        var random = SplitMix64(seed: seed)
        for _ in 0..<100 {
            var changed = token
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: changed.indices, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: changed[place] = UInt8.random(in: 0x20..<0x7f, using: &random)
                case 1: changed.remove(at: place)
                default: changed.insert(changed[place], at: place)
                }
            }
            // The last digit of base64 has bits that say nothing.
            let user = await authenticator.user(String(decoding: changed, as: UTF8.self))
            #expect(user == nil || user == "alice")
        }
    }

    @Test("a public key is no secret for HS256") func publicKeyNoSecret() async throws {
        let key = ES256PrivateKey()
        let pem = key.publicKey.pemRepresentation
        let forger = await JWTKeyCollection().add(hmac: HMACKey(from: pem), digestAlgorithm: .sha256)
        let forged = try await forger.sign(TestClaims.user("alice"))
        #expect(await authenticator(try TokenKeys(publicKey: pem)).user(forged) == nil)
    }

    @Test("a token is good from nbf to exp, give or take the leeway") func tokenGoodNbfExp() async throws {
        let issuer = try await TestIssuer.hmac()
        let now = Date().timeIntervalSince1970
        let strict = authenticator(issuer.keys) { $0.leeway = 0 }
        let lenient = authenticator(issuer.keys) { $0.leeway = 60 }
        for (exp, nbf) in [(now - 10, nil), (now + 100, now + 30)] as [(Double, Double?)] {
            let token = try await issuer.token(TestClaims(sub: "alice", exp: exp, nbf: nbf))
            #expect(await strict.user(token) == nil)
            #expect(await lenient.user(token) == "alice")
        }
        let lasting = try await issuer.token(TestClaims(sub: "alice"))
        guard case .acceptedToken("alice", nil) = await strict.answer(lasting) else {
            return #expect(Bool(false), "a token without exp is good for ever")
        }
        let short = try await issuer.token(.user("alice", seconds: 100))
        guard case .acceptedToken("alice", let expiresAt?) = await strict.answer(short) else {
            return #expect(Bool(false), "the time it is over is told")
        }
        #expect((NIODeadline.now() + .seconds(90)...NIODeadline.now() + .seconds(100)).contains(expiresAt))
    }

    @Test("audience, issuer, user and client are asked for as the rules say") func audienceIssuerUserClient()
        async throws
    {
        let issuer = try await TestIssuer.hmac()
        let authenticator = authenticator(issuer.keys) {
            $0.audience = "sluice"
            $0.issuer = "shop"
            $0.clientClaim = "client"
        }
        let good = TestClaims(sub: "alice", client: "c", aud: ["web", "sluice"], iss: "shop")
        #expect(await authenticator.user(try await issuer.token(good)) == "alice")
        let changes: [(inout TestClaims) -> Void] = [
            { $0.aud = ["web"] }, { $0.aud = nil }, { $0.iss = "other" }, { $0.iss = nil }, { $0.sub = nil },
            { $0.sub = "" }, { $0.sub = "a\u{0}b" }, { $0.client = nil }, { $0.client = "d" },
        ]
        for change in changes {
            var claims = good
            change(&claims)
            #expect(await authenticator.user(try await issuer.token(claims)) == nil, "\(claims)")
        }
    }

    @Test("the log is told why a token is not good") func logToldWhyToken() async throws {
        let issuer = try await TestIssuer.hmac()
        let authenticator = authenticator(issuer.keys) { $0.leeway = 0 }
        func why(_ token: String, userName: String? = nil) async -> String? {
            guard
                case .refused(.badUserNameOrPassword, let detail) = await authenticator.answer(
                    token,
                    userName: userName
                )
            else { return nil }
            return detail
        }
        let now = Date().timeIntervalSince1970
        let expired = try await issuer.token(TestClaims(sub: "alice", exp: now - 300))
        let early = try await issuer.token(TestClaims(sub: "alice", nbf: now + 300))
        let good = try await issuer.token(TestClaims(sub: "alice"))
        let parts = good.split(separator: ".").map(String.init)
        func header(_ json: String) -> String {
            Data(json.utf8).base64EncodedString().replacing("=", with: "") + ".\(parts[1]).\(parts[2])"
        }
        #expect(await why(expired)?.wholeMatch(of: /the token: it expired \d+ s ago/) != nil)
        #expect(await why(early)?.wholeMatch(of: /the token: it is good in \d+ s, not before/) != nil)
        #expect(await why(parts[0] + "." + parts[1] + ".AAAA") == "the token: bad signature")
        #expect(await why(header(#"{"alg":"none"}"#)) == "the token: it is not signed: its alg is none")
        #expect(await why(header(#"{"alg":"RS256"}"#)) == "the token: no key is for its alg, RS256")
        #expect(
            await why(header(#"{"alg":"HS256","kid":"k7"}"#)) == "the token: bad signature; no key has its kid, k7"
        )
        #expect(await why(good, userName: "bob") == "the token: it is another user's, alice")
    }

    @Test("the user name may be left out, or must be the token's") func userNameLeftOut() async throws {
        let issuer = try await TestIssuer.hmac()
        let authenticator = authenticator(issuer.keys)
        let token = try await issuer.token(.user("alice"))
        for (name, user) in [(nil, "alice"), ("", "alice"), ("alice", "alice"), ("bob", nil)] as [(String?, String?)] {
            // Asked twice: the second time it is remembered.
            for _ in 0..<2 { #expect(await authenticator.user(token, userName: name) == user) }
        }
    }

    @Test("a payload is given to be read only once its signature is good, whatever it says") func payloadGivenReadOnly()
        async throws
    {
        let secret = TestIssuer.secret
        let keys = try TokenKeys(secret: secret)
        func signed(_ header: String, _ payload: String, secret: String = secret) -> [UInt8] {
            let text = [header, payload].map { encode(Data($0.utf8)) }.joined(separator: ".")
            let key = SymmetricKey(data: Data(secret.utf8))
            let code = HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: key)
            return Array("\(text).\(encode(Data(code)))".utf8)
        }
        let header = #"{"alg":"HS256"}"#
        let payload = "no JSON at all"
        #expect(await keys.payload(ofSigned: signed(header, payload)) == Array(payload.utf8))
        #expect(await keys.payload(ofSigned: signed(header, payload, secret: secret + "x")) == nil)
        #expect(await authenticator(keys).user(String(decoding: signed(header, payload), as: UTF8.self)) == nil)
        let claims = #"{"sub":"alice"}"#
        #expect(await authenticator(keys).user(String(decoding: signed(header, claims), as: UTF8.self)) == "alice")
        for size in [2_000, 4_000] {
            let long = #"{"alg":"HS256","x5c":[""# + String(repeating: "A", count: size) + #""]}"#
            #expect(await keys.payload(ofSigned: signed(long, claims)) == (size == 2_000 ? Array(claims.utf8) : nil))
        }
        for header in [#"{"alg":1}"#, "{}", "[]", #"{"alg":"HS256","kid":1}"#, #"{"alg":"HS256","crit":null}"#] {
            #expect(await keys.payload(ofSigned: signed(header, claims)) == nil, "\(header)")
        }
    }

    private func encode(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    @Test("a token header that asks for an extension is refused") func tokenHeaderAsksExtension() async throws {
        let issuer = try await TestIssuer.hmac()
        var header = JWTHeader()
        header.fields["crit"] = .array([.string("b64")])
        let token = try await issuer.token(.user("alice"), header: header)
        #expect(await authenticator(issuer.keys).user(token) == nil)
    }

    @Test("passwords go on to work beside tokens, and who shows nothing is as anonymous as before")
    func passwordsGoWorkBeside() async throws {
        let issuer = try await TestIssuer.hmac()
        let file = try PasswordFile("alice:\(try PasswordHash.pbkdf2("rabbit", iterations: 5))\n")
        let both = authenticator(issuer.keys, passwords: file)
        #expect(await both.user("rabbit", userName: "alice") == "alice")
        #expect(await both.user("hare", userName: "alice") == nil)
        #expect(await both.user("rabbit", userName: "bob") == nil)
        #expect("\(await both.answer(nil))" == "notAuthorized")
        let open = authenticator(issuer.keys, allowsAnonymous: true)
        #expect("\(await open.answer(nil))" == "\(Authentication.accepted(userName: nil))")
        // Whoever shows a token does not get in without it.
        #expect("\(await open.answer("nonsense", isToken: true))" == "badCredentials")
        #expect("\(await open.answer("rabbit", userName: "alice"))" == "badCredentials")
        // The transport's word counts for more.
        #expect("\(await both.answer("nonsense", identity: "lamp"))" == "\(Authentication.accepted(userName: "lamp"))")
    }

    @Test("many clients with one token wait for one look at it, and only so many wait") func manyClientsOneToken()
        async throws
    {
        let issuer = try await TestIssuer.hmac()
        var accepted = AcceptedCredentials()
        accepted.tokens = issuer.keys
        let authenticator = CredentialAuthenticator(accepted, allowsAnonymous: false, waiting: 0)
        #expect("\(await authenticator.answer(try await issuer.token(.user("alice"))))" == "busy")
    }

    @Test("another key is in force at once") func anotherKeyForceOnce() async throws {
        let (old, new) = (try await TestIssuer.hmac(), try await TestIssuer.hmac(String(repeating: "x", count: 32)))
        let authenticator = authenticator(old.keys)
        let token = try await old.token(.user("alice"))
        #expect(await authenticator.user(token) == "alice")
        var accepted = AcceptedCredentials()
        accepted.tokens = new.keys
        authenticator.replace(accepted)
        #expect(await authenticator.user(token) == nil)
        #expect(await authenticator.user(try await new.token(.user("bob"))) == "bob")
    }
}
