/// Who is there: the sessions that clients can find by name, those that only their own connection has, and the connected
/// clients.
///
/// Confined to the core loop.
final class SessionRegistry {
    private var named: [SessionName: Session] = [:]
    private var nameless: [SessionNumber: Session] = [:]
    /// Those that may give way to new ones.
    private var idle = IdleSessions()
    private var lastNumber: UInt64
    /// Begins anywhere, so that a restart does not bring the same Client Identifiers.
    private var lastNamelessID = UInt64.random(in: 0..<1 << 48)

    /// Virtual connections that have a session, all protocols together.
    private(set) var connected = 0
    /// Sessions that last longer than one request and whose clients are connected.
    private(set) var connectedLasting = 0
    private var connectedByProtocol: [VirtualConnection.TransportProtocol: Int] = [:]
    /// Whether the broker stops: nobody is let in any more.
    var isShuttingDown = false

    /// - Parameter epoch: above the number of every session that an earlier process had.
    init(epoch: UInt64) { lastNumber = epoch }

    /// Sessions that can be found by name.
    var count: Int { named.count }
    /// The same, and those that only their connections have as long as these last.
    var countLasting: Int { named.count + nameless.values.count { !$0.isTransient } }
    /// All there are, whether anybody can find them or not.
    var all: [Session] { Array(named.values) + Array(nameless.values) }

    func connected(by transport: VirtualConnection.TransportProtocol) -> Int { connectedByProtocol[transport] ?? 0 }

    subscript(name: SessionName) -> Session? { named[name] }

    /// The session of that name, unless it is another one by now.
    subscript(name: SessionName, number: SessionNumber) -> Session? {
        guard let session = named[name], session.number == number else { return nil }
        return session
    }

    /// A number that no session has had.
    func takeNumber() -> SessionNumber {
        lastNumber += 1
        return SessionNumber(rawValue: lastNumber)
    }

    /// A Client Identifier unlike others, and no more than that.
    ///
    /// Nobody finds a session by it, and nothing is let in by it: so it may be guessed from another one, and is so short that
    /// it takes no memory of its own.
    func takeNamelessID() -> String {
        while true {
            lastNamelessID &+= 1
            // Eight digits.
            let id = "sluice-" + String(lastNamelessID % 2_821_109_907_456, radix: 36)
            if named.isEmpty || named[.client(id)] == nil { return id }
        }
    }

    // MARK: Coming and going

    func add(_ session: Session) {
        if session.isNameless { nameless[session.number] = session } else { named[session.name] = session }
    }

    /// A session comes back from the store, with the number that it had.
    func restore(_ session: Session) {
        lastNumber = max(lastNumber, session.number.rawValue)
        add(session)
    }

    /// The session has ended: nobody finds it any more.
    func remove(_ session: Session) {
        idle.remove(session)
        if session.isNameless {
            nameless[session.number] = nil
        } else if named[session.name] === session {
            named[session.name] = nil
        }
    }

    func rename(_ session: Session, to name: SessionName) {
        named[session.name] = nil
        session.names.name = name
        named[name] = session
    }

    func noteConnected(_ session: Session, on connection: VirtualConnection) {
        idle.remove(session)
        connected += 1
        if !session.isTransient { connectedLasting += 1 }
        connectedByProtocol[connection.transportProtocol, default: 0] += 1
    }

    func noteDisconnected(_ session: Session, from connection: VirtualConnection) {
        connected -= 1
        if !session.isTransient { connectedLasting -= 1 }
        connectedByProtocol[connection.transportProtocol, default: 0] -= 1
    }

    // MARK: Giving way

    /// Its client is away: it may give way to a new session as long as nothing waits for it.
    func noteIdle(_ session: Session) {
        if session.isIdle { idle.append(session) }
    }

    /// Something waits for its client.
    @inline(__always)
    func noteBusy(_ session: Session) {
        if session.isListedIdle { idle.remove(session) }
    }

    /// The one of a user, or of an anonymous address, that was left longest ago.
    func firstIdle(of holder: Holder) -> Session? { idle.first(of: holder) }

    // Sessions hold their subscriptions and connections, and the other way round.
    deinit {
        for session in all {
            for subscription in session.interest.subscriptions.values { subscription.list = nil }
            session.interest.subscriptions = ByteKeyed()
            session.connection?.forgetReference()
            session.connection?.session = nil
            idle.remove(session)
        }
    }
}
