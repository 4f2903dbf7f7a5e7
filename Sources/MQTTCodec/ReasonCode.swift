/// The outcome of an operation (MQTT 5.0 §2.4); one type for all packets.
package struct ReasonCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// 0x80 and above say that the operation failed.
    package var isError: Bool { rawValue >= 0x80 }

    package static let success = ReasonCode(rawValue: 0x00)
    package static let normalDisconnection = ReasonCode(rawValue: 0x00)
    package static let grantedQoS0 = ReasonCode(rawValue: 0x00)
    package static let grantedQoS1 = ReasonCode(rawValue: 0x01)
    package static let grantedQoS2 = ReasonCode(rawValue: 0x02)
    package static let disconnectWithWillMessage = ReasonCode(rawValue: 0x04)
    package static let noMatchingSubscribers = ReasonCode(rawValue: 0x10)
    package static let noSubscriptionExisted = ReasonCode(rawValue: 0x11)
    package static let continueAuthentication = ReasonCode(rawValue: 0x18)
    package static let reauthenticate = ReasonCode(rawValue: 0x19)
    package static let unspecifiedError = ReasonCode(rawValue: 0x80)
    package static let malformedPacket = ReasonCode(rawValue: 0x81)
    package static let protocolError = ReasonCode(rawValue: 0x82)
    package static let implementationSpecificError = ReasonCode(rawValue: 0x83)
    package static let unsupportedProtocolVersion = ReasonCode(rawValue: 0x84)
    package static let clientIdentifierNotValid = ReasonCode(rawValue: 0x85)
    package static let badUserNameOrPassword = ReasonCode(rawValue: 0x86)
    package static let notAuthorized = ReasonCode(rawValue: 0x87)
    package static let serverUnavailable = ReasonCode(rawValue: 0x88)
    package static let serverBusy = ReasonCode(rawValue: 0x89)
    package static let banned = ReasonCode(rawValue: 0x8a)
    package static let serverShuttingDown = ReasonCode(rawValue: 0x8b)
    package static let badAuthenticationMethod = ReasonCode(rawValue: 0x8c)
    package static let keepAliveTimeout = ReasonCode(rawValue: 0x8d)
    package static let sessionTakenOver = ReasonCode(rawValue: 0x8e)
    package static let topicFilterInvalid = ReasonCode(rawValue: 0x8f)
    package static let topicNameInvalid = ReasonCode(rawValue: 0x90)
    package static let packetIdentifierInUse = ReasonCode(rawValue: 0x91)
    package static let packetIdentifierNotFound = ReasonCode(rawValue: 0x92)
    package static let receiveMaximumExceeded = ReasonCode(rawValue: 0x93)
    package static let topicAliasInvalid = ReasonCode(rawValue: 0x94)
    package static let packetTooLarge = ReasonCode(rawValue: 0x95)
    package static let messageRateTooHigh = ReasonCode(rawValue: 0x96)
    package static let quotaExceeded = ReasonCode(rawValue: 0x97)
    package static let administrativeAction = ReasonCode(rawValue: 0x98)
    package static let payloadFormatInvalid = ReasonCode(rawValue: 0x99)
    package static let retainNotSupported = ReasonCode(rawValue: 0x9a)
    package static let qosNotSupported = ReasonCode(rawValue: 0x9b)
    package static let useAnotherServer = ReasonCode(rawValue: 0x9c)
    package static let serverMoved = ReasonCode(rawValue: 0x9d)
    package static let sharedSubscriptionsNotSupported = ReasonCode(rawValue: 0x9e)
    package static let connectionRateExceeded = ReasonCode(rawValue: 0x9f)
    package static let maximumConnectTime = ReasonCode(rawValue: 0xa0)
    package static let subscriptionIdentifiersNotSupported = ReasonCode(rawValue: 0xa1)
    package static let wildcardSubscriptionsNotSupported = ReasonCode(rawValue: 0xa2)

    /// The specification's words for it.
    package var name: String { Self.names[rawValue] ?? "Reason Code \(rawValue)" }

    package var description: String { name }

    private static let names: [UInt8: String] = [
        0x00: "Success", 0x01: "Granted QoS 1", 0x02: "Granted QoS 2", 0x04: "Disconnect with Will Message",
        0x10: "No matching subscribers", 0x11: "No subscription existed", 0x18: "Continue authentication",
        0x19: "Re-authenticate", 0x80: "Unspecified error", 0x81: "Malformed Packet", 0x82: "Protocol Error",
        0x83: "Implementation specific error", 0x84: "Unsupported Protocol Version",
        0x85: "Client Identifier not valid", 0x86: "Bad User Name or Password", 0x87: "Not authorized",
        0x88: "Server unavailable", 0x89: "Server busy", 0x8a: "Banned", 0x8b: "Server shutting down",
        0x8c: "Bad authentication method", 0x8d: "Keep Alive timeout", 0x8e: "Session taken over",
        0x8f: "Topic Filter invalid", 0x90: "Topic Name invalid", 0x91: "Packet Identifier in use",
        0x92: "Packet Identifier not found", 0x93: "Receive Maximum exceeded", 0x94: "Topic Alias invalid",
        0x95: "Packet too large", 0x96: "Message rate too high", 0x97: "Quota exceeded",
        0x98: "Administrative action", 0x99: "Payload format invalid", 0x9a: "Retain not supported",
        0x9b: "QoS not supported", 0x9c: "Use another server", 0x9d: "Server moved",
        0x9e: "Shared Subscriptions not supported", 0x9f: "Connection rate exceeded",
        0xa0: "Maximum connect time", 0xa1: "Subscription Identifiers not supported",
        0xa2: "Wildcard Subscriptions not supported",
    ]

    /// The CONNACK return code of MQTT 3.1.1 that says the same (MQTT 3.1.1 §3.2.2.3): 0 accepted, 1 to 5 refused.
    ///
    /// nil when there is none: a 3.1.1 server closes without CONNACK then [MQTT-3.2.2-6 of 3.1.1].
    package var connectReturnCode: UInt8? {
        switch self {
        case .success: 0
        case .unsupportedProtocolVersion: 1
        case .clientIdentifierNotValid: 2
        case .badUserNameOrPassword: 4
        case .notAuthorized, .banned, .badAuthenticationMethod: 5
        case .serverUnavailable, .serverBusy, .connectionRateExceeded, .quotaExceeded, .useAnotherServer, .serverMoved,
            .unspecifiedError:
            3
        default: nil
        }
    }

    /// The reason a 3.1.1 server gave in its CONNACK.
    init(connectReturnCode: UInt8) {
        let codes: [ReasonCode] = [
            .success, .unsupportedProtocolVersion, .clientIdentifierNotValid, .serverUnavailable,
            .badUserNameOrPassword, .notAuthorized,
        ]
        self = Int(connectReturnCode) < codes.count ? codes[Int(connectReturnCode)] : .unspecifiedError
    }

    /// Whether a packet of that type may carry it (MQTT 5.0 §2.4, table 2-6).
    func isAllowed(in type: PacketType) -> Bool {
        Self.allowed[type]?.contains(rawValue) ?? false
    }

    private static let allowed: [PacketType: Set<UInt8>] = [
        .connack: [
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
            0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
        ],
        .puback: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        .pubrec: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        .pubrel: [0x00, 0x92],
        .pubcomp: [0x00, 0x92],
        .suback: [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
        .unsuback: [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
        // By a server; a client's are `clientDisconnectReasons`.
        .disconnect: Set([0x00]).union(
            Set(0x80...0xa2).subtracting([0x84, 0x85, 0x86, 0x88, 0x8a, 0x8c, 0x91, 0x92, 0x9f])
        )
        .union([0x9f]),
        .auth: [0x00, 0x18, 0x19],
    ]
}

extension PacketType {
    /// Reason codes a client's DISCONNECT may carry are fewer (MQTT 5.0 §3.14.2.1).
    static let clientDisconnectReasons: Set<UInt8> = [
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    ]
}
