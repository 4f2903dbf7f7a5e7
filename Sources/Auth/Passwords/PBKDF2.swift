import Crypto
import CryptoExtras
import Foundation

/// Key derivation that is slow on purpose (RFC 8018 §5.2), with HMAC.
enum PBKDF2 {
    /// - Parameter count: bytes of the derived key.
    /// - Throws: when there is no memory for it.
    static func derive(
        _ password: [UInt8],
        salt: [UInt8],
        using hash: KDF.Insecure.PBKDF2.HashFunction,
        iterations: Int,
        count: Int
    ) throws -> [UInt8] {
        let key = try KDF.Insecure.PBKDF2.deriveKey(
            // The library can't take an empty one. HMAC fills its key up with zeros, so this is the same.
            from: password.isEmpty ? [0] : password,
            salt: salt,
            using: hash,
            outputByteCount: count,
            unsafeUncheckedRounds: iterations
        )
        return key.withUnsafeBytes { [UInt8]($0) }
    }
}

extension [UInt8] {
    /// Whether both are the same, in a time that depends on their length only.
    func isEqualInConstantTime(to other: [UInt8]) -> Bool {
        guard count == other.count else { return false }
        var difference: UInt8 = 0
        for place in indices { difference |= self[place] ^ other[place] }
        return difference == 0
    }

    /// Unguessable bytes.
    static func random(count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// Padded, without line breaks (RFC 4648 §4).
    init?(base64 text: some StringProtocol) {
        guard let data = Data(base64Encoded: String(text)) else { return nil }
        self.init(data)
    }

    var base64: String { Data(self).base64EncodedString() }
}
