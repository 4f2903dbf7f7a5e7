import MQTTCodec

// Withdrawn rights apply to pending messages, too: to queued messages, and to sent messages that are to be sent again.
// A route asks the authorizer when a message is published. Here it is asked again about messages that were published
// before its answers changed.
extension Broker {
    /// The authorizer's answers may have changed: drops the remembered ones.
    package func permissionsChanged() {
        router.outdate()
        guard access.authorizer != nil else { return }
        access.rightsChanged()
        var rest = registry.all
        begin(steps: Backlog.steps) { broker, steps in
            while steps > 0, let session = rest.popLast() {
                steps -= 1
                if session.sink != nil { broker.withdraw(from: session, &steps) }
            }
            return rest.isEmpty
        }
    }

    /// Notes which messages of a session were let in before its rights changed.
    ///
    /// To be called before any of them is sent.
    func doubt(_ session: Session) {
        guard session.routing.rightsGeneration != access.rightsGeneration else { return }
        session.routing.rightsGeneration = access.rightsGeneration
        session.routing.doubtfulThrough = access.authorizer == nil ? 0 : session.order.nextSequence
    }

    /// Whether the client may still have a message that was let in for it.
    func mayHave(_ outbound: OutboundMessage, _ session: Session) -> Bool {
        outbound.sequence > session.routing.doubtfulThrough || mayReceive(outbound.message, session)
    }

    private func mayReceive(_ message: Message, _ session: Session) -> Bool {
        access.authorizer?.mayReceive(message.topic.string, client: session.identity) ?? true
    }

    /// Withdraws messages from a gateway, which keeps them for a client that is slow or asleep.
    ///
    /// The adapter drops messages that the client may no longer read, or else the connection ends, and the remaining
    /// messages are sent on a new one.
    private func withdraw(from session: Session, _ steps: inout Int) {
        guard let sink = session.sink, let connection = session.connection else { return }
        let dropped = sink.dropWaiting { !mayReceive($0.message, session) }
        statistics.dropped &+= UInt64(truncatingIfNeeded: dropped)
        var withdrawn: Set<PacketID> = []
        session.window.forEach { id, entry in
            if entry.state == .published, !mayReceive(entry.outbound.message, session) { withdrawn.insert(id) }
        }
        steps -= session.window.count + dropped
        guard !withdrawn.isEmpty, !sink.withdraw(withdrawn) else { return }
        end(connection, reason: .notAuthorized, detail: "what waits for it may not be read any more")
    }
}
