/// Puts a DTLS client's handshake messages together and in order before GnuTLS reads them (RFC 6347 §4.2.2, §4.2.3).
///
/// Only those that are not encrypted, which anybody may have sent. GnuTLS 3.7 believes what each fragment says of its
/// message's length, and of two messages of one type takes one for the rest of the other, so that it writes beyond its
/// memory (`merge_handshake_packet`): here it gets whole messages only, the next one due first.
package struct HandshakeMessages {
    /// A message that is not whole, or not due.
    private struct Message {
        let type: UInt8
        /// Of the body; bytes that have not come are 0.
        var body: [UInt8]
        /// Bytes from the start on that have come; a fragment that leaves a gap is not kept.
        var filled = 0

        var isWhole: Bool { filled == body.count }
    }

    /// The header of a handshake message: type, length, message_seq, fragment_offset, fragment_length.
    private struct Header {
        static let size = 12

        let type: UInt8
        let length: Int
        let number: UInt16
        let offset: Int
        let count: Int

        init(_ bytes: UnsafeRawBufferPointer) {
            type = bytes[0]
            length = Int(bytes[1]) << 16 | Int(bytes[2]) << 8 | Int(bytes[3])
            number = UInt16(bytes[4]) << 8 | UInt16(bytes[5])
            offset = Int(bytes[6]) << 16 | Int(bytes[7]) << 8 | Int(bytes[8])
            count = Int(bytes[9]) << 16 | Int(bytes[10]) << 8 | Int(bytes[11])
        }
    }

    /// Messages that come before the one that is due; a client's flight has five.
    private static let mostAhead: UInt16 = 6

    /// Bytes of one message, and of all that is kept.
    private let most: Int
    /// Of the message that is due; nil before the first one.
    private var due: UInt16?
    private var kept: [UInt16: Message] = [:]
    private var keptBytes = 0

    package init(most: Int) { self.most = most }

    /// Takes a record's content.
    ///
    /// - Returns: messages that are due now, whole; empty when there are none.
    package mutating func take(_ content: UnsafeRawBufferPointer) -> [UInt8] {
        var rest = content[...]
        var ready: [UInt8] = []
        while rest.count >= Header.size {
            let header = Header(UnsafeRawBufferPointer(rebasing: rest))
            rest = rest.dropFirst(Header.size)
            guard header.count <= rest.count, header.offset + header.count <= header.length, header.length <= most,
                header.count > 0 || header.length == 0
            else { break }
            take(header, UnsafeRawBufferPointer(rebasing: rest.prefix(header.count)))
            rest = rest.dropFirst(header.count)
            release(&ready)
        }
        return ready
    }

    private mutating func take(_ header: Header, _ fragment: UnsafeRawBufferPointer) {
        let due = self.due ?? header.number
        self.due = due
        // What was read before comes again when our answer was lost: it is sent again by the clock.
        guard header.number >= due, header.number - due < Self.mostAhead else { return }
        var message = kept.removeValue(forKey: header.number)
        keptBytes -= message?.body.count ?? 0
        if message == nil, keptBytes + header.length <= most {
            message = Message(type: header.type, body: [UInt8](repeating: 0, count: header.length))
        }
        guard var message else { return }
        if message.type == header.type, message.body.count == header.length, header.offset <= message.filled {
            message.body.withUnsafeMutableBytes { body in
                UnsafeMutableRawBufferPointer(rebasing: body[header.offset...]).copyBytes(from: fragment)
            }
            message.filled = max(message.filled, header.offset + header.count)
        }
        kept[header.number] = message
        keptBytes += message.body.count
    }

    private mutating func release(_ ready: inout [UInt8]) {
        while let number = due, let message = kept[number], message.isWhole {
            kept[number] = nil
            keptBytes -= message.body.count
            due = number &+ 1
            let length = [message.body.count >> 16, message.body.count >> 8, message.body.count]
                .map { UInt8(truncatingIfNeeded: $0) }
            ready +=
                [message.type] + length + [UInt8(number >> 8), UInt8(truncatingIfNeeded: number), 0, 0, 0] + length
            ready += message.body
        }
    }
}
