import BrokerCore
import MQTTCodec
import NIOCore

extension MQTTDialogue {
    func connectReceived(_ connect: Connect, _ broker: Broker) {
        let limits = broker.limits
        stream.version = connect.version
        isBridge = connect.isBridge
        stream.maximumPacketSize = connect.properties.maximumPacketSize.map(Int.init) ?? .max
        stream.useTopicAliases(
            maximum: min(Int(connect.properties.topicAliasMaximum ?? 0), limits.topicAliasMaximum)
        )
        // In 3.1.1, a client without a Client Identifier must set CleanSession, since it can't return to a session
        // [MQTT-3.1.3-8 of 3.1.1].
        guard connect.version == .v5 || !connect.clientID.isEmpty || connect.cleanStart else {
            return fail(.clientIdentifierNotValid, "CleanSession 0 without a Client Identifier", broker, connect)
        }
        if let method = connect.properties.authenticationMethod {
            return beginAuthentication(method, connect, broker)
        }
        state = .awaitingAnswer
        var isLate = false
        let request = ConnectRequest(connect)
        let asked = connect.withoutContents
        broker.connect(request, on: connection) { [self] result in
            connectAnswered(asked, result, broker)
            if isLate { readOn(broker) }
        }
        isLate = true
    }

    /// - Parameter lastWords: Authentication Data for a client that an exchange has authenticated.
    func connectAnswered(
        _ connect: Connect,
        _ result: ConnectResult,
        lastWords: ByteBuffer? = nil,
        _ broker: Broker
    ) {
        guard !result.reasonCode.isError else { return refuse(result.reasonCode, broker) }
        state = .connected
        topicAliases = TopicAliases(maximum: broker.limits.topicAliasMaximum)
        var connack = Connack(connect, result, broker.limits)
        connack.properties.authenticationMethod = connect.properties.authenticationMethod
        connack.properties.authenticationData = lastWords
        guard stream.append(.connack(connack)) else { return refuseUntold(connect, broker) }
        broker.sentPacket(on: connection)
        broker.resume(connection)
    }

    /// Refuses a client whose Maximum Packet Size is smaller than its CONNACK [MQTT-3.1.2-24].
    ///
    /// CONNACK has the limits that the client must respect. The client counts as never connected, so its will is
    /// discarded.
    private func refuseUntold(_ connect: Connect, _ broker: Broker) {
        broker.disconnect(connection, reason: .normalDisconnection)
        state = .awaitingAnswer
        let detail = "CONNACK is larger than the client's Maximum Packet Size"
        fail(.implementationSpecificError, detail, broker, connect)
    }

    /// Refuses a client; the broker has logged the refusal.
    func refuse(_ reason: ReasonCode, _ broker: Broker) {
        state = .closed
        // When no return code of 3.1.1 fits, the connection is closed without CONNACK [MQTT-3.2.2-6 of 3.1.1].
        if stream.version == .v5 || reason.connectReturnCode != nil {
            stream.append(.connack(Connack(sessionPresent: false, reasonCode: reason)))
        }
        broker.close(connection)
    }

    func disconnectReceived(_ disconnect: Disconnect, _ broker: Broker) throws(MalformedPacket) {
        guard state == .connected else {
            // The client has disconnected while its authentication was pending.
            state = .closed
            return broker.close(connection)
        }
        // A session that ends with its connection can't be made persistent by DISCONNECT (MQTT 5.0 §3.14.2.2.2).
        if let interval = disconnect.sessionExpiryInterval, interval > 0, !broker.isSessionPersistent(connection) {
            throw MalformedPacket(.protocolError, "Session Expiry Interval was 0 in CONNECT")
        }
        state = .closed
        broker.disconnect(
            connection,
            reason: disconnect.reasonCode,
            sessionExpiryInterval: disconnect.sessionExpiryInterval
        )
        broker.close(connection)
    }
}

extension Connect {
    /// The fields that the answer depends on, to be kept while it is pending.
    var withoutContents: Connect {
        var connect = self
        connect.will = nil
        connect.password = nil
        connect.properties.userProperties = []
        connect.properties.authenticationData = nil
        return connect
    }
}

extension ConnectRequest {
    /// CONNECT in MQTT 5.0 terms: CleanSession 0 of 3.1.1 is a session that never expires (MQTT 5.0 §3.1.2.11.2).
    init(_ connect: Connect) {
        let isVersion5 = connect.version == .v5
        self.init(
            clientID: connect.clientID,
            cleanStart: connect.cleanStart,
            sessionExpiryInterval: isVersion5
                ? connect.properties.sessionExpiryInterval ?? 0 : (connect.cleanStart ? 0 : .max),
            keepAlive: connect.keepAlive,
            will: connect.will,
            userName: connect.userName,
            password: connect.password,
            receiveMaximum: connect.properties.receiveMaximum ?? .max,
            maximumPacketSize: connect.properties.maximumPacketSize.map(Int.init) ?? .max
        )
        takesServerKeepAlive = isVersion5
    }
}

extension Connack {
    /// The session's state and our limits, for the client (MQTT 5.0 §3.2.2.3).
    init(_ connect: Connect, _ result: ConnectResult, _ limits: Limits) {
        self.init(sessionPresent: result.sessionPresent, reasonCode: result.reasonCode)
        guard connect.version == .v5 else { return }
        if result.sessionExpiryInterval != connect.properties.sessionExpiryInterval ?? 0 {
            properties.sessionExpiryInterval = result.sessionExpiryInterval
        }
        properties.receiveMaximum = UInt16(clamping: limits.receiveMaximum)
        if limits.maximumQoS < 2 { properties.maximumQoS = QoS(rawValue: UInt8(clamping: limits.maximumQoS)) }
        if !limits.retainAvailable { properties.retainAvailable = false }
        // Some clients use the value as the largest Remaining Length.
        properties.maximumPacketSize = UInt32(clamping: min(limits.maximumPacketSize, 268_435_455))
        if result.isAssigned { properties.assignedClientID = result.clientID }
        if limits.topicAliasMaximum > 0 { properties.topicAliasMaximum = UInt16(clamping: limits.topicAliasMaximum) }
        if result.keepAlive != connect.keepAlive { properties.serverKeepAlive = result.keepAlive }
    }
}
