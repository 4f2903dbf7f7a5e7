import MQTTCodec
import NIOCore

// Log events about clients. Nothing here is on the path of a message that is accepted.
extension Broker {
    /// Logs an event of a client.
    func note(
        _ kind: Event.Kind,
        _ connection: VirtualConnection,
        level: Event.Level? = nil,
        _ fields: @autoclosure () -> [Event.Field]
    ) {
        host.events?.note(kind, of: connection.network, level: level) {
            [.clientID(connection.clientID), .userName(connection.userName)] + connection.whereabouts + fields()
        }
    }

    /// Logs that a client is refused.
    ///
    /// - Parameter detail: the client's mistake; nil when the reason says enough.
    func noteRefused(
        _ connection: VirtualConnection,
        _ reason: ReasonCode,
        clientID: String?,
        userName: String?,
        detail: String?
    ) {
        host.events?.note(.clientRefused, of: connection.network, level: nil) {
            [.clientID(clientID), .userName(userName ?? connection.transportIdentity)] + connection.whereabouts
                + reason.fields + [.detail(detail)]
        }
    }

    /// Logs that a client has disconnected.
    func noteLeft(_ connection: VirtualConnection, _ reason: ReasonCode) {
        note(
            .clientDisconnected,
            connection,
            [
                .reason(reason == .normalDisconnection ? "the client has left" : reason.wordsOfEnd),
                .reasonCode(Int(reason.rawValue)),
            ]
        )
    }

    /// Logs that the broker ends a client's connection.
    func noteEnded(_ connection: VirtualConnection, _ reason: ReasonCode, _ detail: String?) {
        // Takeover and shutdown are not a client's mistake.
        let isMistake = detail != nil || reason == .keepAliveTimeout || reason == .quotaExceeded
        note(.clientDisconnected, connection, level: isMistake ? .info : .debug, reason.fields + [.detail(detail)])
    }

    /// Logs that a client's action is forbidden or impossible; called once that is known.
    ///
    /// - Parameter topic: the Topic Name, or the Topic Filter of a subscription.
    @inline(never)
    func noteRefusal(
        _ action: Event.Action,
        _ topic: @autoclosure () -> String,
        of session: Session,
        _ reason: ReasonCode
    ) {
        let kind: Event.Kind =
            switch reason {
            case .notAuthorized: .accessDenied
            case .quotaExceeded, .messageRateTooHigh: .limitReached
            default: .requestRefused
            }
        host.events?.note(kind, of: session.holder.network, level: kind == .limitReached ? nil : .info) {
            let topic = topic()
            var fields: [Event.Field] = [.clientID(session.clientID), .userName(session.userName)]
            fields += session.connection?.whereabouts ?? []
            fields += [.action(action), .topic(topic)]
            if reason == .notAuthorized {
                let rule =
                    topic.isSystemTopic
                    ? nil : access.authorizer?.rule(against: action, topic, client: session.identity)
                fields.append(.rule(rule))
                if topic.isSystemTopic { fields.append(.detail("only the broker publishes there")) }
            }
            return fields + reason.fields
        }
    }

    /// Logs that messages for a client are dropped since its queue is full: the first time, and then once a minute.
    func noteOverflow(_ session: Session) {
        let overflow = session.order.overflow ?? QueueOverflow()
        session.order.overflow = overflow
        overflow.dropped += 1
        guard overflow.isUntold || now - overflow.toldAt >= .minutes(1) else { return }
        let dropped = overflow.dropped
        overflow.told(at: now)
        host.events?.note(.queueOverflow, of: session.holder.network, level: nil) {
            [.clientID(session.clientID), .userName(session.userName)] + (session.connection?.whereabouts ?? [])
                + [.count(dropped)]
        }
    }
}

extension VirtualConnection {
    fileprivate var whereabouts: [Event.Field] {
        [.protocolName(transportProtocol.rawValue), .address(remoteAddress)]
    }
}

extension ReasonCode {
    /// The reason as fields of an event.
    package var fields: [Event.Field] { [.reason(name), .reasonCode(Int(rawValue))] }

    /// The text for a client that has ended its connection by itself.
    fileprivate var wordsOfEnd: String {
        self == .unspecifiedError ? "the connection was closed without DISCONNECT" : name
    }
}

extension String {
    fileprivate var isSystemTopic: Bool { utf8.starts(with: "$SYS/".utf8) }
}
