import Crypto
import Foundation
import JWTKit

/// The keys that JSON Web Tokens are verified with.
package struct TokenKeys: Sendable {
    /// A key, for one algorithm.
    struct Key: Sendable {
        /// `kid`; nil when it has none.
        let identifier: String?
        /// `alg` of the tokens it is for.
        let algorithm: String
        /// It is made in the background: the library has them behind an actor.
        private let verifier: Task<any JWTAlgorithm, any Error>

        init(
            _ algorithm: String,
            identifier: String? = nil,
            _ add: @escaping @Sendable (JWTKeyCollection) async throws -> Void
        ) {
            self.algorithm = algorithm
            self.identifier = identifier
            verifier = Task {
                let collection = JWTKeyCollection()
                try await add(collection)
                return try await collection.getKey()
            }
        }

        /// Whether it has signed the token.
        func hasSigned(_ token: SignedToken) async -> Bool {
            guard let verifier = try? await verifier.value else { return false }
            return (try? verifier.verify(token.signature, signs: token.signed)) ?? false
        }
    }

    /// Bytes.
    private static let shortestSecret = SHA256.byteCount

    private let keys: [Key]
    /// Of each key, to tell what has changed.
    private let fingerprints: Set<String>
    /// Keys of a set that are not used, and why not.
    package let warnings: [String]

    init(_ keys: [Key], fingerprints: Set<String>, warnings: [String] = []) {
        self.keys = keys
        self.fingerprints = fingerprints
        self.warnings = warnings
    }

    /// A secret both sides have, for those of HS256, HS384 and HS512 whose hash is no longer (RFC 7518 §3.2).
    ///
    /// - Parameter secret: a file's text; line ends at its end are not part of it.
    package init(secret text: String) throws(AccessFileRefused) {
        var bytes = Array(text.utf8)
        while let last = bytes.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard bytes.count >= Self.shortestSecret else {
            throw Self.refusal("the secret must have at least \(Self.shortestSecret) bytes (RFC 7518 §3.2)")
        }
        let key = HMACKey(from: bytes)
        let digests: [(String, DigestAlgorithm, Int)] = [
            ("HS256", .sha256, SHA256.byteCount), ("HS384", .sha384, SHA384.byteCount),
            ("HS512", .sha512, SHA512.byteCount),
        ]
        // That it is long enough is the library's assertion, too.
        let keys = digests.filter { bytes.count >= $0.2 }.map { name, digest, _ in
            Key(name) { await $0.add(hmac: key, digestAlgorithm: digest) }
        }
        self.init(keys, fingerprints: [Self.fingerprint(bytes)])
    }

    /// A public key in PEM: RSA for RS256 to RS512 and PS256 to PS512, an elliptic curve for ES256, ES384 or ES512, or
    /// Ed25519 for EdDSA.
    package init(publicKey pem: String) throws(AccessFileRefused) {
        let keys: [Key]
        if let key = try? Insecure.RSA.PublicKey(pem: pem) {
            let digests: [(String, DigestAlgorithm)] = [("256", .sha256), ("384", .sha384), ("512", .sha512)]
            keys = digests.flatMap { bits, digest in
                [
                    Key("RS" + bits) { await $0.add(rsa: key, digestAlgorithm: digest) },
                    Key("PS" + bits) { await $0.add(pss: key, digestAlgorithm: digest) },
                ]
            }
        } else if let key = try? ES256PublicKey(pem: pem) {
            keys = [Key("ES256") { await $0.add(ecdsa: key) }]
        } else if let key = try? ES384PublicKey(pem: pem) {
            keys = [Key("ES384") { await $0.add(ecdsa: key) }]
        } else if let key = try? ES512PublicKey(pem: pem) {
            keys = [Key("ES512") { await $0.add(ecdsa: key) }]
        } else if let key = try? EdDSA.PublicKey(pem: pem) {
            keys = [Key("EdDSA") { await $0.add(eddsa: key) }]
        } else {
            throw Self.refusal("is no public key in PEM: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519")
        }
        self.init(keys, fingerprints: [Self.fingerprint(Array(pem.utf8))])
    }

    static func refusal(_ words: String) -> AccessFileRefused {
        AccessFileRefused(problems: [.init(line: 1, words: words)])
    }

    static func fingerprint(_ bytes: [UInt8]) -> String { [UInt8](SHA256.hash(data: bytes)).base64 }

    /// Whether all that was signed with the other keys is good with these.
    package func contain(_ other: TokenKeys) -> Bool { fingerprints.isSuperset(of: other.fingerprints) }

    /// What a token says, if its signature is good.
    ///
    /// - Throws: when it is not, or the token is none.
    func verify(_ token: [UInt8]) async throws(TokenRefused) -> TokenClaims {
        let payload = try await signedPayload(of: token)
        guard let claims = try? JSONDecoder().decode(TokenClaims.self, from: Data(payload)) else {
            throw TokenRefused("its payload is no JSON object")
        }
        return claims
    }

    /// What is signed with one of the keys, whatever it says; nil when the signature is not good, or the token is none.
    package func payload(ofSigned token: [UInt8]) async -> [UInt8]? { try? await signedPayload(of: token) }

    private func signedPayload(of token: [UInt8]) async throws(TokenRefused) -> [UInt8] {
        guard let token = SignedToken(token) else { throw TokenRefused("it is no JSON Web Token") }
        let header = token.header
        guard header.algorithm.lowercased() != "none" else { throw TokenRefused("it is not signed: its alg is none") }
        guard !header.isCritical else { throw TokenRefused("it has extensions that must be understood (crit)") }
        let candidates = candidates(header)
        guard !candidates.isEmpty else { throw TokenRefused("no key is for its alg, \(header.algorithm)") }
        for key in candidates where await key.hasSigned(token) {
            guard let payload = token.payload else { throw TokenRefused("its payload is no text") }
            return payload
        }
        guard let identifier = header.keyIdentifier, !keys.contains(where: { $0.identifier == identifier }) else {
            throw TokenRefused("bad signature")
        }
        throw TokenRefused("bad signature; no key has its kid, \(identifier)")
    }

    /// The key that a token names, or all that it may be signed with.
    private func candidates(_ header: SignedToken.Header) -> [Key] {
        let fitting = keys.filter { $0.algorithm == header.algorithm }
        guard let identifier = header.keyIdentifier else { return fitting }
        let named = fitting.filter { $0.identifier == identifier }
        return named.isEmpty ? fitting : named
    }
}

/// Why a token is not good, for the log: whoever shows it is not told.
struct TokenRefused: Error, Equatable {
    /// Of the token.
    let words: String

    init(_ words: String) { self.words = words }
}
