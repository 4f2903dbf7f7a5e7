import BrokerCore
import NIOCore

/// Names one publish of one client, however often it is sent: `id=`.
struct PublishKey: Hashable {
    let clientID: String
    let userName: String?
    let identity: String?
    /// Of the password that says by itself whose it is, where there is no user name; salted anew in each process.
    let secret: Int?
    let id: String

    /// - Parameter identity: who the transport says the client is.
    init(_ credentials: ClientCredentials, identity: String?, id: String) {
        clientID = credentials.clientID
        userName = credentials.userName
        secret = credentials.userName?.isEmpty ?? true ? credentials.password?.hashValue : nil
        self.identity = identity
        self.id = id
    }

    /// Bytes it takes.
    var cost: Int {
        clientID.utf8.count + (userName?.utf8.count ?? 0) + (identity?.utf8.count ?? 0) + id.utf8.count
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
    }

    /// Seconds a publish is remembered.
    static let lifetime = TimeAmount.hours(1)

    private var keys: OnceKeys<PublishKey, [Exchange], CoAPCode>

    /// - Parameters:
    ///   - limit: publishes that are remembered.
    ///   - bytes: bytes of their keys.
    init(_ limit: Quota.Limit, bytes: Quota.Limit) {
        keys = OnceKeys(lifetime: Self.lifetime, keys: limit, bytes: bytes)
    }

    /// Takes a publish in; one that repeats another one under way waits for its answer.
    mutating func begin(_ key: PublishKey, _ exchange: Exchange, now: NIODeadline) -> Answer {
        guard let entry = keys.entry(of: key, at: now) else {
            keys.begin(key, [], cost: key.cost, for: exchange.endpoint.holder, at: now)
            return .new
        }
        if let code = entry.answer { return .done(code) }
        keys.update(key) { $0.append(exchange) }
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
            keys.update(key) { $0 = [] }
            keys.finish(key, code, cost: 0)
        }
        return entry.note
    }
}
