import Crypto
import CryptoExtras
import Foundation

/// What a server keeps of a password for SCRAM-SHA-256 (RFC 5802 §3); nobody can log in with it elsewhere.
package struct ScramKeys: Sendable, Equatable, CustomStringConvertible {
    static let prefix = "SCRAM-SHA-256$"
    /// At least so many (RFC 7677 §4).
    package static let leastIterations = 4_096
    /// When nobody says: the client hashes as often, and may be a small device.
    package static let usualIterations = 100_000

    package let iterations: Int
    let salt: [UInt8]
    let storedKey: [UInt8]
    let serverKey: [UInt8]

    init(iterations: Int, salt: [UInt8], storedKey: [UInt8], serverKey: [UInt8]) {
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// Makes the keys of a password, with a salt of its own.
    ///
    /// - Throws: when there is no memory for it.
    package init(password: String, iterations: Int) throws {
        try self.init(password: Array(password.utf8), salt: .random(count: 16), iterations: iterations)
    }

    /// - Parameter password: UTF-8, not prepared yet; other bytes are taken as they are.
    init(password: [UInt8], salt: [UInt8], iterations: Int) throws {
        let prepared = String(validating: password, as: UTF8.self).flatMap(SASLprep.prepare)
        let salted = try PBKDF2.derive(
            prepared.map { Array($0.utf8) } ?? password,
            salt: salt,
            using: .sha256,
            iterations: iterations,
            count: SHA256.byteCount
        )
        let clientKey = HMAC<SHA256>.code("Client Key", key: salted)
        self.init(
            iterations: iterations,
            salt: salt,
            storedKey: [UInt8](SHA256.hash(data: clientKey)),
            serverKey: HMAC<SHA256>.code("Server Key", key: salted)
        )
    }

    /// Reads `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
    ///
    /// - Returns: nil when it is not of that form.
    init?(_ text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 3, text.hasPrefix(Self.prefix) else { return nil }
        let parameters = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        let keys = parts[2].split(separator: ":", omittingEmptySubsequences: false)
        guard parameters.count == 2, keys.count == 2,
            let iterations = Int(parameters[0]), PasswordHash.iterations.contains(iterations),
            let salt = [UInt8](base64: parameters[1]), !salt.isEmpty,
            let storedKey = [UInt8](base64: keys[0]), storedKey.count == SHA256.byteCount,
            let serverKey = [UInt8](base64: keys[1]), serverKey.count == SHA256.byteCount
        else { return nil }
        self.init(iterations: iterations, salt: salt, storedKey: storedKey, serverKey: serverKey)
    }

    package var description: String {
        "\(Self.prefix)\(iterations):\(salt.base64)$\(storedKey.base64):\(serverKey.base64)"
    }

    /// Whether a client's proof shows that it has the password (RFC 5802 §3).
    func proves(_ proof: [UInt8], _ authMessage: String) -> Bool {
        let signature = HMAC<SHA256>.code(authMessage, key: storedKey)
        guard proof.count == signature.count else { return false }
        let clientKey = zip(proof, signature).map { $0 ^ $1 }
        return [UInt8](SHA256.hash(data: clientKey)).isEqualInConstantTime(to: storedKey)
    }

    /// Shows a client that the server has its keys.
    func serverSignature(_ authMessage: String) -> [UInt8] { HMAC<SHA256>.code(authMessage, key: serverKey) }
}

extension HMAC {
    static func code(_ message: String, key: [UInt8]) -> [UInt8] {
        [UInt8](authenticationCode(for: Array(message.utf8), using: SymmetricKey(data: key)))
    }
}
