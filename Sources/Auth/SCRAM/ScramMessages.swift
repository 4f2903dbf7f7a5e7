import Foundation

/// The client's first message: `n,a=authzid,n=user,r=nonce` (RFC 5802 §7).
struct ClientFirst {
    /// Comes back in the final message.
    let header: String
    /// All after the header.
    let bare: String
    /// Decoded, not prepared yet.
    let userName: String
    let nonce: String

    private static let nonceLength = 1...1_024

    /// - Throws: what is wrong with it.
    init(_ text: String) throws(ScramProblem) {
        let parts = text.split(separator: ",", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .malformed }
        switch parts[0] {
        // The client can bind channels and thinks that we can't, which is so.
        case "n", "y": break
        case let flag where flag.hasPrefix("p="): throw .channelBinding
        default: throw .malformed
        }
        header = "\(parts[0]),\(parts[1]),"
        bare = String(parts[2])
        let fields = bare.split(separator: ",", omittingEmptySubsequences: false)
        // An extension that must be understood comes first.
        if fields.first?.hasPrefix("m=") == true { throw .mandatoryExtension }
        guard fields.count >= 2, let name = fields[0].value("n"), let nonce = fields[1].value("r"),
            Self.nonceLength.contains(nonce.count), nonce.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw .malformed }
        guard let userName = Self.decode(name) else { throw .malformed }
        self.userName = userName
        self.nonce = String(nonce)
        guard !parts[1].isEmpty else { return }
        // Nobody acts for somebody else here.
        guard let other = parts[1].value("a").flatMap(Self.decode) else { throw .malformed }
        guard other.utf8.elementsEqual(userName.utf8) else { throw .otherIdentity }
    }

    /// `=2C` is a comma and `=3D` an equals sign; any other `=` is an error.
    private static func decode(_ name: Substring) -> String? {
        var decoded = ""
        var rest = name[...]
        while let equals = rest.firstIndex(of: "=") {
            decoded += rest[..<equals]
            let escape = rest[equals...].prefix(3)
            switch escape {
            case "=2C": decoded += ","
            case "=3D": decoded += "="
            default: return nil
            }
            rest = rest[escape.endIndex...]
        }
        decoded += rest
        return decoded.isEmpty ? nil : decoded
    }
}

/// The client's final message: `c=header,r=nonce,p=proof` (RFC 5802 §7).
struct ClientFinal {
    /// The header of the first message, repeated.
    let header: [UInt8]
    let nonce: String
    let proof: [UInt8]
    /// All before the proof.
    let withoutProof: String

    /// - Throws: what is wrong with it.
    init(_ text: String) throws(ScramProblem) {
        let fields = text.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 3, let header = fields[0].value("c").flatMap({ [UInt8](base64: $0) }),
            let nonce = fields[1].value("r"),
            let last = fields.last, let proof = last.value("p").flatMap({ [UInt8](base64: $0) })
        else { throw .malformed }
        self.header = header
        self.nonce = String(nonce)
        self.proof = proof
        withoutProof = fields.dropLast().joined(separator: ",")
    }
}

/// What is wrong with a client's message, in words that tell nothing about users.
enum ScramProblem: String, Error {
    case malformed = "the message is not one of SCRAM-SHA-256"
    case channelBinding = "channel binding is not offered"
    case mandatoryExtension = "an extension that must be understood is not"
    case otherIdentity = "nobody can act for somebody else"
    case changed = "the message does not belong to this exchange"
}

extension Substring {
    /// The value of the attribute with that letter: what follows `n=`.
    fileprivate func value(_ letter: Character) -> Substring? {
        guard first == letter, dropFirst().first == "=" else { return nil }
        return dropFirst(2)
    }
}
