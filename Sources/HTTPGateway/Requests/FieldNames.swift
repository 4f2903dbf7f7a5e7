import HTTPTypes

/// The names of fields that HTTPTypes has no constants for; made once, since making one is work.
extension HTTPField.Name {
    static let idempotencyKey = HTTPField.Name("Idempotency-Key")
    static let idempotencyReplayed = HTTPField.Name("Idempotency-Replayed")
    static let lastEventID = HTTPField.Name("Last-Event-ID")
    /// Of a preflight.
    static let requestedFields = HTTPField.Name("Access-Control-Request-Headers")
    static let prefer = HTTPField.Name("Prefer")
    static let preferenceApplied = HTTPField.Name("Preference-Applied")
    /// `key=value`; may be given many times.
    static let userProperty = HTTPField.Name("X-MQTT-User-Property")
    /// Of a message that has more of them than the answer.
    static let userPropertyCount = HTTPField.Name("X-MQTT-User-Property-Count")
}

extension String {
    /// Whether a field's value was no UTF-8: then the decoder has put U+FFFD in the place of its bytes.
    var isRepaired: Bool { unicodeScalars.contains("\u{fffd}") }
}
