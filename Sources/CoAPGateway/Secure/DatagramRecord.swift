/// The header of a record in a datagram (RFC 6347 §4.1): content type, version, epoch, sequence number, length.
enum DatagramRecord {
    static let header = 13
    /// Bytes of the longest one, its header included.
    static let longest = header + 16_384 + 2_048

    /// Bytes of the first record; nil where there is none that is whole.
    ///
    /// GnuTLS keeps the beginning of one that is not, and waits in vain for its end before it reads another: a single
    /// datagram that somebody has made up would silence a session.
    @inline(__always)
    static func length(_ bytes: UnsafeRawBufferPointer) -> Int? {
        // change_cipher_spec, alert, handshake or application_data, of version 1.x.
        guard bytes.count > header, bytes[0] >= 20, bytes[0] <= 23, bytes[1] == 0xfe else { return nil }
        let length = header + (Int(bytes[11]) << 8 | Int(bytes[12]))
        return length > header && length <= bytes.count ? length : nil
    }

    /// Whether it is a handshake's, not encrypted.
    static func isOpenHandshake(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes[0] == 22 && bytes[3] == 0 && bytes[4] == 0
    }

    /// Whether it is a handshake's, encrypted or not.
    static func isHandshake(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes[0] == 22 }

    /// A record with another one's header and that content, which has at most 2¹⁶ bytes.
    static func with(headerOf record: UnsafeRawBufferPointer, _ content: [UInt8]) -> [UInt8] {
        let length = [UInt8(truncatingIfNeeded: content.count >> 8), UInt8(truncatingIfNeeded: content.count)]
        return record.prefix(header - 2) + length + content
    }
}
