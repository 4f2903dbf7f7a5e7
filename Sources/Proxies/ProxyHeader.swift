package import NIOCore

/// The header that HAProxy and others put before a connection's bytes (the PROXY protocol, versions 1 and 2).
package struct ProxyHeader: Sendable, Equatable {
    /// The client; nil when the proxy speaks for itself, as in a health check, or knows no internet address.
    package let client: Client?

    package struct Client: Sendable, Equatable, CustomStringConvertible {
        package let address: IPAddress
        package let port: Int

        package init(address: IPAddress, port: Int) {
            self.address = address
            self.port = port
        }

        /// Address and port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
        package var description: String {
            address.bytes.count == 16 ? "[\(address)]:\(port)" : "\(address):\(port)"
        }
    }

    /// Bytes that are no header.
    package struct Malformed: Error, Sendable {}

    /// Bytes of a version 1 header with its line end, at most.
    private static let maximumLine = 107
    /// Bytes that follow the first 16 of a version 2 header, at most: addresses, and whatever else the proxy says.
    private static let maximumRest = 4_096
    private static let signature: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    ]

    /// Reads a header off the beginning of a connection.
    ///
    /// - Returns: nil when more bytes are needed; nothing was read then.
    /// - Throws: `Malformed`.
    package static func read(_ buffer: inout ByteBuffer) throws(Malformed) -> ProxyHeader? {
        let bytes = buffer.readableBytesView
        let start = Array(bytes.prefix(signature.count))
        if start.elementsEqual(signature.prefix(start.count)) {
            return start.count < signature.count ? nil : try readBinary(&buffer)
        }
        guard start.elementsEqual("PROXY ".utf8.prefix(start.count)) || start.starts(with: "PROXY ".utf8) else {
            throw Malformed()
        }
        return try readLine(&buffer)
    }

    private static func readLine(_ buffer: inout ByteBuffer) throws(Malformed) -> ProxyHeader? {
        let bytes = buffer.readableBytesView
        guard let end = bytes.prefix(maximumLine).firstIndex(of: UInt8(ascii: "\n")) else {
            guard bytes.count < maximumLine else { throw Malformed() }
            return nil
        }
        let length = end - bytes.startIndex + 1
        guard let line = buffer.readString(length: length), line.hasSuffix("\r\n") else { throw Malformed() }
        let words = line.dropLast().split(separator: " ", omittingEmptySubsequences: false)
        if words.count >= 2, words[1] == "UNKNOWN" { return ProxyHeader(client: nil) }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6",
            let address = IPAddress(String(words[2])), let port = UInt16(words[4])
        else { throw Malformed() }
        return ProxyHeader(client: Client(address: address, port: Int(port)))
    }

    private static func readBinary(_ buffer: inout ByteBuffer) throws(Malformed) -> ProxyHeader? {
        var header = buffer
        header.moveReaderIndex(forwardBy: signature.count)
        guard let (command, family, length) = header.readMultipleIntegers(as: (UInt8, UInt8, UInt16).self) else {
            return nil
        }
        guard command >> 4 == 2, command & 0x0f <= 1, length <= maximumRest else { throw Malformed() }
        guard var rest = header.readSlice(length: Int(length)) else { return nil }
        buffer = header
        let isLocal = command & 0x0f == 0
        let size = family >> 4 == 1 ? 4 : family >> 4 == 2 ? 16 : 0
        guard !isLocal, size > 0 else { return ProxyHeader(client: nil) }
        guard let source = rest.readBytes(length: size), rest.readBytes(length: size) != nil,
            let port = rest.readInteger(as: UInt16.self), let address = IPAddress(bytes: source)
        else { throw Malformed() }
        return ProxyHeader(client: Client(address: address, port: Int(port)))
    }
}
