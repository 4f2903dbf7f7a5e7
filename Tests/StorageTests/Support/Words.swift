import BrokerCore
import MQTTCodec
import NIOCore

// Everything that a store gives back as text, so that it can be compared: two that differ anywhere differ in words.

func words(_ record: RecoveredRecord) -> String {
    switch record {
    case .session(let session): words(session)
    case .subscription(let subscription, let session):
        "subscription \(session.rawValue) \(subscription.filter) \(subscription.options) \(subscription.identifier)"
    case .received(let packetID, let session): "received \(session.rawValue) \(packetID)"
    case .retained(let message): "retained \(words(message))"
    case .message(let message): words(message)
    }
}

func words(_ session: SessionRecord) -> String {
    let will = session.will.map { will in
        "\(will.topic) \(words(will.payload)) \(will.qos) \(will.retain) \(will.delayInterval) \(words(will.properties))"
    }
    return [
        "session \(session.name.isOwn ? "own " : "")\(session.clientID) \(session.number.rawValue) "
            + "user \(session.userName ?? "-")\(session.isUserProven.map { $0 ? " proven" : "" } ?? " of old")",
        "expiry \(session.expiryInterval) at \(words(session.expiresAt))",
        "will \(will ?? "-") due \(session.willDueAt.map(words) ?? "-") read \(session.takenForRead)",
    ].joined(separator: " ")
}

func words(_ message: Message) -> String {
    [
        "\(message.topic) \(words(message.payload)) \(message.qos) \(message.retain)",
        "publisher \(message.publisher.rawValue) expires \(words(message.expiresAt))",
        "properties \(message.properties.map { words($0.values) } ?? "-")",
    ].joined(separator: " ")
}

func words(_ message: RecoveredMessage) -> String {
    "message \(message.number.rawValue) \(message.cost) bytes expires \(words(message.expiresAt)) for "
        + message.destinations.map(words).joined(separator: ", ")
}

func words(_ destination: StoredDestination) -> String {
    // Nobody asks where a delivery went that is done.
    if destination.state == .done { return "done" }
    return [
        "\(destination.session.rawValue)/\(destination.sequence) \(destination.qos) \(destination.retain)",
        "\(destination.identifiers) \(destination.share ?? "-") \(destination.state)",
    ].joined(separator: " ")
}

func words(_ loaded: LoadedMessage) -> String { "\(words(loaded.message)) for \(words(loaded.destination))" }

private func words(_ deadline: NIODeadline) -> String {
    deadline == .distantFuture ? "never" : "\(deadline.uptimeNanoseconds)"
}

private func words(_ bytes: ByteBuffer) -> String { hex(Array(bytes.readableBytesView)) }

private func words(_ properties: PublishProperties) -> String {
    [
        "\(properties.payloadFormatIndicator.map(String.init) ?? "-")",
        "\(properties.messageExpiryInterval.map(String.init) ?? "-")",
        "\(properties.responseTopic ?? "-") \(properties.correlationData.map(words) ?? "-")",
        "\(properties.contentType ?? "-") \(properties.userProperties.map { "\($0.name)=\($0.value)" })",
    ].joined(separator: " ")
}

/// Bytes as lower-case hexadecimal digits.
func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
