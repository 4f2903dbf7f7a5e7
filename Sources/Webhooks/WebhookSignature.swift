import Crypto
import FoundationEssentials
package import NIOCore

/// Signs what is posted, in the way of the Standard Webhooks specification: HMAC-SHA256 over id, time and body.
///
/// A receiver that checks it knows that the message is ours, whole, and not an old one that somebody plays again.
package struct WebhookSignature: Sendable {
    private let key: SymmetricKey

    /// - Parameter secret: `whsec_` and base64, as the specification writes keys; any other text is the key itself.
    /// - Returns: nil when it is empty or is no base64.
    package init?(secret: String) {
        let prefix = "whsec_"
        if secret.hasPrefix(prefix) {
            guard let bytes = Data(base64Encoded: String(secret.dropFirst(prefix.count))) else { return nil }
            key = SymmetricKey(data: bytes)
        } else {
            key = SymmetricKey(data: Data(secret.utf8))
        }
        guard key.bitCount > 0 else { return nil }
    }

    /// The value of `webhook-signature`.
    ///
    /// - Parameter timestamp: seconds since 1970, as `webhook-timestamp` has them.
    package func sign(id: String, timestamp: Int, body: ByteBuffer) -> String {
        var signed = Data("\(id).\(timestamp).".utf8)
        signed.append(contentsOf: body.readableBytesView)
        let code = HMAC<SHA256>.authenticationCode(for: signed, using: key)
        return "v1,\(Data(code).base64EncodedString())"
    }
}
