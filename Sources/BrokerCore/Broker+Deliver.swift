import MQTTCodec
import NIOCore

// Delivery of messages that are kept: QoS 1 and 2, queued, retained, and all of them to message sinks.
extension Broker {
    /// Sends a message now if the client can take it, else puts it into its queue; at QoS 0 it is dropped instead.
    func deliver(_ outbound: OutboundMessage, to session: Session) {
        guard outbound.qos != .atMostOnce else { return deliverAtMostOnce(outbound, to: session) }
        guard session.queue.isEmpty, session.canSend, session.connection != nil else {
            return enqueue(outbound, for: session)
        }
        send(outbound, to: session)
    }

    /// Sends what waits in the queue, as far as the client's window and connection take it.
    func sendQueued(_ session: Session) {
        if session.window.hasUnsent { resendInflight(session) }
        while session.connection != nil, session.canSend, let outbound = session.queue.popFirst() {
            guard outbound.message.expiresAt > now else {
                forget(outbound, of: session)
                statistics.dropped &+= 1
                continue
            }
            send(outbound, to: session)
        }
    }

    /// Sends again what was not acknowledged on the former connection, in order, with DUP [MQTT-4.4.0-1], as far as the
    /// client's Receive Maximum and its connection take it.
    private func resendInflight(_ session: Session) {
        while session.canTake, let (id, outbound) = session.window.takeUnsent(receiveMaximum: session.receiveMaximum) {
            write(outbound, id: id, dup: true, to: session)
        }
    }

    private func deliverAtMostOnce(_ outbound: OutboundMessage, to session: Session) {
        let hasRoom: Bool
        if let stream = session.stream {
            hasRoom = stream.output.readableBytes < stream.dropMark
        } else {
            hasRoom = session.sink?.isWritable ?? false
        }
        guard hasRoom else {
            statistics.dropped &+= 1
            return
        }
        write(outbound, id: 0, dup: false, to: session)
    }

    private func send(_ outbound: OutboundMessage, to session: Session) {
        let id = session.window.admit(outbound)
        if session.isPersistent { store(outbound, id: id, state: .published, of: session) }
        write(outbound, id: id, dup: false, to: session)
    }

    private func write(_ outbound: OutboundMessage, id: PacketID, dup: Bool, to session: Session) {
        guard let connection = session.connection else { return }
        if let stream = session.stream {
            guard writePublish(outbound, id: id, dup: dup, to: stream) else {
                // Too large for this client: treated as if it had been sent [MQTT-3.1.2-25].
                statistics.dropped &+= 1
                if id != 0, let entry = session.window.complete(id) { forget(entry.outbound, of: session) }
                return
            }
        } else if let sink = session.sink {
            sink.append(
                Delivery(
                    message: outbound.message,
                    qos: outbound.qos,
                    retain: outbound.retain,
                    dup: dup,
                    packetID: id == 0 ? nil : id,
                    subscriptionIdentifiers: outbound.identifiers,
                    sequence: outbound.sequence
                )
            )
        }
        countDelivery(outbound.message.payloadLength)
        markDirty(connection)
    }

    private func writePublish(
        _ outbound: OutboundMessage,
        id: PacketID,
        dup: Bool,
        to stream: PacketStream
    ) -> Bool {
        outbound.message.withBytes { topic, payload in
            stream.appendPublish(
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
        PacketEncoder.writeAcknowledgement(
            .pubrel,
            packetID: id,
            reasonCode: .success,
            version: stream.version,
            into: &stream.output
        )
        statistics.packetsSent &+= 1
        markDirty(connection)
    }

    /// Puts a message into a session's queue; when that is full, its policy decides.
    private func enqueue(_ outbound: OutboundMessage, for session: Session) {
        guard session.queue.hasRoom(for: outbound.message.size, limits: queueLimits) else {
            statistics.dropped &+= 1
            switch queueLimits.whenFull {
            case .dropNewest: return
            case .disconnect:
                if let connection = session.connection {
                    overflowed.append(session)
                    // So that the tick has an end, at which it is disconnected.
                    markDirty(connection)
                }
                return
            case .dropOldest:
                if let oldest = session.queue.popFirst() { forget(oldest, of: session) }
                return enqueue(outbound, for: session)
            }
        }
        session.queue.append(outbound)
        if session.isPersistent {
            store(outbound, nil, of: session)
        }
    }

    func store(_ outbound: OutboundMessage, id: PacketID, state: InflightWindow.State, of session: Session) {
        store(outbound, OutboundRecord.Delivery(packetID: id, state: state), of: session)
    }

    private func store(_ outbound: OutboundMessage, _ delivery: OutboundRecord.Delivery?, of session: Session) {
        let share = session.shares[outbound.share]?.string
        sessionStore.save(OutboundRecord(outbound: outbound, share: share, delivery: delivery), of: session.clientID)
    }

    func forget(_ outbound: OutboundMessage, of session: Session) {
        if session.isPersistent { sessionStore.removeOutbound(outbound.sequence, of: session.clientID) }
    }

    /// Ends the connections of clients whose queue overflowed under the policy `disconnect`, and of those whose queue
    /// overflows by the wills of the former.
    func disconnectOverflowed() {
        while !overflowed.isEmpty {
            let sessions = overflowed
            overflowed = []
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
