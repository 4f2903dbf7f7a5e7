package import MQTTCodec
package import NIOCore

/// The sizes of values in memory, in bytes; all limits in bytes use them.
///
/// They are a little above the allocator's sizes (glibc, 64 bits), and depend on contents alone: a value that is read
/// back from the store has the cost that it had before.
package enum MemoryCost {
    /// A block of memory beyond its contents: the header of a Swift object, the allocator's own word, rounding up.
    package static let block = 48
    /// The factor for an element of an array or a queue that grows by doubling.
    static let slack = 2

    /// Text; up to 15 bytes of it are stored inline.
    @inline(__always)
    package static func text(_ text: String) -> Int {
        let count = text.utf8.count
        return count > 15 ? block + count : 0
    }

    /// Text that may be missing.
    @inline(__always)
    package static func text(_ text: String?) -> Int { text.map { Self.text($0) } ?? 0 }

    /// Bytes in a buffer of their own.
    @inline(__always)
    package static func buffer(_ buffer: ByteBuffer?) -> Int { buffer.map { 2 * block + $0.readableBytes } ?? 0 }

    /// An array of small integers.
    @inline(__always)
    package static func identifiers(_ identifiers: [UInt32]) -> Int {
        identifiers.isEmpty ? 0 : block + slack * 4 * identifiers.count
    }
}

extension PublishProperties {
    /// Bytes in memory, parsed.
    package var cost: Int {
        var cost = MemoryLayout<PublishProperties>.size
        cost += MemoryCost.text(responseTopic) + MemoryCost.text(contentType) + MemoryCost.buffer(correlationData)
        cost += MemoryCost.identifiers(subscriptionIdentifiers)
        if !userProperties.isEmpty { cost += 2 * MemoryCost.block + userProperties.byteCount }
        return cost
    }
}

extension Message {
    /// The size of a message without its topic, payload and properties.
    private static var overhead: Int { MemoryCost.block + MemoryLayout<Header>.size }

    /// Bytes in memory of a message with these parts.
    @inline(__always)
    package static func cost(topic: Int, payload: Int, properties: PublishProperties?) -> Int {
        overhead + topic + payload + (properties.map { MemoryCost.block + $0.cost } ?? 0)
    }
}

extension OutboundMessage {
    /// Bytes in memory of an element of a queue or a window, without the message.
    static let overhead = 256

    /// Bytes in memory, the message included; others may share it.
    @inline(__always)
    package var cost: Int { message.cost + Self.overhead + MemoryCost.identifiers(identifiers) }
}

extension Will {
    /// Bytes in memory.
    package var cost: Int {
        MemoryCost.text(topic.string) + MemoryCost.buffer(payload) + properties.cost
    }
}
