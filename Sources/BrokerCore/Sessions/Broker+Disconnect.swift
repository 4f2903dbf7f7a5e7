package import MQTTCodec
import NIOCore

extension Broker {
    /// Disconnects a client, after its DISCONNECT or the end of its network connection.
    ///
    /// The adapter closes the network connection.
    ///
    /// - Parameters:
    ///   - reason: `.normalDisconnection` discards the will; anything else publishes it after its delay.
    ///   - sessionExpiryInterval: replaces the interval of CONNECT unless it is nil (MQTT 5.0 §3.14.2.2.2).
    package func disconnect(
        _ connection: VirtualConnection,
        reason: ReasonCode,
        sessionExpiryInterval: UInt32? = nil
    ) {
        forget(connection)
        guard let session = connection.session else { return }
        noteLeft(connection, reason)
        if let sessionExpiryInterval, session.isPersistent {
            session.life.expiryInterval = min(sessionExpiryInterval, UInt32(clamping: limits.sessionExpiryMaximum))
        }
        // A normal disconnection discards the will [MQTT-3.1.2-10], [MQTT-3.14.4-3].
        if reason == .normalDisconnection { session.life.will = nil }
        detach(connection, from: session)
    }

    /// Ends every client's connection with Server shutting down (0x8B) and refuses new ones; may be called again.
    ///
    /// Wills are published first, while their subscribers are still connected. The broker's own sessions, such as
    /// those of webhooks, continue, and handle these messages themselves.
    package func shutdown() {
        registry.isShuttingDown = true
        let leaving = registry.all.filter { $0.connection != nil && !$0.name.isOwn }
        for session in leaving { publishWillOfConnection(session) }
        for session in leaving {
            if let connection = session.connection { end(connection, reason: .serverShuttingDown) }
        }
        flush(atOnce: .max)
    }

    /// Publishes the will that is due when the session's connection ends now [MQTT-3.1.2-8].
    private func publishWillOfConnection(_ session: Session) {
        guard let will = session.will, will.delayInterval == 0 || !session.isPersistent else { return }
        session.life.will = nil
        publishWill(will, of: session)
    }

    /// Ends a connection: tells the client, closes, and keeps the session if it is persistent.
    ///
    /// - Parameter detail: the client's mistake, for the client and the log.
    package func end(_ connection: VirtualConnection, reason: ReasonCode, detail: String? = nil) {
        forget(connection)
        if let session = connection.session {
            noteEnded(connection, reason, detail)
            detach(connection, from: session)
        }
        connection.close(reason, detail: detail)
    }

    /// Ends the connections of clients that would not be accepted any more.
    package func endConnections(
        reason: ReasonCode,
        where isUnwanted: @escaping (_ connection: VirtualConnection, _ userName: String?) -> Bool
    ) {
        var rest = registry.all
        begin(steps: Backlog.steps) { broker, steps in
            while steps > 0, let session = rest.popLast() {
                steps -= 1
                guard let connection = session.connection, isUnwanted(connection, session.userName) else { continue }
                broker.end(connection, reason: reason)
                steps -= 8
            }
            return rest.isEmpty
        }
    }

    /// Closes a connection without a session, after the pending output.
    package func close(_ connection: VirtualConnection) {
        forget(connection)
        if case .packets(let stream) = connection.outlet { stream.close() }
    }

    /// Closes a connection whose client has made a mistake before it had a session.
    ///
    /// - Parameters:
    ///   - clientID: the Client Identifier; nil when it is not known yet.
    ///   - userName: the user name in its CONNECT.
    package func refuse(
        _ connection: VirtualConnection,
        reason: ReasonCode,
        detail: String,
        clientID: String? = nil,
        userName: String? = nil
    ) {
        noteRefused(connection, reason, clientID: clientID, userName: userName, detail: detail)
        close(connection)
    }

    /// Whether the connection's session outlives it.
    package func isSessionPersistent(_ connection: VirtualConnection) -> Bool {
        connection.session?.isPersistent ?? false
    }

    /// The network connection of a packet stream takes more bytes, or none for now.
    package func writabilityChanged(_ isWritable: Bool, of stream: PacketStream, on connection: VirtualConnection) {
        stream.isWritable = isWritable
        guard isWritable else { return }
        markDirty(connection)
        if let session = connection.session { sendQueued(session) }
    }

    /// The given number of bytes of a packet stream have reached a network connection on another loop.
    package func written(_ bytes: Int, of stream: PacketStream, on connection: VirtualConnection) {
        stream.confirm(bytes)
        writabilityChanged(stream.isWritable, of: stream, on: connection)
    }

    /// Releases everything that is scheduled or kept for an ended connection, and empties its reference.
    private func forget(_ connection: VirtualConnection) {
        forgetTimers(of: connection)
        connection.forgetReference()
        forgetBuffers(of: connection)
    }

    private func detach(_ connection: VirtualConnection, from session: Session) {
        connection.session = nil
        connection.lastBatch = max(session.storage.firstBatch, session.storage.lastBatch)
        session.client.connection = nil
        session.client.stream = nil
        session.sink?.forgetHeld()
        session.client.sink = nil
        forgetWhenLoaded(session)
        accounts.connections.giveBack(for: session.holder)
        registry.noteDisconnected(session, from: connection)
        guard session.isPersistent else { return endSession(session) }
        session.life.expiresAt =
            session.expiryInterval == .max ? .distantFuture : now + .seconds(Int64(session.expiryInterval))
        session.window.trim()
        scheduleExpiry(session)
        scheduleWill(session)
        recount(session)
        noteIdle(session)
        save(session)
        if session.isStored {
            output.departed.append(session)
            requestFlush()
        }
    }

    /// Schedules the will of a lost connection, at once or after its delay [MQTT-3.1.2-8].
    private func scheduleWill(_ session: Session) {
        guard let will = session.will else { return }
        guard will.delayInterval > 0 else {
            session.life.will = nil
            return publishWill(will, of: session)
        }
        // If the session ends before, `endSession` publishes the will.
        scheduleWill(session, at: now + .seconds(Int64(will.delayInterval)))
    }
}
