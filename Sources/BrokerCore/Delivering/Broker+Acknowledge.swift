package import MQTTCodec

/// The result of an acknowledgement.
package enum Acknowledged: Sendable {
    /// The delivery waited for this acknowledgement.
    case expected
    /// No delivery has the Packet Identifier.
    case unknown
    /// The delivery with the Packet Identifier waits for another kind of acknowledgement.
    case misplaced
}

extension Broker {
    // MARK: Messages we sent

    /// Ends a QoS 1 delivery: PUBACK.
    @discardableResult
    package func puback(_ packetID: PacketID, on connection: VirtualConnection) -> Acknowledged {
        guard let session = connection.session, let progress = session.window.progress(of: packetID) else {
            return .unknown
        }
        guard progress.qos == .atLeastOnce else { return .misplaced }
        complete(packetID, session)
        return .expected
    }

    /// Hands a QoS 2 delivery over to the client: PUBREC; the answer is PUBREL [MQTT-4.3.3-4].
    ///
    /// - Parameter reason: an error ends the delivery.
    package func pubrec(_ packetID: PacketID, reason: ReasonCode, on connection: VirtualConnection) -> Acknowledged {
        guard let session = connection.session, let progress = session.window.progress(of: packetID) else {
            return .unknown
        }
        guard progress.qos == .exactlyOnce else { return .misplaced }
        guard !reason.isError else {
            complete(packetID, session)
            return .expected
        }
        let place = session.window.release(packetID)
        recordingWrites(of: session) { journal?.set(.released(packetID), of: place) }
        return .expected
    }

    /// Ends a QoS 2 delivery: PUBCOMP.
    @discardableResult
    package func pubcomp(_ packetID: PacketID, on connection: VirtualConnection) -> Acknowledged {
        guard let session = connection.session, let progress = session.window.progress(of: packetID) else {
            return .unknown
        }
        guard progress.state == .released else { return .misplaced }
        complete(packetID, session)
        return .expected
    }

    /// Ends a QoS 1 or 2 delivery of a message sink: PUBACK, or PUBREC and PUBCOMP in one.
    package func acknowledge(_ packetID: PacketID, on connection: VirtualConnection) {
        guard let session = connection.session, session.window.progress(of: packetID) != nil else { return }
        complete(packetID, session)
    }

    /// Ends QoS 1 and 2 deliveries that were sent to the client of a message sink, which cannot acknowledge them.
    ///
    /// They are those up to the given position in the session's order. The session remembers that the client has not
    /// confirmed them.
    package func takeForRead(through sequence: UInt64, on connection: VirtualConnection) {
        guard let session = connection.session else { return }
        complete(through: sequence, session)
        session.order.takenForRead = max(session.order.takenForRead, sequence)
        save(session)
        if session.isWaiting { sendQueued(session) }
    }

    /// Whether deliveries after that position in the session's order have ended without the client's acknowledgement,
    /// so that they can't be sent again.
    package func hasTakenForRead(after sequence: UInt64, on connection: VirtualConnection) -> Bool {
        connection.session.map { $0.order.takenForRead > sequence } ?? false
    }

    /// Ends the deliveries up to that position in the session's order.
    ///
    /// They include queued messages: after a restart the broker does not know any more that these were sent.
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

    /// The adapter of a message sink has passed on the given number of its oldest deliveries, of any QoS, and may get
    /// more.
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

    /// Takes the Packet Identifier of a QoS 2 PUBLISH; `keep` remembers it once the message is published.
    ///
    /// - Returns: true when it is the first PUBLISH with its Packet Identifier and is to be published; false when it
    ///   is a repetition that is only acknowledged [MQTT-4.3.3-10]; nil when the client exceeds our Receive Maximum
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

    /// Remembers the Packet Identifier of a published QoS 2 message: a PUBLISH with it is a repetition until PUBREL.
    ///
    /// A refused message is not remembered, so that its answer need not wait for the store, which may be the reason
    /// for the refusal.
    package func keep(_ packetID: PacketID, on connection: VirtualConnection) {
        guard let session = connection.session, session.inbound.received.insert(packetID).inserted, session.isStored
        else {
            return
        }
        recordingWrites(of: session) { journal?.append(.received(packetID, of: session.number)) }
    }

    /// Frees a Packet Identifier: PUBREL [MQTT-4.3.3-11].
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
