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
        // 3.1.1: a client without an identifier of its own can't come back to a session [MQTT-3.1.3-8 of 3.1.1].
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

    /// The client takes no packet as large as the CONNACK that says what it has to keep to [MQTT-3.1.2-24]: it never was
    /// let in, and has no will.
    private func refuseUntold(_ connect: Connect, _ broker: Broker) {
        broker.disconnect(connection, reason: .normalDisconnection)
        state = .awaitingAnswer
        let detail = "CONNACK is larger than the client's Maximum Packet Size"
        fail(.implementationSpecificError, detail, broker, connect)
    }

    /// The broker has said no, and has told the log so.
    func refuse(_ reason: ReasonCode, _ broker: Broker) {
        state = .closed
        // Where no return code of 3.1.1 fits, closing is the answer [MQTT-3.2.2-6 of 3.1.1].
        if stream.version == .v5 || reason.connectReturnCode != nil {
            stream.append(.connack(Connack(sessionPresent: false, reasonCode: reason)))
        }
        broker.close(connection)
    }

    func disconnectReceived(_ disconnect: Disconnect, _ broker: Broker) throws(MalformedPacket) {
        guard state == .connected else {
            // The client has cancelled while it was being authenticated.
            state = .closed
            return broker.close(connection)
        }
        // A session that was to end with its connection can't be made to last now (MQTT 5.0 §3.14.2.2.2).
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
    /// What its answer depends on, to be kept as long as that takes.
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
    /// CONNECT in MQTT 5.0 terms: CleanSession 0 of 3.1.1 is a session that never ends by itself (MQTT 5.0 §3.1.2.11.2).
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
    /// What the client has to know of the session it got and of our limits (MQTT 5.0 §3.2.2.3).
    init(_ connect: Connect, _ result: ConnectResult, _ limits: Limits) {
        self.init(sessionPresent: result.sessionPresent, reasonCode: result.reasonCode)
        guard connect.version == .v5 else { return }
        if result.sessionExpiryInterval != connect.properties.sessionExpiryInterval ?? 0 {
            properties.sessionExpiryInterval = result.sessionExpiryInterval
        }
        properties.receiveMaximum = UInt16(clamping: limits.receiveMaximum)
        if limits.maximumQoS < 2 { properties.maximumQoS = QoS(rawValue: UInt8(clamping: limits.maximumQoS)) }
        if !limits.retainAvailable { properties.retainAvailable = false }
        // Some clients take it for the largest Remaining Length.
        properties.maximumPacketSize = UInt32(clamping: min(limits.maximumPacketSize, 268_435_455))
        if result.isAssigned { properties.assignedClientID = result.clientID }
        if limits.topicAliasMaximum > 0 { properties.topicAliasMaximum = UInt16(clamping: limits.topicAliasMaximum) }
        if result.keepAlive != connect.keepAlive { properties.serverKeepAlive = result.keepAlive }
    }
}
