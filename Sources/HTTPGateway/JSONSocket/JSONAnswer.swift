import BrokerCore
import JSONMessages
import MQTTCodec
import NIOCore

/// What is said to a client of `sluice.json`; fields that have nothing to say are left out.
struct JSONAnswer: Encodable {
    enum Name: String, Encodable {
        case connected, subscribed, unsubscribed, published, error, pong, dropped, disconnect
    }

    let op: Name
    /// What the client called the operation.
    var id: JSONLabel?
    var reasonCode: UInt8?
    var reason: String?
    var reasonCodes: [UInt8]?
    var detail: String?
    var clientID: String?
    var sessionPresent: Bool?
    var sessionExpiryInterval: UInt32?
    var keepAlive: UInt16?
    /// Messages of QoS 0 that the client was too slow for.
    var count: Int?

    enum CodingKeys: String, CodingKey {
        case op
        case id
        case reasonCode = "reason_code"
        case reason
        case reasonCodes = "reason_codes"
        case detail
        case clientID = "clientid"
        case sessionPresent = "session_present"
        case sessionExpiryInterval = "session_expiry_interval"
        case keepAlive = "keep_alive"
        case count
    }

    init(_ op: Name, _ id: JSONLabel? = nil, _ reason: ReasonCode? = nil) {
        self.op = op
        self.id = id
        reasonCode = reason?.rawValue
        self.reason = reason?.name
    }

    init(_ op: Name, _ id: JSONLabel?, _ reasons: [ReasonCode]) {
        self.init(op, id)
        reasonCodes = reasons.map(\.rawValue)
    }

    init(dropped count: Int) {
        self.init(.dropped)
        self.count = count
    }

    init(_ problem: Problem, _ id: JSONLabel?) {
        self.init(.error, id, problem.reasonCode)
        detail = problem.detail
    }

    init(_ connected: ConnectResult, _ id: JSONLabel?) {
        self.init(.connected, id, connected.reasonCode)
        guard !connected.reasonCode.isError else { return }
        clientID = connected.clientID
        sessionPresent = connected.sessionPresent
        sessionExpiryInterval = connected.sessionExpiryInterval
        keepAlive = connected.keepAlive
    }
}
