/// The sessions that clients find by name, those that only their own connection has, and the connected clients.
///
/// Confined to the core loop.
final class SessionRegistry {
    private var named: [SessionName: Session] = [:]
    private var nameless: [SessionNumber: Session] = [:]
    /// The sessions that may be removed for new ones.
    private var idle = IdleSessions()
    private var lastNumber: UInt64
    /// Starts at a random number, so that a restart does not repeat Client Identifiers.
    private var lastNamelessID = UInt64.random(in: 0..<1 << 48)

    /// Virtual connections that have a session, in all protocols together.
    private(set) var connected = 0
    /// Connected clients whose sessions last longer than one request.
    private(set) var connectedLasting = 0
    private var connectedByProtocol: [VirtualConnection.TransportProtocol: Int] = [:]
    /// Whether the broker is stopping and refuses new clients.
    var isShuttingDown = false

    /// - Parameter epoch: a number above those of all sessions of earlier processes.
    init(epoch: UInt64) { lastNumber = epoch }

    /// Sessions that can be found by name.
    var count: Int { named.count }
    /// These sessions and nameless ones that last longer than one request.
    var countLasting: Int { named.count + nameless.values.count { !$0.isTransient } }
    /// All sessions, named or not.
    var all: [Session] { Array(named.values) + Array(nameless.values) }

    func connected(by transport: VirtualConnection.TransportProtocol) -> Int { connectedByProtocol[transport] ?? 0 }

    subscript(name: SessionName) -> Session? { named[name] }

    /// The session of that name; nil when it has another number.
    subscript(name: SessionName, number: SessionNumber) -> Session? {
        guard let session = named[name], session.number == number else { return nil }
        return session
    }

    /// A number that no session has had.
    func takeNumber() -> SessionNumber {
        lastNumber += 1
        return SessionNumber(rawValue: lastNumber)
    }

    /// A unique Client Identifier for a nameless session.
    ///
    /// It finds no session and gives no access, so it may be predictable, and is short enough to be stored inline.
    func takeNamelessID() -> String {
        while true {
            lastNamelessID &+= 1
            // Eight digits in base 36.
            let id = "sluice-" + String(lastNamelessID % 2_821_109_907_456, radix: 36)
            if named.isEmpty || named[.client(id)] == nil { return id }
        }
    }

    // MARK: Coming and going

    func add(_ session: Session) {
        if session.isNameless { nameless[session.number] = session } else { named[session.name] = session }
    }

    /// Adds a session from the store, with its former number.
    func restore(_ session: Session) {
        lastNumber = max(lastNumber, session.number.rawValue)
        add(session)
    }

    /// Removes a session that has ended.
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

    /// Notes that the client is away: the session may be removed for a new one as long as no message waits in it.
    func noteIdle(_ session: Session) {
        if session.isIdle { idle.append(session) }
    }

    /// Notes that something waits for the session's client.
    @inline(__always)
    func noteBusy(_ session: Session) {
        if session.isListedIdle { idle.remove(session) }
    }

    /// The idle session of a user, or of an anonymous address, that was left longest ago.
    func firstIdle(of holder: Holder) -> Session? { idle.first(of: holder) }

    // Breaks the cycles between sessions, subscriptions and connections.
    deinit {
        for session in all {
            for subscription in session.interest.subscriptions.values { subscription.list = nil }
            session.interest = SessionInterest()
            session.connection?.forgetReference()
            session.connection?.session = nil
            idle.remove(session)
        }
    }
}
