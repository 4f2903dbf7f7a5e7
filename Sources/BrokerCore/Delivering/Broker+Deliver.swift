import MQTTCodec
import NIOCore

// Delivery of messages that are kept: QoS 1 and 2, queued and retained messages, and all messages to message sinks.
extension Broker {
    /// Sends a message now if the client can take it, else puts it into the session's queue; at QoS 0 it is dropped
    /// instead.
    ///
    /// - Parameter number: the number under which it is stored; `.none` until then.
    func deliver(
        _ message: Message,
        qos: QoS,
        retain: Bool,
        identifiers: [UInt32],
        share: ShareNumber = .none,
        storedAs number: inout MessageNumber,
        to session: Session
    ) {
        turn.effort &+= 4
        var outbound = OutboundMessage(
            message: message,
            qos: qos,
            retain: retain,
            identifiers: identifiers,
            share: share,
            sequence: session.takeSequence()
        )
        if session.isStored, qos != .atMostOnce, let journal {
            turn.effort &+= 12
            outbound.place = journal.add(StoredDestination(outbound, session), of: message, as: &number)
        }
        deliver(outbound, to: session)
    }

    private func deliver(_ outbound: OutboundMessage, to session: Session) {
        guard outbound.qos != .atMostOnce else { return deliverAtMostOnce(outbound, to: session) }
        guard session.queue.isEmpty, session.canSend, session.connection != nil, mayHoldMore(session) else {
            return enqueue(outbound, for: session)
        }
        send(outbound, to: session)
        noteQueued(session)
    }

    /// Sends queued messages until the client's window or connection is full.
    func sendQueued(_ session: Session) {
        guard !session.isLoading else { return }
        doubt(session)
        if session.window.hasUnsent { resendInflight(session) }
        while session.connection != nil, session.canSend, let outbound = session.queue.popFirst() {
            guard outbound.message.expiresAt > now, mayHave(outbound, session) else {
                finish(outbound)
                statistics.dropped &+= 1
                continue
            }
            send(outbound, to: session)
        }
        noteQueued(session)
        if session.queue.wantsPage, session.connection != nil, session.canSend { loadPage(session) }
        if !session.interest.retainedDeliveries.isEmpty { resumeRetainedDeliveries(session) }
    }

    /// Sends unacknowledged messages of the former connection again, in order, with DUP [MQTT-4.4.0-1], until the
    /// client's Receive Maximum is used up or its connection is full.
    private func resendInflight(_ session: Session) {
        while session.canTake,
            let (id, outbound) = session.window.takeUnsent(receiveMaximum: session.client.receiveMaximum)
        {
            guard mayHave(outbound, session) else {
                if let outbound = session.window.complete(id) { finish(outbound) }
                statistics.dropped &+= 1
                continue
            }
            write(outbound, id: id, dup: true, to: session)
        }
    }

    private func deliverAtMostOnce(_ outbound: OutboundMessage, to session: Session) {
        let hasRoom: Bool
        if let stream = session.stream {
            hasRoom = stream.unwritten < stream.dropMark
        } else {
            hasRoom = session.sink.map { !($0.isRead && session.isBehind) } ?? false
        }
        guard hasRoom else {
            statistics.dropped &+= 1
            return
        }
        write(outbound, id: 0, dup: false, to: session)
    }

    private func send(_ outbound: OutboundMessage, to session: Session) {
        let id = session.window.admit(outbound)
        journal?.set(.published(id), of: outbound.place)
        write(outbound, id: id, dup: false, to: session)
    }

    private func write(_ outbound: OutboundMessage, id: PacketID, dup: Bool, to session: Session) {
        guard let connection = session.connection else { return }
        if let stream = session.stream {
            let batch = batch(toHold: outbound, for: session, stream.holdsPublish ? stream.held?.lastBatch ?? 0 : 0)
            guard writePublish(outbound, id: id, dup: dup, to: stream, after: batch) else {
                // Too large for this client: treated as if it had been sent [MQTT-3.1.2-25].
                statistics.dropped &+= 1
                if id != 0, let outbound = session.window.complete(id) { finish(outbound) }
                return
            }
            if !commits.isDurable(batch) { commits.hold(connection) }
        } else if let sink = session.sink {
            let delivery = Delivery(
                message: outbound.message,
                qos: outbound.qos,
                retain: outbound.retain,
                dup: dup,
                packetID: id == 0 ? nil : id,
                subscriptionIdentifiers: outbound.identifiers,
                sequence: outbound.sequence
            )
            if session.order.lost > 0 {
                sink.lose(session.order.lost)
                session.order.lost = 0
            }
            let batch = max(batch(toHold: outbound, for: session, 0), sink.lastHeldBatch)
            if id == 0, !sink.isWritable {
                statistics.dropped &+= UInt64(truncatingIfNeeded: sink.wait(delivery))
            } else if !commits.isDurable(batch) {
                sink.hold(delivery, until: batch)
                commits.hold(connection)
            } else {
                sink.append(delivery)
            }
        }
        countDelivery(outbound.message.payloadLength)
        markDirty(connection)
    }

    /// The batch that a PUBLISH waits for.
    ///
    /// A client drops a QoS 2 message whose Packet Identifier it has not released yet [MQTT-4.3.3-10], so it must not
    /// get a message that the broker can forget in a crash. Nor must the client of a gateway, which would get it again
    /// under another identifier. Deliveries at QoS 1 don't wait, but do not overtake a delivery that waits.
    ///
    /// - Parameter last: the batch that the last held PUBLISH waits for; 0 without one.
    @inline(__always)
    private func batch(
        toHold outbound: OutboundMessage,
        for session: Session,
        _ last: @autoclosure () -> UInt64
    ) -> UInt64 {
        guard session.isStored, outbound.qos != .atMostOnce else { return 0 }
        if outbound.qos == .exactlyOnce {
            journal?.requestCommit()
            return commits.lastUsedBatch
        }
        return last()
    }

