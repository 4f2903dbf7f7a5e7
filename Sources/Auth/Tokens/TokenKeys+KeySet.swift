import Foundation
import JWTKit

// JSON Web Key Sets (RFC 7517 §5). A set is made for everybody who asks its issuer: keys that are not for us are no reason
// to do without the others.
extension TokenKeys {
    private static let mostKeys = 32

    /// A JSON Web Key Set of public keys; those that can't be used are left out with a warning.
    ///
    /// - Throws: when none can be used, or two have the same `kid`.
    package init(keySet json: String) throws(AccessFileRefused) {
        guard let set = try? JSONDecoder().decode(KeySet.self, from: Data(json.utf8)) else {
            throw Self.refusal("is no JSON Web Key Set with keys of the types RSA, EC and OKP")
        }
        guard set.keys.count <= Self.mostKeys else { throw Self.refusal("has over \(Self.mostKeys) keys") }
        var keys: [Key] = []
        var fingerprints: Set<String> = []
        var unused: [String] = []
        var places: [String: Int] = [:]
        for (place, entry) in set.keys.enumerated() {
            let name = "key \(place + 1)" + (entry.keyIdentifier.map { " (kid \($0.debugDescription))" } ?? "")
            switch entry.usable {
            case .failure(let reason): unused.append("\(name) \(reason.words)")
            case .success(let (jwk, algorithm)):
                if let kid = entry.keyIdentifier, let other = places.updateValue(place, forKey: kid) {
                    throw Self.refusal(
                        "keys \(other + 1) and \(place + 1) have the same kid \(kid.debugDescription) (RFC 7517 §4.5)"
                    )
                }
                keys.append(Key(algorithm, identifier: entry.keyIdentifier) { try await $0.add(jwk: jwk) })
                fingerprints.insert(Self.fingerprint(of: jwk))
            }
        }
        guard !keys.isEmpty else {
            throw Self.refusal((["has no key for signatures"] + unused).joined(separator: "; "))
        }
        self.init(keys, fingerprints: fingerprints, warnings: unused.map { "\($0): it is not used" })
    }

    private static func fingerprint(of key: JWK) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return fingerprint((try? encoder.encode(key)).map(Array.init) ?? [])
    }
}

private struct KeySet: Decodable {
    let keys: [Entry]

    /// One key, with what the library does not look at, or does not understand.
    struct Entry: Decodable {
        let keyIdentifier: String?
        private let use: String?
        private let operations: [String]?
        private let type: String?
        private let algorithm: String?
        private let key: JWK?

        private enum Name: String, CodingKey {
            case keyIdentifier = "kid"
            case use
            case operations = "key_ops"
            case type = "kty"
            case algorithm = "alg"
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            keyIdentifier = try? container.decode(String.self, forKey: .keyIdentifier)
            use = try? container.decode(String.self, forKey: .use)
            operations = try? container.decode([String].self, forKey: .operations)
            type = try? container.decode(String.self, forKey: .type)
            algorithm = try? container.decode(String.self, forKey: .algorithm)
            key = try? JWK(from: decoder)
        }

        struct Unusable: Error {
            let words: String
        }

        /// The key as the library needs it, and the algorithm it is for.
        ///
        /// Without an algorithm of its own the library would take that of the first token, whoever made it.
        var usable: Result<(JWK, String), Unusable> {
            if let use, use != "sig" { return .unusable("is not for signatures (use \(use.debugDescription))") }
            if let operations, !operations.contains("verify") {
                return .unusable("is not for signatures (key_ops without \"verify\")")
            }
            guard let type, JWK.KeyType(rawValue: type) != nil else {
                return .unusable("is of a type that is not known\(type.map { " (kty \($0.debugDescription))" } ?? "")")
            }
            if let algorithm, JWK.Algorithm(rawValue: algorithm) == nil {
                return .unusable("is for an algorithm that is not known (alg \(algorithm.debugDescription))")
            }
            guard var key else { return .unusable("is on a curve that is not known, or can't be read") }
            key.privateExponent = nil
            // The library wants one; it is none of a token's, since the key is alone in its collection.
            key.keyIdentifier = key.keyIdentifier ?? ""
            switch Self.algorithm(of: key) {
            case .failure(let reason): return .failure(reason)
            case .success(let algorithm):
                key.algorithm = algorithm
                return .success((key, algorithm.rawValue))
            }
        }

        private static func algorithm(of key: JWK) -> Result<JWK.Algorithm, Unusable> {
            switch (key.keyType, key.curve) {
            case (.rsa, _):
                let algorithm = key.algorithm ?? .rs256
                guard [.rs256, .rs384, .rs512, .ps256, .ps384, .ps512].contains(algorithm) else {
                    return .unusable("is an RSA key that is not for signatures (alg \(algorithm.rawValue))")
                }
                guard let modulus = key.modulus, let exponent = key.exponent,
                    (try? Insecure.RSA.PublicKey(modulus: modulus, exponent: exponent)) != nil
                else { return .unusable("is no RSA key of 2048 bits or more") }
                return .success(algorithm)
            case (.ecdsa, let curve?):
                guard let x = key.x, let y = key.y, let algorithm = Self.algorithm(of: curve, (x, y)) else {
                    return .unusable("is no key on P-256, P-384 or P-521")
                }
                return .success(algorithm)
            case (.octetKeyPair, .eddsa(.ed25519)?):
                guard let x = key.x, (try? EdDSA.PublicKey(x: x, curve: .ed25519)) != nil else {
                    return .unusable("is no Ed25519 key")
                }
                return .success(.eddsa)
            default: return .unusable("is on a curve that is not known")
            }
        }

        private static func algorithm(of curve: JWK.Curve, _ point: (x: String, y: String)) -> JWK.Algorithm? {
            switch curve {
            case .ecdsa(.p256): (try? ES256PublicKey(parameters: point)) == nil ? nil : .es256
            case .ecdsa(.p384): (try? ES384PublicKey(parameters: point)) == nil ? nil : .es384
            case .ecdsa(.p521): (try? ES512PublicKey(parameters: point)) == nil ? nil : .es512
            default: nil
            }
        }
    }
}

extension Result where Failure == KeySet.Entry.Unusable {
    fileprivate static func unusable(_ words: String) -> Self { .failure(.init(words: words)) }
}
