import BrokerCore
package import MQTTCodec
import NIOCore

/// What the query of POST to `/mqtt/connection` says of the session that is wanted; sans I/O.
package struct ConnectionQuery: Sendable, Equatable {
    /// `clean`: begin without what a former session left.
    package var cleanStart = true
    /// `se`: Session Expiry Interval, seconds; for ever with `clean=0`, as in MQTT 3.1.1, else 0.
    package var sessionExpiry: UInt32?
    /// `ka`: Keep Alive, seconds; 0 is for ever.
    package var keepAlive = defaultKeepAlive
    /// `will-topic`, `will-payload`, `will-qos`, `will-retain`.
    package var willTopic: String?
    package var willPayload = ""
    package var willQoS = QoS.atMostOnce
    package var willRetain = false

    /// Seconds; a session nobody hears of should not stay for ever.
    package static let defaultKeepAlive: UInt16 = 300

    package init() {}

    /// Seconds the session outlives its connection.
    package var sessionExpiryInterval: UInt32 { sessionExpiry ?? (cleanStart ? 0 : .max) }

    static let known: KnownNames = ["clean", "se", "ka", "will-topic", "will-payload", "will-qos", "will-retain"]

    /// Takes an argument.
    ///
    /// - Returns: whether it is one of these.
    mutating func take(_ name: String, _ value: String?, _ argument: String) throws(CoAPFailure) -> Bool {
        switch name {
        case "clean": cleanStart = try RequestQuery.flag(value, argument)
        case "se": sessionExpiry = try RequestQuery.number(value, argument)
        case "ka": keepAlive = try RequestQuery.number(value, argument)
        case "will-topic": willTopic = value ?? ""
        case "will-payload": willPayload = value ?? ""
        case "will-qos":
            guard let qos = QoS(rawValue: try RequestQuery.number(value, argument)) else {
                throw .bad(argument, "a number from 0 to 2")
            }
            willQoS = qos
        case "will-retain": willRetain = try RequestQuery.flag(value, argument)
        default: return false
        }
        return true
    }

    /// The will, checked.
    func will() throws(CoAPFailure) -> Will? {
        guard let willTopic else { return nil }
        do throws(TopicError) {
            return Will(
                topic: try TopicName(willTopic),
                payload: ByteBuffer(string: willPayload),
                qos: willQoS,
                retain: willRetain
            )
        } catch {
            throw CoAPFailure(.topicNameInvalid, "will-topic: \(error.description)")
        }
    }
}
