import BrokerCore
package import MQTTCodec
import NIOCore

// Whole exchanges, so that a test says only what it is about.
extension TestClient {
    /// CONNECT and its answer.
    ///
    /// - Returns: nil when the broker closed without one.
    @discardableResult
    package func connect(
        _ clientID: String,
        _ configure: (inout Connect) -> Void = { _ in }
    ) throws -> Connack? {
        var connect = Connect(version: version, clientID: clientID)
        configure(&connect)
        send(.connect(connect))
        return try take { if case .connack(let connack) = $0 { connack } else { nil } }
    }

    /// SUBSCRIBE and its answer.
    @discardableResult
    package func subscribe(
        _ filters: String...,
        qos: QoS = .atMostOnce,
        identifier: UInt32? = nil,
        _ configure: (inout SubscriptionOptions) -> Void = { _ in }
    ) throws -> [ReasonCode] {
        var options = SubscriptionOptions(qos: qos)
        configure(&options)
        let packetID = takePacketID()
        send(
            .subscribe(
                Subscribe(
                    packetID: packetID,
                    subscriptions: filters.map { .init(filter: $0, options: options) },
                    subscriptionIdentifier: identifier
                )
            )
        )
        let suback = try take { if case .suback(let suback) = $0 { suback } else { nil } }
        guard let suback, suback.packetID == packetID else {
            throw UnexpectedAnswer(wanted: "SUBACK", got: "\(suback as Suback?)")
        }
        return suback.reasonCodes
    }

    /// UNSUBSCRIBE and its answer; no Reason Codes in MQTT 3.1.1.
    @discardableResult
    package func unsubscribe(_ filters: String...) throws -> [ReasonCode] {
        let packetID = takePacketID()
        send(.unsubscribe(Unsubscribe(packetID: packetID, filters: filters)))
        let unsuback = try take { if case .unsuback(let unsuback) = $0 { unsuback } else { nil } }
        guard let unsuback, unsuback.packetID == packetID else {
            throw UnexpectedAnswer(wanted: "UNSUBACK", got: "\(unsuback as Unsuback?)")
        }
        return unsuback.reasonCodes
    }

    /// PUBLISH without waiting for an answer.
    ///
    /// - Returns: its Packet Identifier; nil at QoS 0.
    @discardableResult
    package func sendPublish(
        _ topic: String,
        _ text: String = "",
        qos: QoS = .atMostOnce,
        retain: Bool = false,
        dup: Bool = false,
        packetID: PacketID? = nil,
        _ configure: (inout Publish) -> Void = { _ in }
    ) throws -> PacketID? {
        let packetID = qos == .atMostOnce ? nil : packetID ?? takePacketID()
        var publish = Publish(
            topic: topic.isEmpty ? nil : try TopicName(topic),
            payload: ByteBuffer(string: text),
            dup: dup,
            qos: qos,
            retain: retain,
            packetID: packetID
        )
        configure(&publish)
        send(.publish(publish))
        return packetID
    }

    /// PUBLISH with its whole flow.
    ///
    /// - Returns: the Reason Code of PUBACK or PUBREC; nil at QoS 0.
    @discardableResult
    package func publish(
        _ topic: String,
        _ text: String = "",
        qos: QoS = .atMostOnce,
        retain: Bool = false,
        _ configure: (inout Publish) -> Void = { _ in }
    ) throws -> ReasonCode? {
        guard let packetID = try sendPublish(topic, text, qos: qos, retain: retain, configure) else { return nil }
        let answer = try take { packet -> Acknowledgement? in
            switch packet {
            case .puback(let ack) where qos == .atLeastOnce && ack.packetID == packetID: ack
            case .pubrec(let ack) where qos == .exactlyOnce && ack.packetID == packetID: ack
            default: nil
            }
        }
        guard let answer else {
            throw UnexpectedAnswer(wanted: "PUBACK or PUBREC \(packetID)", got: "\(try packets())")
        }
        guard qos == .exactlyOnce, !answer.reasonCode.isError else { return answer.reasonCode }
        send(.pubrel(Acknowledgement(packetID: packetID)))
        let isComplete = try take { if case .pubcomp(let ack) = $0, ack.packetID == packetID { true } else { nil } }
        guard isComplete == true else { throw UnexpectedAnswer(wanted: "PUBCOMP \(packetID)", got: "\(try packets())") }
        return answer.reasonCode
    }

    /// DISCONNECT.
    package func disconnect(_ reason: ReasonCode = .normalDisconnection, sessionExpiryInterval: UInt32? = nil) {
        send(.disconnect(Disconnect(reasonCode: reason, sessionExpiryInterval: sessionExpiryInterval)))
    }

    /// Takes the messages that came, and all that come as those are acknowledged.
    package func messages() throws -> [Publish] {
        var all: [Publish] = []
        while let publish = try takePublish() {
            all.append(publish)
            try acknowledge(publish)
        }
        return all
    }

    /// The payloads of `messages()`.
    package func texts() throws -> [String] { try messages().map(\.text) }

    /// Takes the next PUBLISH, without acknowledging it.
    package func takePublish() throws -> Publish? {
        try take { if case .publish(let publish) = $0 { publish } else { nil } }
    }

    /// Takes the PUBLISHes that came, without acknowledging them.
    package func takePublishes() throws -> [Publish] {
        var all: [Publish] = []
        while let publish = try takePublish() { all.append(publish) }
        return all
    }

    /// Answers a PUBLISH with the whole flow of its QoS.
    package func acknowledge(_ publish: Publish) throws {
        guard let packetID = publish.packetID else { return }
        guard publish.qos == .exactlyOnce else { return send(.puback(Acknowledgement(packetID: packetID))) }
        send(.pubrec(Acknowledgement(packetID: packetID)))
        let isReleased = try take { if case .pubrel(let ack) = $0, ack.packetID == packetID { true } else { nil } }
        guard isReleased == true else { throw UnexpectedAnswer(wanted: "PUBREL \(packetID)", got: "\(try packets())") }
        send(.pubcomp(Acknowledgement(packetID: packetID)))
    }

    /// Takes the DISCONNECT that came.
    package func takeDisconnect() throws -> Disconnect? {
        try take { if case .disconnect(let disconnect) = $0 { disconnect } else { nil } }
    }

    /// Whether the broker ended the connection as the version has it: DISCONNECT with that Reason Code and close in
    /// MQTT 5.0, nothing but close in 3.1.1.
    package func wasEnded(_ reason: ReasonCode) throws -> Bool {
        let disconnect = try takeDisconnect()
        guard isClosed else { return false }
        return version == .v5 ? disconnect?.reasonCode == reason : disconnect == nil
    }

    /// PINGREQ.
    ///
    /// - Returns: whether PINGRESP came.
    package func ping() throws -> Bool {
        send(.pingreq)
        return try take { if case .pingresp = $0 { true } else { nil } } ?? false
    }
}

extension Publish {
    /// The payload as text.
    package var text: String { String(buffer: payload) }
}
