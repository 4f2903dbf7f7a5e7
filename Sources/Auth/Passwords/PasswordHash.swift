import Crypto
import CryptoExtras
import Foundation

/// What a password file keeps of a password.
package enum PasswordHash: Sendable, Equatable, CustomStringConvertible {
    /// `$7$iterations$salt$hash`: PBKDF2 with HMAC-SHA-512, as mosquitto_passwd writes it.
    case pbkdf2(iterations: Int, salt: [UInt8], hash: [UInt8])
    /// `$6$salt$hash`: SHA-512 of password and salt, as mosquitto_passwd wrote it before version 2.
    case sha512(salt: [UInt8], hash: [UInt8])
    /// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
    case scram(ScramKeys)

    /// Of PBKDF2, when nobody says: what OWASP's Password Storage Cheat Sheet asks for with HMAC-SHA-512; some 150
    /// milliseconds.
    package static let usualIterations = 210_000
    /// More would keep the thread that checks passwords busy for seconds.
    package static let iterations = 1...10_000_000
    private static let saltLengths = 1...1_024

    /// Hashes a password anew, with a salt of its own.
    ///
    /// - Throws: when there is no memory for it.
    package static func pbkdf2(_ password: String, iterations: Int) throws -> PasswordHash {
        let salt = [UInt8].random(count: 12)
        return .pbkdf2(
            iterations: iterations,
            salt: salt,
            hash: try PBKDF2.derive(
                Array(password.utf8),
                salt: salt,
                using: .sha512,
                iterations: iterations,
                count: SHA512.byteCount
            )
        )
    }

    /// Reads what stands after the user's name.
    ///
    /// - Returns: nil when it is none of the known forms.
    package init?(_ text: String) {
        if text.hasPrefix(ScramKeys.prefix) {
            guard let keys = ScramKeys(text) else { return nil }
            self = .scram(keys)
            return
        }
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0].isEmpty,
            let salt = [UInt8](base64: parts[parts.count - 2]), Self.saltLengths.contains(salt.count),
            let hash = [UInt8](base64: parts[parts.count - 1]), hash.count == SHA512.byteCount
        else { return nil }
        switch (parts[1], parts.count) {
        case ("7", 5):
            guard let iterations = Int(parts[2]), Self.iterations.contains(iterations) else { return nil }
            self = .pbkdf2(iterations: iterations, salt: salt, hash: hash)
        case ("6", 4): self = .sha512(salt: salt, hash: hash)
        default: return nil
        }
    }

    /// As a password file has it.
    package var description: String {
        switch self {
        case .pbkdf2(let iterations, let salt, let hash): "$7$\(iterations)$\(salt.base64)$\(hash.base64)"
        case .sha512(let salt, let hash): "$6$\(salt.base64)$\(hash.base64)"
        case .scram(let keys): keys.description
        }
    }

    /// Rounds of hashing a look takes.
    var cost: Int {
        switch self {
        case .pbkdf2(let iterations, _, _): iterations
        case .sha512: 1
        case .scram(let keys): keys.iterations
        }
    }

    /// The hash of no password that anybody knows, as slow to check as this one.
    var decoy: PasswordHash {
        switch self {
        case .pbkdf2(let iterations, let salt, let hash):
            .pbkdf2(iterations: iterations, salt: .random(count: salt.count), hash: .random(count: hash.count))
        case .sha512(let salt, let hash): .sha512(salt: .random(count: salt.count), hash: .random(count: hash.count))
        case .scram(let keys):
            .scram(
                ScramKeys(
                    iterations: keys.iterations,
                    salt: .random(count: keys.salt.count),
                    storedKey: .random(count: keys.storedKey.count),
                    serverKey: .random(count: keys.serverKey.count)
                )
            )
        }
    }

    /// Whether it is the hash of that password; takes its time.
    package func matches(_ password: [UInt8]) -> Bool {
        switch self {
        case .pbkdf2(let iterations, let salt, let hash):
            let derived = try? PBKDF2.derive(
                password,
                salt: salt,
                using: .sha512,
                iterations: iterations,
                count: hash.count
            )
            return derived?.isEqualInConstantTime(to: hash) ?? false
        case .sha512(let salt, let hash):
            return [UInt8](SHA512.hash(data: password + salt)).isEqualInConstantTime(to: hash)
        case .scram(let keys):
            let derived = try? ScramKeys(password: password, salt: keys.salt, iterations: keys.iterations)
            return derived?.storedKey.isEqualInConstantTime(to: keys.storedKey) ?? false
        }
    }
}
