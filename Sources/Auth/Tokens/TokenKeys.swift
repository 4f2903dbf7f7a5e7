import Crypto
import Foundation
import JWTKit

/// The keys that JSON Web Tokens are verified with.
package struct TokenKeys: Sendable {
    /// Bytes.
    private static let shortestSecret = SHA256.byteCount
    private static let mostKeys = 32

    /// By the algorithm in a token's header; the empty one is for all.
    ///
    /// They are made in the background: the library has them behind an actor.
    private let collections: [String: Task<JWTKeyCollection, any Error>]
    /// Of each key, to tell what has changed.
    private let fingerprints: Set<String>

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
        collections = digests.reduce(into: [:]) { made, digest in
            // The library's assertion, too.
            guard bytes.count >= digest.2 else { return }
            made[digest.0] = Task { await JWTKeyCollection().add(hmac: key, digestAlgorithm: digest.1) }
        }
        fingerprints = [Self.fingerprint(bytes)]
    }

    /// A public key in PEM: RSA for RS256 to RS512 and PS256 to PS512, an elliptic curve for ES256, ES384 or ES512, or
    /// Ed25519 for EdDSA.
    package init(publicKey pem: String) throws(AccessFileRefused) {
        fingerprints = [Self.fingerprint(Array(pem.utf8))]
        if let key = try? Insecure.RSA.PublicKey(pem: pem) {
            let digests: [(String, DigestAlgorithm)] = [("256", .sha256), ("384", .sha384), ("512", .sha512)]
            collections = digests.reduce(into: [:]) { made, digest in
                made["RS" + digest.0] = Task { await JWTKeyCollection().add(rsa: key, digestAlgorithm: digest.1) }
                made["PS" + digest.0] = Task { await JWTKeyCollection().add(pss: key, digestAlgorithm: digest.1) }
            }
        } else if let key = try? ES256PublicKey(pem: pem) {
            collections = ["ES256": Task { await JWTKeyCollection().add(ecdsa: key) }]
        } else if let key = try? ES384PublicKey(pem: pem) {
            collections = ["ES384": Task { await JWTKeyCollection().add(ecdsa: key) }]
        } else if let key = try? ES512PublicKey(pem: pem) {
            collections = ["ES512": Task { await JWTKeyCollection().add(ecdsa: key) }]
        } else if let key = try? EdDSA.PublicKey(pem: pem) {
            collections = ["EdDSA": Task { await JWTKeyCollection().add(eddsa: key) }]
        } else {
            throw Self.refusal("is no public key in PEM: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519")
        }
    }

    /// A JSON Web Key Set (RFC 7517 §5) of public keys.
    package init(keySet json: String) throws(AccessFileRefused) {
        guard let set = try? JSONDecoder().decode(JWKS.self, from: Data(json.utf8)) else {
            throw Self.refusal("is no JSON Web Key Set with keys of the types RSA, EC and OKP")
        }
        guard set.keys.count <= Self.mostKeys else { throw Self.refusal("has over \(Self.mostKeys) keys") }
        var keys: [JWK] = []
        for (place, key) in set.keys.enumerated() {
            switch Self.usable(key, place) {
            case .success(let key?): keys.append(key)
            case .success(nil): continue
            case .failure(let words): throw Self.refusal("key \(place + 1) \(words.text)")
            }
        }
        guard !keys.isEmpty else { throw Self.refusal("has no key for signatures") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        fingerprints = Set(keys.map { Self.fingerprint((try? encoder.encode($0)).map(Array.init) ?? []) })
        collections = ["": Task { [keys] in try await JWTKeyCollection().add(jwks: JWKS(keys: keys)) }]
    }

    private struct Words: Error { let text: String }

    /// A key of a set as the library needs it; nil when it is none for signatures.
    ///
    /// Without an algorithm of its own the library would take that of the first token, whoever made it.
    private static func usable(_ key: JWK, _ place: Int) -> Result<JWK?, Words> {
        var key = key
        key.privateExponent = nil
        if key.keyIdentifier == nil { key.keyIdentifier = .init(string: "\u{0}\(place)") }
        switch (key.keyType, key.curve) {
        case (.rsa, _):
            key.algorithm = key.algorithm ?? .rs256
            guard key.algorithm != .rsaOAEP else { return .success(nil) }
            guard let modulus = key.modulus, let exponent = key.exponent,
                (try? Insecure.RSA.PublicKey(modulus: modulus, exponent: exponent)) != nil
            else { return .failure(Words(text: "is no RSA key of 2048 bits or more")) }
        case (.ecdsa, let curve?):
            guard let x = key.x, let y = key.y, let algorithm = algorithm(of: curve, (x, y)) else {
                return .failure(Words(text: "is no key on P-256, P-384 or P-521"))
            }
            key.algorithm = algorithm
        case (.octetKeyPair, .eddsa(.ed25519)?):
            key.algorithm = .eddsa
            guard let x = key.x, (try? EdDSA.PublicKey(x: x, curve: .ed25519)) != nil else {
                return .failure(Words(text: "is no Ed25519 key"))
            }
        default: return .failure(Words(text: "is of a type that is not known"))
        }
        return .success(key)
    }

    private static func algorithm(of curve: JWK.Curve, _ point: (x: String, y: String)) -> JWK.Algorithm? {
        switch curve {
        case .ecdsa(.p256): (try? ES256PublicKey(parameters: point)) == nil ? nil : .es256
        case .ecdsa(.p384): (try? ES384PublicKey(parameters: point)) == nil ? nil : .es384
        case .ecdsa(.p521): (try? ES512PublicKey(parameters: point)) == nil ? nil : .es512
        default: nil
        }
    }

    private static func refusal(_ words: String) -> AccessFileRefused {
        AccessFileRefused(problems: [.init(line: 1, words: words)])
    }

    private static func fingerprint(_ bytes: [UInt8]) -> String { [UInt8](SHA256.hash(data: bytes)).base64 }

    /// Whether all that was signed with the other keys is good with these.
    package func contain(_ other: TokenKeys) -> Bool { fingerprints.isSuperset(of: other.fingerprints) }

    /// What a token says, if its signature is good.
    ///
    /// - Throws: when it is not, or the token is none.
    func verify(_ token: [UInt8]) async throws -> TokenClaims {
        let header = try DefaultJWTParser().parse(token, as: TokenClaims.self).header
        // Extensions that must be understood (RFC 7515 §4.1.11): there are none.
        guard header.fields["crit"] == nil, let algorithm = header.alg,
            let collection = collections[algorithm] ?? collections[""]
        else { throw JWTError.signatureVerificationFailed }
        return try await collection.value.verify(token, as: TokenClaims.self, iteratingKeys: true)
    }
}
