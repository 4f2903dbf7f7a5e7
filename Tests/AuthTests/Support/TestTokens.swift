import Auth
import BrokerCore
import CryptoExtras
import Foundation
import JWTKit
import NIOCore

/// Claims of tokens that tests make.
struct TestClaims: JWTPayload {
    var sub: String?
    var client: String?
    var aud: [String]?
    var iss: String?
    var exp: Double?
    var nbf: Double?

    func verify(using algorithm: some JWTAlgorithm) async throws {}

    /// Good for an hour, or so many seconds.
    static func user(_ name: String, seconds: Double = 3_600) -> TestClaims {
        TestClaims(sub: name, exp: Date().timeIntervalSince1970 + seconds)
    }
}

/// Makes tokens with a key, and verifies them with its public half.
struct TestIssuer: Sendable {
    let algorithm: String
    /// Signs.
    let collection: JWTKeyCollection
    /// Verifies.
    let keys: TokenKeys

    func token(_ claims: TestClaims, kid: String? = nil, header: JWTHeader = JWTHeader()) async throws -> String {
        try await collection.sign(claims, kid: kid.map { .init(string: $0) }, header: header)
    }

    static let secret = "a secret of forty bytes, which will do.."

    static func hmac(_ secret: String = secret) async throws -> TestIssuer {
        let collection = await JWTKeyCollection().add(hmac: HMACKey(from: secret), digestAlgorithm: .sha256)
        return TestIssuer(algorithm: "HS256", collection: collection, keys: try TokenKeys(secret: secret + "\n"))
    }

    /// One of each kind, made once: RSA keys take their time.
    static func all() async throws -> [TestIssuer] { try await made.value }

    private static let made = Task { try await makeAll() }

    private static func makeAll() async throws -> [TestIssuer] {
        let rsa = try JWTKit.Insecure.RSA.PrivateKey(backing: .init(keySize: .bits2048))
        let rsaKeys = try TokenKeys(publicKey: rsa.publicKey.pemRepresentation)
        let p256 = ES256PrivateKey()
        let p384 = ES384PrivateKey()
        let edwards = try EdDSA.PrivateKey()
        return [
            try await hmac(),
            TestIssuer(
                algorithm: "RS256",
                collection: await JWTKeyCollection().add(rsa: rsa, digestAlgorithm: .sha256),
                keys: rsaKeys
            ),
            TestIssuer(
                algorithm: "PS512",
                collection: await JWTKeyCollection().add(pss: rsa, digestAlgorithm: .sha512),
                keys: rsaKeys
            ),
            TestIssuer(
                algorithm: "ES256",
                collection: await JWTKeyCollection().add(ecdsa: p256),
                keys: try TokenKeys(publicKey: p256.publicKey.pemRepresentation)
            ),
            TestIssuer(
                algorithm: "ES384",
                collection: await JWTKeyCollection().add(ecdsa: p384),
                keys: try TokenKeys(publicKey: p384.publicKey.pemRepresentation)
            ),
            TestIssuer(
                algorithm: "EdDSA",
                collection: await JWTKeyCollection().add(eddsa: edwards),
                keys: try TokenKeys(publicKey: edwards.publicKey.pemRepresentation)
            ),
        ]
    }
}

extension CredentialAuthenticator {
    /// What it says in the end.
    func answer(
        _ password: String?,
        userName: String? = nil,
        clientID: String = "c",
        isToken: Bool = false,
        identity: String? = nil
    ) async -> Authentication {
        let answer = authenticate(
            Credentials(
                clientID: clientID,
                userName: userName,
                password: password.map { ByteBuffer(string: $0) },
                isToken: isToken,
                transportIdentity: identity
            )
        )
        guard case .pending(let pending) = answer else { return answer }
        return await withCheckedContinuation { continuation in
            pending.whenAnswered { continuation.resume(returning: $0) }
        }
    }

    /// The user that is let in; nil when none is.
    func user(_ password: String?, userName: String? = nil, clientID: String = "c") async -> String? {
        switch await answer(password, userName: userName, clientID: clientID) {
        case .accepted(let name): name
        case .acceptedToken(let name, _): name
        default: nil
        }
    }
}