    private func writePublish(
        _ outbound: OutboundMessage,
        id: PacketID,
        dup: Bool,
        to stream: PacketStream,
        after batch: UInt64
    ) -> Bool {
        outbound.message.withBytes { topic, payload in
            if !commits.isDurable(batch) {
                return stream.holdPublish(
                    topic: topic,
                    payload: payload,
                    properties: outbound.wireProperties(at: now),
                    dup: dup,
                    qos: outbound.qos,
                    retain: outbound.retain,
                    packetID: id,
                    until: batch
                )
            }
            return stream.appendPublish(
                topic: topic,
                payload: payload,
                properties: outbound.wireProperties(at: now),
                dup: dup,
                qos: outbound.qos,
                retain: outbound.retain,
                packetID: id
            )
        }
    }

    func writeRelease(_ id: PacketID, to session: Session) {
        guard let stream = session.stream, let connection = session.connection else { return }
        acknowledge(.pubrel, id, .success, on: connection, stream)
    }

    /// Puts a message into a session's queue; when that is full, the queue's policy decides.
    private func enqueue(_ outbound: OutboundMessage, for session: Session) {
        guard !session.hasEnded else { return finish(outbound) }
        if !hasRoom(for: outbound, in: session) { dropExpired(session) }
        guard hasRoom(for: outbound, in: session) || makeRoom(for: outbound, session) else {
            statistics.dropped &+= 1
            noteLost(outbound.sequence, of: session)
            return finish(outbound)
        }
        session.queue.append(outbound, isAway: session.connection == nil)
        noteQueued(session)
        registry.noteBusy(session)
        scheduleMessageExpiry(session)
    }

    /// Whether a message gets into a full queue in place of others.
    ///
    /// A large message may take the place of very many small ones. If that takes longer than a turn, the queue is
    /// above its limits by one message until the rest has been dropped, in slices; messages that arrive before that
    /// are dropped.
    private func makeRoom(for outbound: OutboundMessage, _ session: Session) -> Bool {
        switch limits.queue.whenFull {
        case .dropNewest: return false
        case .disconnect:
            if let connection = session.connection {
                output.overflowed.append(session)
                // The end of the tick disconnects the client.
                markDirty(connection)
            }
            return false
        case .dropOldest:
            guard !session.order.isMakingRoom else { return false }
            let before = session.queue.bytes
            for _ in 0..<Backlog.turn / 8 {
                // When all queues together are full, a session makes room from its own messages only, and only as much
                // as the message needs.
                if hasRoom(for: outbound, in: session, besides: before - session.queue.bytes) { return true }
                guard dropOldest(of: session) else { return false }
                turn.effort &+= Backlog.step
            }
            session.order.isMakingRoom = true
            turn.backlog.append { broker, steps in
                // By now the message is in the queue.
                while !session.queue.hasRoom(for: 0, limits: broker.limits.queue) {
                    guard steps > 0 else { return false }
                    steps -= 1
                    guard broker.dropOldest(of: session) else { break }
                }
                broker.noteQueued(session)
                session.order.isMakingRoom = false
                return true
            }
            return true
        }
    }

    /// - Returns: whether there was a message.
    private func dropOldest(of session: Session) -> Bool {
        guard let oldest = session.queue.dropFirst() else { return false }
        journal?.finish(oldest.place)
        statistics.dropped &+= 1
        noteLost(oldest.sequence, of: session)
        return true
    }

    /// Records that a message for the session is dropped since its queue is full.
    ///
    /// The client of a gateway learns it with the next message, and when it returns with its last position; an MQTT
    /// client cannot learn it.
    private func noteLost(_ sequence: UInt64, of session: Session) {
        noteOverflow(session)
        guard session.stream == nil else { return }
        session.order.lost &+= 1
        session.order.takenForRead = max(session.order.takenForRead, sequence)
        save(session)
    }

    func dropExpired(_ session: Session) {
        for place in session.queue.dropExpired(at: now) {
            journal?.finish(place)
            statistics.dropped &+= 1
        }
        noteQueued(session)
        noteIdle(session)
    }

    /// Ends a delivery that is acknowledged, dropped or expired.
    @inline(__always)
    func finish(_ outbound: OutboundMessage) {
        if outbound.place != .none { journal?.finish(outbound.place) }
    }

    /// Ends the connections of clients whose queue has overflowed under the policy `disconnect`.
    ///
    /// Their wills may overflow other queues; these clients are disconnected as well.
    func disconnectOverflowed() {
        while !output.overflowed.isEmpty {
            let sessions = output.overflowed
            output.overflowed = []
            for session in sessions {
                if let connection = session.connection { end(connection, reason: .quotaExceeded) }
            }
        }
    }
}

extension OutboundMessage {
    /// The properties as an MQTT 5 client gets them; nil when there are none.
    fileprivate func wireProperties(at now: NIODeadline) -> PublishProperties? {
        guard !identifiers.isEmpty || message.properties != nil || message.expiresAt != .distantFuture else {
            return nil
        }
        var wire = message.properties?.values ?? PublishProperties()
        wire.messageExpiryInterval = message.remainingExpiryInterval(at: now)
        wire.subscriptionIdentifiers = identifiers
        return wire
    }
}
