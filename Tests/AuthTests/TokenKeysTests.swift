import Auth
import BrokerCore
import CryptoExtras
import Foundation
import JWTKit
import Testing

@Suite(.timeLimit(.minutes(1))) struct TokenKeysTests {
    private let p256 = ES256PrivateKey()
    private let edwards: EdDSA.PrivateKey
    private let rsa: JWTKit.Insecure.RSA.PrivateKey

    init() throws {
        edwards = try EdDSA.PrivateKey()
        rsa = try JWTKit.Insecure.RSA.PrivateKey(backing: .init(keySize: .bits2048))
    }

    private func encode(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// The keys as a set, some of them with an algorithm and some without.
    private func set(_ kids: [String] = ["rsa", "ec", "ed"]) throws -> String {
        let point = try #require(p256.parameters)
        let primitives = try rsa.publicKey.getKeyPrimitives()
        let keys = [
            "rsa": """
            {"kty":"RSA","kid":"rsa","use":"sig","n":"\(encode(primitives.modulus))",\
            "e":"\(encode(primitives.publicExponent))"}
            """,
            "ec": """
            {"kty":"EC","kid":"ec","crv":"P-256","alg":"ES256","x":"\(encode(Data(base64Encoded: point.x) ?? Data()))",\
            "y":"\(encode(Data(base64Encoded: point.y) ?? Data()))"}
            """,
            "ed": #"{"kty":"OKP","kid":"ed","crv":"Ed25519","x":"\#(encode(edwards.publicKey.rawRepresentation))"}"#,
        ]
        return #"{"keys":[\#(kids.compactMap { keys[$0] }.joined(separator: ","))]}"#
    }

    private func user(_ token: String, _ keys: TokenKeys) async -> String? {
        var accepted = AcceptedCredentials()
        accepted.tokens = keys
        return await CredentialAuthenticator(accepted, allowsAnonymous: false).user(token)
    }

    @Test("a token is verified with the key of the set that it names, or with any when it names none")
    func tokenVerifiedKeySet()
        async throws
    {
        let keys = try TokenKeys(keySet: try set())
        let signers = [
            ("rsa", await JWTKeyCollection().add(rsa: rsa, digestAlgorithm: .sha256)),
            ("ec", await JWTKeyCollection().add(ecdsa: p256)), ("ed", await JWTKeyCollection().add(eddsa: edwards)),
        ]
        for (kid, signer) in signers {
            for header in [["kid": .string(kid)], ["kid": .string("other")], [:]] as [[String: JWTHeaderField]] {
                let token = try await signer.sign(TestClaims.user("alice"), header: JWTHeader(fields: header))
                #expect(await user(token, keys) == "alice", "\(kid) \(header)")
            }
            let without = try TokenKeys(keySet: try set(["rsa", "ec", "ed"].filter { $0 != kid }))
            let token = try await signer.sign(TestClaims.user("alice"))
            #expect(await user(token, without) == nil)
        }
    }

    @Test("the first token does not choose the algorithm of a key that has none") func firstTokenDoesNot() async throws
    {
        let keys = try TokenKeys(keySet: try set(["rsa"]))
        let other = await JWTKeyCollection().add(rsa: rsa, digestAlgorithm: .sha512)
        let usual = await JWTKeyCollection().add(rsa: rsa, digestAlgorithm: .sha256)
        #expect(await user(try await other.sign(TestClaims.user("mallory")), keys) == nil)
        #expect(await user(try await usual.sign(TestClaims.user("alice")), keys) == "alice")
    }

    @Test("a set that has all former keys is known to have them") func setAllFormerKeys() throws {
        let (few, many) = (try TokenKeys(keySet: try set(["rsa"])), try TokenKeys(keySet: try set()))
        #expect(many.contain(few))
        #expect(!few.contain(many))
    }

    /// A set with some more keys.
    private func set(_ kids: [String], and others: String...) throws -> String {
        try set(kids).replacing("]}", with: (kids.isEmpty ? "" : ",") + others.joined(separator: ",") + "]}")
    }

    private static let unused = [
        (#"{"kty":"oct","kid":"o","k":"c2VjcmV0"}"#, #"key 2 (kid "o") is of a type that is not known (kty "oct")"#),
        (#"{"kid":"o"}"#, #"key 2 (kid "o") is of a type that is not known"#), ("{}", "key 2 is of a type"),
        (#"{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}"#, #"key 2 is not for signatures (use "enc")"#),
        (#"{"kty":"RSA","key_ops":["encrypt"],"n":"AQAB","e":"AQAB"}"#, "key 2 is not for signatures (key_ops"),
        (#"{"kty":"RSA","alg":"RSA-OAEP","n":"AQAB","e":"AQAB"}"#, "key 2 is an RSA key that is not for signatures"),
        (#"{"kty":"RSA","alg":"RSA-OAEP-256","n":"AQAB","e":"AQAB"}"#, "key 2 is for an algorithm that is not known"),
        (#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, "key 2 is no RSA key of 2048 bits or more"),
        (#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#, "key 2 is on a curve that is not known"),
        (#"{"kty":"OKP","crv":"X25519","x":"AA"}"#, "key 2 is on a curve that is not known"),
    ]

    @Test("a key of a set that is of no use is left out, and told", arguments: unused)
    func keySetNoUse(key: String, words: String) async throws {
        let keys = try TokenKeys(keySet: try set(["ec"], and: key))
        #expect(keys.warnings.count == 1)
        #expect(keys.warnings.first?.hasPrefix(words) == true, "\(keys.warnings)")
        let signer = await JWTKeyCollection().add(ecdsa: p256)
        #expect(await user(try await signer.sign(TestClaims.user("alice")), keys) == "alice")
    }

    @Test("a key for encryption verifies nothing") func keyEncryptionVerifiesNothing() async throws {
        let signer = await JWTKeyCollection().add(rsa: rsa, digestAlgorithm: .sha256)
        let token = try await signer.sign(TestClaims.user("alice"))
        #expect(await user(token, try TokenKeys(keySet: try set(["rsa", "ec"]))) == "alice")
        let encryption = try set(["rsa", "ec"]).replacing(#""use":"sig""#, with: #""use":"enc""#)
        #expect(await user(token, try TokenKeys(keySet: encryption)) == nil)
    }

    @Test("two keys for signatures with the same kid are an error that names both") func twoKeysSignaturesSame() throws
    {
        let twice = try set(["rsa", "ec", "ed"]).replacing(#""kid":"ed""#, with: #""kid":"rsa""#)
        let words = words { () throws(AccessFileRefused) in try TokenKeys(keySet: twice) }
        #expect(words == [#"keys 1 and 3 have the same kid "rsa" (RFC 7517 §4.5)"#])
        let other = try set(["ec"], and: #"{"kty":"RSA","kid":"ec","use":"enc","n":"AQAB","e":"AQAB"}"#)
        #expect(try TokenKeys(keySet: other).warnings.count == 1)
    }

    private func words(_ make: () throws(AccessFileRefused) -> TokenKeys) -> [String] {
        do throws(AccessFileRefused) {
            _ = try make()
            return []
        } catch {
            return error.problems.map(\.words)
        }
    }

    @Test("what is no key is told") func noKeyTold() throws {
        #expect(words { () throws(AccessFileRefused) in try TokenKeys(secret: "short\n") }.count == 1)
        #expect(words { () throws(AccessFileRefused) in try TokenKeys(publicKey: "-----BEGIN NONSENSE") }.count == 1)
        let sets = [
            "", "{}", #"{"keys":[]}"#, #"{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}"#,
            #"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}"#,
            #"{"keys":[{"kty":"EC","kid":"a","crv":"P-256","x":"AA","y":"AA"}]}"#,
            #"{"keys":[{"kty":"OKP","kid":"a","crv":"Ed25519","x":"AA"}]}"#,
        ]
        for json in sets {
            #expect(words { () throws(AccessFileRefused) in try TokenKeys(keySet: json) }.count == 1, "\(json)")
        }
    }
}
