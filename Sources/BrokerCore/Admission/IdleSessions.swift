/// Sessions whose clients are away and for which nothing waits, those of each user or address in the order in which they
/// were left: when there is no room for a new one, the first gives way.
struct IdleSessions {
    private struct List {
        var first: Session
        var last: Session
    }

    private var lists: [Holder.Key: List] = [:]

    /// The one that was left longest ago.
    func first(of holder: Holder) -> Session? { holder.owner.flatMap { lists[$0]?.first } }

    /// The session is left: it comes last, unless it is nobody's, or here already.
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

    /// The session is not idle any more.
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
    /// Whether it is among them.
    @inline(__always)
    var isListedIdle: Bool { life.idleOwner != nil }
}

extension Holder {
    /// Whose sessions give way to the holder's: the user's, or those of the address when it is anonymous.
    var owner: Key? { userKey ?? networkKey }
}
