import BrokerCore
import MQTTCodec
import NIOCore

/// Names one publish of one client, however often it is sent: `id=`.
struct PublishKey: Hashable {
    let clientID: ExactText
    let userName: ExactText?
    let identity: ExactText?
    /// Of the password that says by itself whose it is, where there is no user name; salted anew in each process.
    let secret: Int?
    let id: ExactText

    /// - Parameter identity: who the transport says the client is.
    init(_ credentials: ClientCredentials, identity: String?, id: String) {
        clientID = credentials.clientName
        userName = credentials.userName.map { ExactText($0) }
        secret = credentials.userName?.isEmpty ?? true ? credentials.password.map { ExactText($0).hashValue } : nil
        self.identity = identity.map { ExactText($0) }
        self.id = ExactText(id)
    }

    /// Bytes it takes.
    var cost: Int {
        [clientID, userName, identity, id].reduce(0) { $0 + ($1?.string.utf8.count ?? 0) }
    }
}

/// Remembers which publishes were carried out, longer than Message IDs do and over reconnects; sans I/O.
struct PublishKeys {
    /// What is known of a key.
    enum Answer: Equatable {
        case new
        /// The core has the first one.
        case pending
        case done(CoAPCode)
        /// The key was used for another publish.
        case reused
    }

    /// What is known of a publish while it is under way.
    private struct Note {
        /// Of all that it says; salted anew in each process.
        let fingerprint: Int
        var waiting: [Exchange] = []
    }

    /// Seconds a publish is remembered.
    static let lifetime = TimeAmount.hours(1)

    private var keys: OnceKeys<PublishKey, Note, CoAPCode>

    /// - Parameters:
    ///   - limit: publishes that are remembered.
    ///   - bytes: bytes of their keys.
    init(_ limit: Quota.Limit, bytes: Quota.Limit) {
        keys = OnceKeys(lifetime: Self.lifetime, keys: limit, bytes: bytes)
    }

    /// Takes a publish in; one that repeats another one under way waits for its answer.
    ///
    /// - Parameter fingerprint: of all that the publish says.
    mutating func begin(_ key: PublishKey, fingerprint: Int, _ exchange: Exchange, now: NIODeadline) -> Answer {
        guard let entry = keys.entry(of: key, at: now) else {
            keys.begin(
                key,
                Note(fingerprint: fingerprint),
                cost: key.cost,
                for: exchange.endpoint.origin.holder,
                at: now
            )
            return .new
        }
        guard entry.note.fingerprint == fingerprint else { return .reused }
        if let code = entry.answer { return .done(code) }
        keys.update(key) { $0.waiting.append(exchange) }
        return .pending
    }

    /// The core has answered; nothing is remembered of a publish that was refused.
    ///
    /// - Returns: those who wait for it.
    mutating func finish(_ key: PublishKey, _ code: CoAPCode, now: NIODeadline) -> [Exchange] {
        guard let entry = keys.entry(of: key, at: now), entry.answer == nil else { return [] }
        if code.isError {
            keys.forget(key)
        } else {
            keys.update(key) { $0.waiting = [] }
            keys.finish(key, code, cost: 0)
        }
        return entry.note.waiting
    }
}

extension PublishOperation {
    /// Tells publishes apart that say different things.
    var fingerprint: Int {
        var hasher = Hasher()
        hasher.combine(topic)
        payload.withUnsafeBytes { hasher.combine(bytes: $0) }
        hasher.combine(qos.rawValue)
        hasher.combine(retain)
        hasher.combine(properties?.messageExpiryInterval)
        hasher.combine((properties?.contentType).map { ExactText($0) })
        hasher.combine(properties?.payloadFormatIndicator)
        hasher.combine(done)
        hasher.combine(mustNotExist)
        hasher.combine(mustMatch)
        return hasher.finalize()
    }
}
