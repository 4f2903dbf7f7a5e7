import DequeModule
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

    private struct Entry {
        /// Nil while the core has it.
        var code: CoAPCode?
        var expiresAt: NIODeadline
        var waiting: [Exchange] = []
    }

    private var entries: [PublishKey: Entry] = [:]
    private var order: Deque<PublishKey> = []
    private let capacity: Int

    init(capacity: Int) { self.capacity = max(capacity, 1) }

    /// Takes a publish in; one that repeats another one under way waits for its answer.
    mutating func begin(_ key: PublishKey, _ exchange: Exchange, now: NIODeadline) -> Answer {
        if let entry = entries[key], entry.expiresAt > now {
            if let code = entry.code { return .done(code) }
            entries[key]?.waiting.append(exchange)
            return .pending
        }
        if entries[key] == nil { order.append(key) }
        entries[key] = Entry(expiresAt: now + Self.lifetime)
        while order.count > capacity, let oldest = order.popFirst() { entries[oldest] = nil }
        return .new
    }

    /// The core has answered; nothing is remembered of a publish that was refused.
    ///
    /// - Returns: those who wait for it.
    mutating func finish(_ key: PublishKey, _ code: CoAPCode) -> [Exchange] {
        guard var entry = entries[key] else { return [] }
        let waiting = entry.waiting
        entry.waiting = []
        if code.isError { entry.expiresAt = .distantPast } else { entry.code = code }
        entries[key] = entry
        return waiting
    }
}
