import Crypto
import MQTTCodec

/// The keys of all SCRAM users, and keys that look like them for everybody else.
///
/// A user that is not there is asked for its proof as one that is: with a salt that stays the same for its name, so that
/// names can't be told by asking twice. Those of one file are asked for as many iterations and a salt as long.
struct ScramDirectory: Sendable {
    private var keys: [ExactText: ScramKeys] = [:]
    private let secret: [UInt8]
    private let iterations: Int
    private let saltLength: Int

    /// - Parameter seed: makes the salts of users that are not there last longer than the process; without one they are
    ///   others at each start.
    init(_ hashes: [ExactText: PasswordHash], seed: PasswordHash?) {
        keys = hashes.compactMapValues { if case .scram(let keys) = $0 { keys } else { nil } }
        secret = HMAC<SHA256>.code("made-up salts", key: seed.map { Array($0.description.utf8) } ?? .random(count: 32))
        iterations = Self.mostFrequent(keys.values.map(\.iterations)) ?? ScramKeys.leastIterations
        saltLength = min(Self.mostFrequent(keys.values.map(\.salt.count)) ?? 16, SHA256.byteCount)
    }

    /// The name as the password file has it: as it is, or else prepared (RFC 5802 §5.1).
    func name(of user: String) -> String {
        keys[ExactText(user)] == nil ? SASLprep.prepare(user) ?? user : user
    }

    /// - Returns: the user's keys and true, or made-up keys and false.
    subscript(user: String) -> (keys: ScramKeys, isKnown: Bool) {
        if let keys = keys[ExactText(user)] { return (keys, true) }
        let madeUp = ScramKeys(
            iterations: iterations,
            salt: Array(HMAC<SHA256>.code("salt \(user)", key: secret).prefix(saltLength)),
            storedKey: HMAC<SHA256>.code("stored \(user)", key: secret),
            serverKey: HMAC<SHA256>.code("server \(user)", key: secret)
        )
        return (madeUp, false)
    }

    /// The smaller of two that are as frequent, so that the order does not matter.
    private static func mostFrequent(_ numbers: [Int]) -> Int? {
        Dictionary(grouping: numbers) { $0 }.max { ($0.value.count, $1.key) < ($1.value.count, $0.key) }?.key
    }
}
