import MQTTCodec
import NIOCore

// Log events about clients. Nothing here is on the path of a message that is accepted.
extension Broker {
    /// Something has become of a client.
    func note(
        _ kind: Event.Kind,
        _ connection: VirtualConnection,
        level: Event.Level? = nil,
        _ fields: @autoclosure () -> [Event.Field]
    ) {
        host.events.note(kind, of: connection.network, level: level) {
            [.clientID(connection.clientID), .userName(connection.userName)] + connection.whereabouts + fields()
        }
    }

    /// A client is not let in.
    ///
    /// - Parameter detail: what it did wrong; nil when the reason says it all.
    func noteRefused(
        _ connection: VirtualConnection,
        _ reason: ReasonCode,
        clientID: String?,
        userName: String?,
        detail: String?
    ) {
        host.events.note(.clientRefused, of: connection.network, level: nil) {
            [.clientID(clientID), .userName(userName ?? connection.transportIdentity)] + connection.whereabouts
                + reason.fields + [.detail(detail)]
        }
    }

    /// A client has left by itself.
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

    /// The broker ends a client's connection.
    func noteEnded(_ connection: VirtualConnection, _ reason: ReasonCode, _ detail: String?) {
        // Taken over, shutting down: nobody's mistake.
        let isMistake = detail != nil || reason == .keepAliveTimeout || reason == .quotaExceeded
        note(.clientDisconnected, connection, level: isMistake ? .info : .debug, reason.fields + [.detail(detail)])
    }

    /// A client may not do something, or can't; called once that is known.
    ///
    /// - Parameter topic: its name, or the filter of a subscription.
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
        host.events.note(kind, of: session.holder.network, level: kind == .limitReached ? nil : .info) {
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

    /// Messages for a client are dropped since its queue is full: told the first time, and then once a minute.
    func noteOverflow(_ session: Session) {
        let overflow = session.order.overflow ?? QueueOverflow()
        session.order.overflow = overflow
        overflow.dropped += 1
        guard overflow.isUntold || now - overflow.toldAt >= .minutes(1) else { return }
        let dropped = overflow.dropped
        overflow.told(at: now)
        host.events.note(.queueOverflow, of: session.holder.network, level: nil) {
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
    /// As fields of an event.
    package var fields: [Event.Field] { [.reason(name), .reasonCode(Int(rawValue))] }

    /// Why a client that was not asked to has left.
    fileprivate var wordsOfEnd: String {
        self == .unspecifiedError ? "the connection was closed without DISCONNECT" : name
    }
}

extension String {
    fileprivate var isSystemTopic: Bool { utf8.starts(with: "$SYS/".utf8) }
}
