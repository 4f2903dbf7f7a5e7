import Foundation
import MQTTCodec

/// Users and what is kept of their passwords, in the format of mosquitto: one line `user:hash` each.
package struct PasswordFile: Sendable {
    private var hashes: [ExactText: PasswordHash] = [:]
    /// Stands in for users that are not there, so that they can't be told by the time a look takes; nil without users.
    let decoy: PasswordHash?
    /// The SCRAM users, with the like for those that are not there.
    let scram: ScramDirectory

    /// Without users.
    init() {
        decoy = nil
        scram = ScramDirectory([:], seed: nil)
    }

    /// Reads a file's text.
    ///
    /// - Throws: everything that is wrong with it.
    package init(_ text: String) throws(AccessFileRefused) {
        var hashes: [ExactText: PasswordHash] = [:]
        var first: PasswordHash?
        try text.forEachAccessLine { _, line in
            let (user, text) = line.parted(at: UInt8(ascii: ":"))
            guard let text else { return "must be a user name, a colon and a hash" }
            guard !user.isEmpty else { return "the user name is missing" }
            guard let hash = PasswordHash(String(text)) else {
                return text.begins(with: "$argon2")
                    ? "hashes of Argon2 are not read: make it by sluice passwd, or mosquitto_passwd -H sha512-pbkdf2"
                    : "the hash must begin with $7$, $6$ or SCRAM-SHA-256$; mosquitto_passwd -U hashes plain passwords"
            }
            guard hashes.updateValue(hash, forKey: ExactText(user)) == nil else {
                return "the user stands in a line above, too"
            }
            first = first ?? hash
            return nil
        }
        self.hashes = hashes
        decoy = hashes.values.max { $0.cost < $1.cost }?.decoy
        scram = ScramDirectory(hashes, seed: first)
    }

    /// Number of users.
    package var count: Int { hashes.count }

    /// What is kept of the user's password; nil when there is no such user.
    package subscript(user: String) -> PasswordHash? { hashes[ExactText(user)] }

    // MARK: Editing

    /// Whether the file's format can have such a user name, and MQTT, too.
    package static func canName(_ user: String) -> Bool {
        !user.isEmpty && !user.begins(with: "#") && user.utf8.count <= 65_535 && !user.utf8.contains(UInt8(ascii: ":"))
            && !user.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }

    /// The text of a file with a user added, or with another hash for one that is there; other lines stay as they are.
    package static func text(_ text: String, setting user: String, to hash: PasswordHash) -> String {
        let entry = "\(user):\(hash)"
        var lines = text.pieces(between: UInt8(ascii: "\n")).map(String.init)
        if lines.last?.isEmpty == true { lines.removeLast() }
        if let place = lines.firstIndex(where: { $0.utf8.starts(with: "\(user):".utf8) }) {
            lines[place] = entry
        } else {
            lines.append(entry)
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
