/// Sessions whose clients are away and in which no message waits, for each user or address in the order in which they
/// were left.
///
/// When there is no room for a new session, the first one is removed.
struct IdleSessions {
    private struct List {
        var first: Session
        var last: Session
    }

    private var lists: [Holder.Key: List] = [:]

    /// The session that was left longest ago.
    func first(of holder: Holder) -> Session? { holder.owner.flatMap { lists[$0]?.first } }

    /// Appends a session that was left; does nothing for one without an owner, or one that is in the list.
    mutating func append(_ session: Session) {
        guard session.life.idleOwner == nil, let owner = session.holder.owner else { return }
        session.life.idleOwner = owner
        if let list = lists[owner] {
            session.life.idleBefore = list.last
            list.last.life.idleAfter = session
            lists[owner]?.last = session
        } else {
            lists[owner] = List(first: session, last: session)
        }
    }

    /// Removes a session that is not idle any more.
    mutating func remove(_ session: Session) {
        guard let owner = session.life.idleOwner else { return }
        let (before, after) = (session.life.idleBefore, session.life.idleAfter)
        session.life.idleOwner = nil
        session.life.idleBefore = nil
        session.life.idleAfter = nil
        before?.life.idleAfter = after
        after?.life.idleBefore = before
        switch (before, after) {
        case (nil, nil): lists[owner] = nil
        case (nil, let next?): lists[owner]?.first = next
        case (let previous?, nil): lists[owner]?.last = previous
        default: break
        }
    }
}

extension Session {
    /// Whether the session is in a list.
    @inline(__always)
    var isListedIdle: Bool { life.idleOwner != nil }
}

extension Holder {
    /// The key of the list from which a session is removed for the holder: its user's, or its address's when it is
    /// anonymous.
    var owner: Key? { userKey ?? networkKey }
}
