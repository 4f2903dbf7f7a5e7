package import BrokerCore
import MQTTCodec
package import NIOCore

/// A retained message as the representation of a resource; sans I/O.
package struct Representation: Sendable {
    /// Seconds a retained message without an expiry counts as fresh; RFC 7252's own default (§5.10.5).
    package static let defaultMaxAge: UInt32 = 60
    private static let key = UInt64.random(in: .min ... .max)

    package let message: Message

    package init(_ message: Message) { self.message = message }

    /// A digest of payload and content type.
    ///
    /// Its key is chosen anew by each process, so that nobody can make two payloads
    /// with one ETag; a restart only costs one more transfer.
    package var eTag: UInt64 {
        var hasher = Hasher()
        // Values of a megabyte are hashed on the core's loop.
        hasher.combine(message.withBytes { _, payload in payload.digest(seed: Self.key) })
        hasher.combine(message.payloadLength)
        hasher.combine(message.properties?.values.contentType)
        return UInt64(truncatingIfNeeded: hasher.finalize())
    }

    /// Its Content-Format; nil when CoAP has no number for its content type.
    package var contentFormat: UInt16? { ContentFormat.number(of: message.properties?.values) }

    /// Whether it may be sent to a client that accepts only that Content-Format.
    ///
    /// One whose type nobody named may.
    package func isAcceptable(_ accept: UInt16?) -> Bool {
        guard let accept, let contentFormat else {
            return accept == nil || message.properties?.values.contentType == nil
        }
        return accept == contentFormat
    }

    /// Whether the client has it already (RFC 7252 §5.10.6.2).
    package func matches(_ eTags: [[UInt8]]) -> Bool {
        guard !eTags.isEmpty else { return false }
        let own = withUnsafeBytes(of: eTag.bigEndian) { [UInt8]($0) }
        return eTags.contains(own)
    }

    /// The response to GET.
    ///
    /// - Parameter maxAge: seconds one without an expiry counts as fresh.
    /// - Throws: 4.06 when it is nothing the client accepts, 4.00 for a block beyond its end.
    package func response(
        to request: CoAPRequest,
        room: MessageRoom = .datagram,
        maxAge: UInt32 = Self.defaultMaxAge,
        now: NIODeadline
    ) throws(CoAPFailure) -> CoAPResponse {
        guard isAcceptable(request.accept) else {
            throw CoAPFailure(.notAcceptable, "the retained message has another content type")
        }
        var response = CoAPResponse(.content)
        response.room = room
        response.eTag = eTag
        response.maxAge = message.remainingExpiryInterval(at: now) ?? maxAge
        if matches(request.eTags), request.block2?.number ?? 0 == 0 {
            response.code = .valid
            return response
        }
        response.contentFormat = contentFormat
        try response.cut(message, wanted: request.block2)
        return response
    }
}

extension CoAPResponse {
    /// Puts a message's payload in, or one block of it where it is large or the client asked for a block (RFC 7959 §2.4).
    ///
    /// - Throws: 4.00 for a block beyond its end; `noRoom` where the options are too long; `unproven` where the address may not
    ///   get even a little of it.
    package mutating func cut(_ message: Message, wanted: Block?) throws(CoAPFailure) {
        if case .unproven(let bytes) = room { return try cut(message, wanted: wanted, into: bytes) }
        let length = message.payloadLength
        let room = min(roomForPayload, largestPayload)
        if wanted == nil, length <= room {
            payload = .part(message, 0..<length)
            return
        }
        guard let fitting = Block.exponent(fitting: room) else {
            throw .noRoom
        }
        let start = try beginning(of: wanted, length)
        if wanted?.isBERT ?? false, fitting == Block.largestExponent {
            let size = Block(number: 0, more: false, sizeExponent: fitting).size
            cutBlock(of: message, from: start, Block.bertExponent, size: room / size * size)
        } else {
            cutBlock(of: message, from: start, min(wanted?.sizeExponent ?? fitting, fitting))
        }
        if start == 0 { size2 = length }
    }

    private func beginning(of wanted: Block?, _ length: Int) throws(CoAPFailure) -> Int {
        let start = wanted?.offset ?? 0
        guard start == 0 || start < length else {
            throw CoAPFailure(.malformedPacket, "a block beyond the end of the body")
        }
        return start
    }

    private mutating func cutBlock(of message: Message, from start: Int, _ exponent: UInt8, size: Int? = nil) {
        var block = Block(number: 0, more: false, sizeExponent: exponent)
        block.number = UInt32(start / block.size)
        let end = min(start + (size ?? block.size), message.payloadLength)
        block.more = end < message.payloadLength
        block2 = block
        payload = .part(message, start..<end)
    }

    /// Puts in as much as may go to an address that is not proven: what helps, but need not be there, gives way first.
    private mutating func cut(_ message: Message, wanted: Block?, into bytes: Int) throws(CoAPFailure) {
        let start = try beginning(of: wanted, message.payloadLength)
        for isSparing in [false, true] {
            if isSparing { (eTag, maxAge) = (nil, nil) }
            if wanted == nil {
                (block2, payload) = (nil, .part(message, 0..<message.payloadLength))
                if encodedLength <= bytes { return }
            }
            let largest = min(wanted?.sizeExponent ?? Block.largestExponent, Block.largestExponent)
            for exponent in (0...largest).reversed() {
                cutBlock(of: message, from: start, exponent)
                if encodedLength <= bytes { return }
            }
        }
        throw .unproven
    }
}
