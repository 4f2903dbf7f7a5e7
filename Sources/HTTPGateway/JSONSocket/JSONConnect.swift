import BrokerCore
import MQTTCodec
import NIOCore

/// `{"op":"connect", …}`: CONNECT with MQTT 5.0's names.
package struct JSONConnect: Sendable {
    let clientID: String?
    let userName: String?
    let password: String?
    let accessToken: String?
    let cleanStart: Bool?
    /// Seconds.
    let sessionExpiryInterval: UInt32?
    /// Seconds.
    let keepAlive: UInt16?
    let receiveMaximum: UInt16?
    let will: Will?

    /// A message like any other, and when it is due.
    struct Will: Sendable {
        let message: PublishRequest
        /// Seconds.
        let delayInterval: UInt32
    }

    /// - Throws: 422 when a value is none MQTT allows.
    init(_ fields: inout JSONFields) throws(Problem) {
        clientID = try fields.text("clientid")
        userName = try fields.text("username")
        password = try fields.text("password")
        accessToken = try fields.text("access_token")
        cleanStart = try fields.flag("clean_start")
        sessionExpiryInterval = try fields.seconds("session_expiry_interval")
        keepAlive = try fields.integer("keep_alive", in: 0...Int(UInt16.max)).map { UInt16($0) }
        receiveMaximum = try fields.integer("receive_maximum", in: 1...Int(UInt16.max)).map { UInt16($0) }
        guard var will = try fields.object("will") else {
            self.will = nil
            return
        }
        let message = try PublishEnvelope.request(&will)
        self.will = Will(message: message, delayInterval: try will.seconds("delay_interval") ?? 0)
        try will.finish()
    }

    /// - Throws: 422 when a token and a password are there, both.
    func authorization() throws(Problem) -> Authorization {
        switch (accessToken, userName) {
        case (let token?, nil): return .bearer(token)
        case (nil, let userName?):
            return .basic(BasicCredentials(userName: userName, password: Array((password ?? "").utf8)))
        // Without a user name it is a token or an API key, as it is in CONNECT.
        case (nil, nil): return password.map { .bearer($0) } ?? .none
        case (_?, _?): throw .unprocessable("access_token and username: only one of them", .protocolError)
        }
    }

    func request(as identity: Identity) -> ConnectRequest {
        var request = ConnectRequest(
            clientID: identity.clientID,
            cleanStart: cleanStart ?? true,
            sessionExpiryInterval: sessionExpiryInterval ?? 0,
            keepAlive: keepAlive ?? 0,
            receiveMaximum: receiveMaximum ?? .max
        )
        request.identify(identity.credentials)
        if let will {
            let message = will.message
            request.will = MQTTCodec.Will(
                topic: message.topic,
                payload: message.payload,
                qos: message.qos,
                retain: message.retain,
                delayInterval: will.delayInterval,
                properties: message.properties ?? PublishProperties()
            )
        }
        return request
    }
}

extension JSONFields {
    /// Seconds, as MQTT counts them in four bytes; nil when there are none.
    mutating func seconds(_ name: String) throws(Problem) -> UInt32? {
        try integer(name, in: 0...Int(UInt32.max)).map { UInt32($0) }
    }
}
