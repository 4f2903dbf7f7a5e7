import BrokerCore
import FoundationEssentials
import MQTTCodec
import NIOCore

/// `{"op":"connect", …}`: CONNECT with MQTT 5.0's names.
package struct JSONConnect: Decodable, Sendable {
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

    enum CodingKeys: String, CodingKey {
        case clientID = "clientid"
        case userName = "username"
        case password
        case accessToken = "access_token"
        case cleanStart = "clean_start"
        case sessionExpiryInterval = "session_expiry_interval"
        case keepAlive = "keep_alive"
        case receiveMaximum = "receive_maximum"
        case will
    }

    /// A message like any other, and when it is due.
    struct Will: Decodable, Sendable {
        let message: PublishEnvelope
        /// Seconds.
        let delayInterval: UInt32?

        enum CodingKeys: String, CodingKey {
            case delayInterval = "delay_interval"
        }

        init(from decoder: any Decoder) throws {
            message = try PublishEnvelope(from: decoder)
            delayInterval = try decoder.container(keyedBy: CodingKeys.self)
                .decodeIfPresent(UInt32.self, forKey: .delayInterval)
        }
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

    /// - Throws: 422 when a value is none MQTT allows.
    func request(as identity: Identity) throws(Problem) -> ConnectRequest {
        guard receiveMaximum != 0 else { throw .unprocessable("receive_maximum can't be 0", .protocolError) }
        var request = ConnectRequest(
            clientID: identity.clientID,
            cleanStart: cleanStart ?? true,
            sessionExpiryInterval: sessionExpiryInterval ?? 0,
            keepAlive: keepAlive ?? 0,
            receiveMaximum: receiveMaximum ?? .max
        )
        request.identify(identity.credentials)
        if let will {
            let message = try will.message.request()
            request.will = MQTTCodec.Will(
                topic: message.topic,
                payload: message.payload,
                qos: message.qos,
                retain: message.retain,
                delayInterval: will.delayInterval ?? 0,
                properties: message.properties ?? PublishProperties()
            )
        }
        return request
    }
}
