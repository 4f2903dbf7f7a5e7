/// The MQTT versions served, by the Protocol Level of CONNECT (MQTT 5.0 §3.1.2.2).
package enum ProtocolVersion: UInt8, Sendable, CaseIterable {
    case v3_1_1 = 4
    case v5 = 5
}

/// Quality of Service (MQTT 5.0 §4.3).
package enum QoS: UInt8, Sendable, Comparable, CaseIterable {
    case atMostOnce = 0
    case atLeastOnce
    case exactlyOnce

    package static func < (left: QoS, right: QoS) -> Bool { left.rawValue < right.rawValue }
}

/// A Packet Identifier (MQTT 5.0 §2.2.1); 0 is never one.
package typealias PacketID = UInt16

/// The type of an MQTT Control Packet (MQTT 5.0 §2.1.2).
package enum PacketType: UInt8, Sendable, CaseIterable {
    case connect = 1
    case connack
    case publish
    case puback
    case pubrec
    case pubrel
    case pubcomp
    case subscribe
    case suback
    case unsubscribe
    case unsuback
    case pingreq
    case pingresp
    case disconnect
    case auth

    /// The flags its fixed header must have; nil for PUBLISH, whose flags mean something [MQTT-2.1.3-1].
    package var requiredFlags: UInt8? {
        switch self {
        case .publish: nil
        case .pubrel, .subscribe, .unsubscribe: 0b0010
        default: 0
        }
    }
}
