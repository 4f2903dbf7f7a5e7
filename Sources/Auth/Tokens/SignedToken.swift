import Foundation

/// A JSON Web Token as it was shown (RFC 7515 §3.1): its header is decoded, and its payload not until it is asked for.
///
/// Whoever makes nonsense up gets no more than a look at a short header and at a signature.
struct SignedToken {
    /// Bytes of the longest header that is looked at, in base64url; one with a certificate (`x5c`) has over 2,000.
    private static let longestHeader = 4_096

    /// What has to be known to verify it.
    struct Header: Decodable {
        let algorithm: String
        let keyIdentifier: String?
        /// Whether there are extensions that must be understood (RFC 7515 §4.1.11).
        let isCritical: Bool

        private enum Name: String, CodingKey {
            case algorithm = "alg"
            case keyIdentifier = "kid"
            case critical = "crit"
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            algorithm = try container.decode(String.self, forKey: .algorithm)
            keyIdentifier = try container.decodeIfPresent(String.self, forKey: .keyIdentifier)
            isCritical = container.contains(.critical)
        }
    }

    let header: Header
    /// The bytes the signature is of.
    let signed: ArraySlice<UInt8>
    let signature: [UInt8]
    private let encodedPayload: ArraySlice<UInt8>

    /// nil when it is none.
    init?(_ token: [UInt8]) {
        let parts = token.split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].count <= Self.longestHeader,
            let header = Self.text(parts[0]),
            let decoded = try? JSONDecoder().decode(Header.self, from: Data(header)),
            let signature = [UInt8](base64URL: parts[2])
        else { return nil }
        self.header = decoded
        self.signature = signature
        signed = token[..<parts[1].endIndex]
        encodedPayload = parts[1]
    }

    /// The payload, decoded from base64url; nil when it is no text.
    var payload: [UInt8]? { Self.text(encodedPayload) }

    /// JSON of tokens is UTF-8 (RFC 7519 §7.2), which the decoder does not insist on.
    private static func text(_ encoded: ArraySlice<UInt8>) -> [UInt8]? {
        guard let bytes = [UInt8](base64URL: encoded), String(validating: bytes, as: UTF8.self) != nil else {
            return nil
        }
        return bytes
    }
}

extension [UInt8] {
    /// Decodes base64url (RFC 4648 §5) without padding; nil for anything else.
    fileprivate init?(base64URL text: some Collection<UInt8>) {
        var base64: [UInt8] = []
        base64.reserveCapacity(text.count + 3)
        for digit in text {
            switch digit {
            case UInt8(ascii: "-"): base64.append(UInt8(ascii: "+"))
            case UInt8(ascii: "_"): base64.append(UInt8(ascii: "/"))
            case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): return nil
            default: base64.append(digit)
            }
        }
        while !base64.count.isMultiple(of: 4) { base64.append(UInt8(ascii: "=")) }
        guard let data = Data(base64Encoded: Data(base64)) else { return nil }
        self = Array(data)
    }
}
