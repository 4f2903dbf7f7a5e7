import BrokerCore

extension Limits {
    /// Reads the section `limits`.
    mutating func read(_ reader: inout MappingReader) {
        reader.shared("connections", in: 1...10_000_000, &connections, &connectionShares)
        reader.shared("sessions", in: 1...100_000_000, &sessions, &sessionShares)
        reader.shared("session_bytes", in: Self.bytes, &sessionBytes, &sessionByteShares)
        reader.shared("queued_bytes", in: Self.bytes, &queuedBytes, &queuedByteShares)
        reader.shared("buffer_bytes", in: Self.bytes, &bufferBytes, &bufferByteShares)
        reader.integer("maximum_packet_size", in: 64...268_435_460, &maximumPacketSize)
        reader.integer("receive_maximum", in: 1...65_535, &receiveMaximum)
        reader.integer("inflight_messages", in: 1...65_535, &inflightMessages)
        reader.integer("topic_alias_maximum", in: 0...65_535, &topicAliasMaximum)
        reader.integer("maximum_qos", in: 0...2, &maximumQoS)
        reader.flag("retain_available", &retainAvailable)
        reader.integer("keep_alive_maximum", in: 1...65_535, &keepAliveMaximum)
        reader.integer("session_expiry_maximum", in: 0...4_294_967_295, &sessionExpiryMaximum)
        reader.shared("retained_messages", in: 0...1_000_000_000, &retainedMessages, &retainedMessageShares)
        reader.shared("retained_bytes", in: 0...1_000_000_000_000, &retainedBytes, &retainedByteShares)
        reader.integer("subscriptions_per_session", in: 1...10_000_000, &subscriptionsPerSession)
        filtersPerPacket = subscriptionsPerSession
        reader.integer("filters_per_packet", in: 1...10_000_000, &filtersPerPacket)
        reader.integer("topic_levels", in: 1...32_768, &topicLevels)
        reader.integer("connection_rate", in: 0...1_000_000, &connectionRate)
        reader.integer("publish_rate", in: 0...10_000_000, &publishRate)
        reader.flag("validate_payload_format", &validatesPayloadFormat)
        reader.integer("connection_bytes", in: Self.bytes, &connectionBytes)
        reader.integer("connect_timeout", in: 1...3_600, &connectTimeout)
        reader.finish()
    }

    /// What a total of bytes may be.
    private static let bytes = 1_048_576...1_000_000_000_000
}

extension MappingReader {
    /// Reads a limit that is for all, and what one address and one user may have of it; 0 is half.
    mutating func shared(_ name: String, in range: ClosedRange<Int>, _ total: inout Int, _ shares: inout Shares) {
        integer(name, in: range, &total)
        let ofAll = 0...range.upperBound
        for (share, value) in [("per_address", \Shares.perAddress), ("per_user", \Shares.perUser)] {
            integer("\(name)_\(share)", in: ofAll, &shares[keyPath: value])
            guard shares[keyPath: value] > total else { continue }
            report("is more than there is for all: \(name) is \(total)", "\(name)_\(share)")
        }
    }
}
