/// Why a WebSocket connection ends, with the status code of the close frame (RFC 6455 §7.4.1).
package struct WebSocketFailure: Error, Sendable, Equatable {
    package let code: UInt16

    package static let normal = WebSocketFailure(code: 1_000)
    package static let goingAway = WebSocketFailure(code: 1_001)
    package static let protocolError = WebSocketFailure(code: 1_002)
    /// Text, where MQTT is binary [MQTT-6.0.0-1], or the other way round.
    package static let unacceptable = WebSocketFailure(code: 1_003)
    package static let notUTF8 = WebSocketFailure(code: 1_007)
    package static let messageTooLarge = WebSocketFailure(code: 1_009)
    /// A limit that all share is reached.
    package static let tryAgainLater = WebSocketFailure(code: 1_013)

    /// Whether a peer may send it: neither reserved nor for use inside one end only.
    static func isValid(_ code: UInt16) -> Bool {
        switch code {
        case 1_000...1_003, 1_007...1_014, 3_000...4_999: true
        default: false
        }
    }
}
