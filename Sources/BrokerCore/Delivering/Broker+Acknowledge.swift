package import MQTTCodec

/// What an acknowledgement says of a delivery.
package enum Acknowledged: Sendable {
    /// What was waited for.
    case expected
    /// Nothing: its Packet Identifier is not in use.
    case unknown
    /// What can't be said of the delivery that has its Packet Identifier.
    case misplaced
}

extension Broker {
    // MARK: Messages we sent

    /// PUBACK: a QoS 1 delivery is done.
    @discardableResult
    package func puback(_ packetID: PacketID, on connection: VirtualConnection) -> Acknowledged {
        guard let session = connection.session, let progress = session.window.progress(of: packetID) else {
            return .unknown
        }
        guard progress.qos == .atLeastOnce else { return .misplaced }
        complete(packetID, session)
        return .expected
    }

    /// PUBREC: the client owns a QoS 2 delivery now; PUBREL is to be sent [MQTT-4.3.3-4].
    ///
    /// - Parameter reason: an error ends the delivery here.
    package func pubrec(_ packetID: PacketID, reason: ReasonCode, on connection: VirtualConnection) -> Acknowledged {
        guard let session = connection.session, let entry = session.window[id: packetID] else { return .unknown }
        guard entry.outbound.qos == .exactlyOnce else { return .misplaced }
        guard !reason.isError else {
            complete(packetID, session)
            return .expected
        }
        session.window.release(packetID)
        recordingWrites(of: session) { journal?.set(.released(packetID), of: entry.outbound.place) }
        return .expected
    }

    /// PUBCOMP: a QoS 2 delivery is done.
    @discardableResult
    package func pubcomp(_ packetID: PacketID, on connection: VirtualConnection) -> Acknowledged {
        guard let session = connection.session, let progress = session.window.progress(of: packetID) else {
            return .unknown
        }
        guard progress.state == .released else { return .misplaced }
        complete(packetID, session)
        return .expected
    }

    /// The client of a message sink has taken a QoS 1 or 2 delivery: PUBACK, or PUBREC and PUBCOMP in one.
    package func acknowledge(_ packetID: PacketID, on connection: VirtualConnection) {
        guard let session = connection.session, session.window.progress(of: packetID) != nil else { return }
        complete(packetID, session)
    }

    /// The client of a message sink was sent every QoS 1 and 2 delivery up to that place in its session's order, and can
    /// say nothing of it: they count as taken, and the session remembers that it has no word for it.
    package func takeForRead(through sequence: UInt64, on connection: VirtualConnection) {
        guard let session = connection.session else { return }
        complete(through: sequence, session)
        session.order.takenForRead = max(session.order.takenForRead, sequence)
        save(session)
        if session.isWaiting { sendQueued(session) }
    }

    /// Whether some of what came after that place in the session's order counts as taken without the client's word, and
    /// can't be had again.
    package func hasTakenForRead(after sequence: UInt64, on connection: VirtualConnection) -> Bool {
        connection.session.map { $0.order.takenForRead > sequence } ?? false
    }

    /// Ends the deliveries up to that place in the session's order.
    ///
    /// What waits in the queue is among them when the broker has restarted and does not know any more that it was sent.
    func complete(through sequence: UInt64, _ session: Session) {
        var done: [PacketID] = []
        session.window.forEach { id, entry in
            if entry.outbound.sequence <= sequence { done.append(id) }
        }
        for id in done {
            if let outbound = session.window.complete(id) { finish(outbound) }
        }
        for place in session.queue.drop(through: sequence) { journal?.finish(place) }
        noteQueued(session)
    }

    /// The adapter of a message sink has passed on its oldest deliveries (of any QoS), so many; it may get more.
    package func consumed(_ count: Int, on connection: VirtualConnection) {
        guard let session = connection.session, let sink = session.sink else { return }
        if sink.consumed(count) { markDirty(connection) }
        countBuffers(of: connection)
        if session.isWaiting { sendQueued(session) }
    }

    private func complete(_ packetID: PacketID, _ session: Session) {
        guard let outbound = session.window.complete(packetID) else { return }
        finish(outbound)
        noteQueued(session)
        if session.isWaiting { sendQueued(session) }
    }

    // MARK: Messages sent to us

    /// A QoS 2 PUBLISH came; `keep` remembers it once it is published.
    ///
    /// - Returns: true when it is the first with its Packet Identifier and is to be published; false when it is a
    ///   repetition that is only to be acknowledged [MQTT-4.3.3-10]; nil when the client exceeds our Receive Maximum
    ///   [MQTT-3.3.4-9].
    package func receive(_ packetID: PacketID, on connection: VirtualConnection, receiveMaximum: Int) -> Bool? {
        guard let session = connection.session else { return nil }
        if session.inbound.received.contains(packetID) { return false }
        guard session.inbound.received.count < receiveMaximum else { return nil }
        if session.inbound.received.count & (Session.receivedStep - 1) == Session.receivedStep - 1 {
            let cost = Session.receivedStep * Session.receivedCost
            guard accounts.sessionBytes.refusal(of: cost, for: session.holder) == nil else { return nil }
            recount(session)
        }
        return true
    }

    /// A QoS 2 PUBLISH has been published: another one with its Packet Identifier is a repetition until PUBREL.
    ///
    /// One that is refused is not remembered, so that its answer need not wait for the store: that may be why.
    package func keep(_ packetID: PacketID, on connection: VirtualConnection) {
        guard let session = connection.session, session.inbound.received.insert(packetID).inserted, session.isStored
        else {
            return
        }
        recordingWrites(of: session) { journal?.append(.received(packetID, of: session.number)) }
    }

    /// PUBREL came: the Packet Identifier is free again [MQTT-4.3.3-11].
    ///
    /// - Returns: whether the identifier was in use.
    @discardableResult
    package func release(_ packetID: PacketID, on connection: VirtualConnection) -> Bool {
        guard let session = connection.session, session.inbound.received.remove(packetID) != nil else { return false }
        if session.isStored {
            recordingWrites(of: session) { journal?.append(.removeReceived(packetID, of: session.number)) }
        }
        return true
    }
}
