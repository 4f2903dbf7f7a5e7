import Auth
import BrokerCore
import MQTTCodec
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct APIKeyTests {
    @Test("a key stands for its user, whose name may be left out") func keyStandsUserName() async throws {
        let (first, second, other) = (
            APIKeyFile.make(for: "shop"), APIKeyFile.make(for: "shop"), APIKeyFile.make(for: "lamp")
        )
        var accepted = AcceptedCredentials()
        accepted.apiKeys = try APIKeyFile("# keys\n\(first.line)\n\(second.line)\r\n\(other.line)\n")
        let authenticator = CredentialAuthenticator(accepted, allowsAnonymous: false)
        #expect(first.key != second.key && first.key.hasPrefix("slk_"))
        for key in [first.key, second.key] {
            for name in [nil, "", "shop"] { #expect(await authenticator.user(key, userName: name) == "shop") }
            #expect(await authenticator.user(key, userName: "lamp") == nil)
        }
        #expect(await authenticator.user(other.key) == "lamp")
        #expect(await authenticator.user(other.key + "x", userName: "lamp") == nil)
        #expect("\(await authenticator.answer(other.key + "x", isToken: true))" == "badCredentials")
    }

    @Test("a mistyped key is refused, and not let in as anonymous") func mistypedKeyRefusedNot() async throws {
        let shop = APIKeyFile.make(for: "shop")
        var accepted = AcceptedCredentials()
        accepted.apiKeys = try APIKeyFile(shop.line)
        let open = CredentialAuthenticator(accepted, allowsAnonymous: true)
        #expect("\(await open.answer(nil))" == "\(Authentication.accepted(userName: nil))")
        for (name, isToken) in [(nil, false), (nil, true), ("", false), ("shop", false)] as [(String?, Bool)] {
            let answer = await open.answer(shop.key.dropLast() + "x", userName: name, isToken: isToken)
            #expect("\(answer)" == "badCredentials", "\(name ?? "nil") \(isToken)")
        }
        // Where nobody is known by anything, neither.
        for isToken in [false, true] {
            let credentials = Credentials(
                clientID: "c",
                userName: nil,
                password: ByteBuffer(string: shop.key),
                isToken: isToken
            )
            #expect("\(AnonymousAccess().authenticate(credentials))" == "badCredentials")
        }
    }

    @Test("users that lose a key are known") func usersLoseKeyKnown() throws {
        let (shop, next, lamp) = (
            APIKeyFile.make(for: "shop"), APIKeyFile.make(for: "shop"), APIKeyFile.make(for: "lamp")
        )
        let old = try APIKeyFile("\(shop.line)\n\(lamp.line)")
        #expect(old.usersLosingKeys(to: try APIKeyFile("\(next.line)\n\(shop.line)\n\(lamp.line)")).isEmpty)
        #expect(old.usersLosingKeys(to: try APIKeyFile("\(next.line)\n\(lamp.line)")) == [ExactText("shop")])
        #expect(old.usersLosingKeys(to: nil) == [ExactText("shop"), ExactText("lamp")])
    }

    @Test("mistakes are told with their lines") func mistakesToldTheirLines() {
        let digest = String(repeating: "0a", count: 32)
        let text = "shop:\(digest)\nshop\n:\(digest)\nshop:12\nshop:\(digest)\nshop:\(digest.uppercased())\n"
        let refused = #expect(throws: AccessFileRefused.self) { try APIKeyFile(text) }
        #expect(refused?.problems.map(\.line) == [2, 3, 4, 5, 6])
    }
}
