import Foundation
import MQTTCodec

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
        let comma = UInt8(ascii: ",")
        let (flag, rest) = text.parted(at: comma)
        guard let (identity, bare) = rest?.parted(at: comma), let bare else { throw .malformed }
        switch flag {
        // The client can bind channels and thinks that we can't, which is so.
        case "n", "y": break
        case _ where flag.begins(with: "p="): throw .channelBinding
        default: throw .malformed
        }
        header = "\(flag),\(identity),"
        self.bare = String(bare)
        let fields = bare.pieces(between: comma)
        // An extension that must be understood comes first.
        if fields.first?.begins(with: "m=") == true { throw .mandatoryExtension }
        guard fields.count >= 2, let name = fields[0].value("n"), let nonce = fields[1].value("r"),
            Self.nonceLength.contains(nonce.count), nonce.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw .malformed }
        guard let userName = Self.decode(name) else { throw .malformed }
        self.userName = userName
        self.nonce = String(nonce)
        guard !identity.isEmpty else { return }
        // Nobody acts for somebody else here.
        guard let other = identity.value("a").flatMap(Self.decode) else { throw .malformed }
        guard other.isSame(as: userName) else { throw .otherIdentity }
    }

    /// `=2C` is a comma and `=3D` an equals sign; any other `=` is an error.
    private static func decode(_ name: Substring) -> String? {
        let pieces = name.pieces(between: UInt8(ascii: "="))
        var decoded = String(pieces[0])
        for piece in pieces.dropFirst() {
            if piece.begins(with: "2C") {
                decoded += ","
            } else if piece.begins(with: "3D") {
                decoded += "="
            } else {
                return nil
            }
            decoded += Substring(piece.utf8.dropFirst(2))
        }
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
        let fields = text.pieces(between: UInt8(ascii: ","))
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
    fileprivate func value(_ letter: String) -> Substring? {
        begins(with: letter + "=") ? Substring(utf8.dropFirst(2)) : nil
    }
}
