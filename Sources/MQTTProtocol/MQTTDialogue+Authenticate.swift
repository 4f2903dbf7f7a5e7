import BrokerCore
import MQTTCodec
import NIOCore

/// Enhanced authentication on one network connection (MQTT 5.0 §4.12).
struct EnhancedAuthentication {
    /// The Authentication Method, which all AUTH packets of the connection repeat [MQTT-4.12.0-5].
    let method: String
    /// The CONNECT whose answer is pending; nil once it is answered.
    var connect: Connect?
    /// The exchange; nil between exchanges.
    var exchange: (any AuthenticationExchange)?
}

extension MQTTDialogue {
    /// Begins the authentication of a CONNECT with an Authentication Method.
    func beginAuthentication(_ method: String, _ connect: Connect, _ broker: Broker) {
        let data = connect.properties.authenticationData
        switch broker.beginAuthentication(method, ConnectRequest(connect), on: connection) {
        case .failure(let refused): refuse(refused.reasonCode, broker)
        case .success(let exchange):
            // Its User Properties and data are not needed later.
            let will = connect.will
            var connect = connect.withoutContents
            connect.will = will
            let kept = (will?.cost ?? 0) + MemoryCost.text(connect.clientID) + MemoryCost.text(connect.userName)
            guard broker.keeps(kept, for: connection) else {
                return fail(.serverBusy, "no room for one more CONNECT that is being authenticated", broker, connect)
            }
            state = .authenticating
            authentication = EnhancedAuthentication(
                method: method,
                connect: connect,
                exchange: exchange
            )
            step(exchange, data, broker)
        }
    }

    func authReceived(_ auth: Auth, _ broker: Broker) throws(MalformedPacket) {
        guard let authentication else {
            throw MalformedPacket(.protocolError, "AUTH without Authentication Method in CONNECT [MQTT-4.12.0-7]")
        }
        guard let method = auth.authenticationMethod, method.utf8.elementsEqual(authentication.method.utf8) else {
            throw MalformedPacket(
                .protocolError,
                "AUTH with another Authentication Method than CONNECT [MQTT-4.12.0-5]"
            )
        }
        switch (auth.reasonCode, authentication.exchange) {
        case (.continueAuthentication, let exchange?): step(exchange, auth.authenticationData, broker)
        case (.reauthenticate, nil):
            guard let exchange = broker.beginReauthentication(method, on: connection) else {
                return fail(.notAuthorized, "the Authentication Method is no longer offered", broker)
            }
            self.authentication?.exchange = exchange
            step(exchange, auth.authenticationData, broker)
        default: throw MalformedPacket(.protocolError, "AUTH with \(auth.reasonCode) out of turn")
        }
    }

    /// Passes the client's message to the exchange, and sends the answer.
    private func step(_ exchange: any AuthenticationExchange, _ message: ByteBuffer?, _ broker: Broker) {
        switch exchange.step(message) {
        case .continue(let data): sendAuth(.continueAuthentication, data, broker)
        case .accepted(let userName, let data): accepted(userName, lastWords: data, broker)
        case .refused(let reason, let detail):
            // DISCONNECT has no Reason Code Bad User Name or Password [MQTT-4.12.1-2].
            fail(state == .connected ? .notAuthorized : reason, detail, broker)
        }
    }

    private func accepted(_ userName: String?, lastWords: ByteBuffer?, _ broker: Broker) {
        authentication?.exchange = nil
        guard let connect = authentication?.connect.take() else {
            guard broker.isSameUser(userName, on: connection) else {
                return fail(.notAuthorized, "authenticated anew as another user", broker)
            }
            return sendAuth(.success, lastWords, broker)
        }
        _ = broker.keeps(0, for: connection)
        let result = broker.connect(ConnectRequest(connect), authenticatedAs: userName, on: connection)
        connectAnswered(connect, result, lastWords: lastWords, broker)
    }

    /// Sends AUTH, which has neither Reason String nor User Properties that could be left out when it is too large
    /// [MQTT-3.15.2-2], [MQTT-3.15.2-3].
    private func sendAuth(_ reason: ReasonCode, _ data: ByteBuffer?, _ broker: Broker) {
        guard let authentication else { return }
        let auth = Auth(
            reasonCode: reason,
            authenticationMethod: authentication.method,
            authenticationData: data
        )
        // An AUTH that is larger than the client's Maximum Packet Size ends the connection [MQTT-3.1.2-24].
        guard stream.append(.auth(auth)) else {
            return fail(.packetTooLarge, "AUTH is larger than the client's Maximum Packet Size", broker)
        }
        broker.sentPacket(on: connection)
    }
}
