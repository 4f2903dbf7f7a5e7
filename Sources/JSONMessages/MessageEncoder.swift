package import BrokerCore
import MQTTCodec
package import NIOCore

/// Writes messages as JSON, those that go to many clients once.
///
/// It remembers the latest ones. Not for use by several threads.
package final class MessageEncoder {
    /// Messages remembered, and bytes of their JSON; one message is remembered whatever its size.
    private static let maximumCount = 64
    private static let maximumBytes = 1_048_576

    /// All that the JSON depends on, but the time it has left.
    private struct Key: Hashable {
        let message: ObjectIdentifier
        let qos: UInt8
        let retain: Bool
        let dup: Bool
    }

    private struct Encoded {
        /// Held, so that its identity stays its own.
        let message: Message
        let remainingExpiryInterval: UInt32?
        let json: ByteBuffer
    }

    private var latest: [Key: Encoded] = [:]
    private var bytes = 0

    package init() {}

    /// The members of a message's object without its braces; there is always one.
    package func members(of delivery: Delivery, at now: NIODeadline) -> ByteBuffer {
        let message = delivery.message
        let key = Key(message: message.identity, qos: delivery.qos.rawValue, retain: delivery.retain, dup: delivery.dup)
        let remaining = message.remainingExpiryInterval(at: now)
        if let encoded = latest[key], encoded.remainingExpiryInterval == remaining { return encoded.json }
        var json = ByteBuffer()
        MessageJSON.writeMembers(of: delivery, at: now, to: &json)
        if latest.count >= Self.maximumCount || bytes + json.readableBytes > Self.maximumBytes {
            latest.removeAll(keepingCapacity: true)
            bytes = 0
        }
        bytes += json.readableBytes
        latest[key] = Encoded(message: message, remainingExpiryInterval: remaining, json: json)
        return json
    }
}
