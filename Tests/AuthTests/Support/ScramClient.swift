import Crypto
import Foundation
import NIOCore

/// The client's side of SCRAM-SHA-256, written from RFC 5802 §3 on its own.
struct ScramClient {
    var userName: String
    var password: String
    var nonce = "rOprNGfwEbeRWgbNEkqO"
    var header = "n,,"
    var attributes = ""

    var bare: String { "n=\(userName),r=\(nonce)\(attributes)" }
    var first: ByteBuffer { ByteBuffer(string: header + bare) }

    /// The answer to the server's first message, and the signature that its final one must have.
    func final(to serverFirst: String) throws -> (message: ByteBuffer, signature: String) {
        let fields = Dictionary(
            uniqueKeysWithValues: serverFirst.split(separator: ",").map { ($0.prefix(1), $0.dropFirst(2)) }
        )
        let salt = try decoded(fields["s"])
        let salted = hi(Array(password.utf8), salt, Int(fields["i"] ?? "") ?? 0)
        let clientKey = hmac(salted, "Client Key")
        let binding = Data(header.utf8).base64EncodedString()
        let withoutProof = "c=\(binding),r=\(fields["r"] ?? "")"
        let authMessage = "\(bare),\(serverFirst),\(withoutProof)"
        let signature = hmac([UInt8](SHA256.hash(data: clientKey)), authMessage)
        let proof = Data(zip(clientKey, signature).map { $0 ^ $1 }).base64EncodedString()
        let server = hmac(hmac(salted, "Server Key"), authMessage)
        return (ByteBuffer(string: "\(withoutProof),p=\(proof)"), "v=\(Data(server).base64EncodedString())")
    }

    private func decoded(_ text: Substring?) throws -> [UInt8] {
        guard let data = Data(base64Encoded: String(text ?? "")) else { throw NotBase64() }
        return [UInt8](data)
    }

    private func hi(_ password: [UInt8], _ salt: [UInt8], _ iterations: Int) -> [UInt8] {
        let key = SymmetricKey(data: password)
        var block = [UInt8](HMAC<SHA256>.authenticationCode(for: salt + [0, 0, 0, 1], using: key))
        var result = block
        for _ in 1..<max(iterations, 1) {
            block = [UInt8](HMAC<SHA256>.authenticationCode(for: block, using: key))
            for place in result.indices { result[place] ^= block[place] }
        }
        return result
    }

    private func hmac(_ key: [UInt8], _ text: String) -> [UInt8] {
        [UInt8](HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: key)))
    }

    private struct NotBase64: Error {}
}
