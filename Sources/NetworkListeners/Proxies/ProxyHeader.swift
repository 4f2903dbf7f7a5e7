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

    /// Bytes of the address block of each family and transport that a version 2 header may name (§2.2), and of one address
    /// in it; 0 for those without a port.
    private static let blocks: [UInt8: (bytes: Int, address: Int)] = [
        0x00: (0, 0), 0x11: (12, 4), 0x12: (12, 4), 0x21: (36, 16), 0x22: (36, 16), 0x31: (216, 0), 0x32: (216, 0),
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
        guard let line = buffer.readBytes(length: length), line.suffix(2).elementsEqual("\r\n".utf8) else {
            throw Malformed()
        }
        let words = line.dropLast(2).split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        // What follows it is to be ignored (§2.1).
        if words.count >= 2, words[1].elementsEqual("UNKNOWN".utf8) { return ProxyHeader(client: nil) }
        guard words.count == 6, let isIPv6 = isIPv6(words[1]),
            let source = endpoint(words[2], words[4], isIPv6: isIPv6),
            endpoint(words[3], words[5], isIPv6: isIPv6) != nil
        else { throw Malformed() }
        return ProxyHeader(client: source)
    }

    /// Whether the addresses of the family that a version 1 header names are IPv6; nil when it is none.
    private static func isIPv6(_ family: ArraySlice<UInt8>) -> Bool? {
        if family.elementsEqual("TCP4".utf8) { return false }
        return family.elementsEqual("TCP6".utf8) ? true : nil
    }

    /// One end of the connection in text; a port has no leading zeros.
    private static func endpoint(_ address: ArraySlice<UInt8>, _ port: ArraySlice<UInt8>, isIPv6: Bool) -> Client? {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        // An IPv4 address that is written as IPv6 is an IPv4 one to us, but not here.
        guard address.contains(UInt8(ascii: ":")) == isIPv6, !address.contains(0), port.allSatisfy(digits.contains),
            port.count == 1 || port.first != digits.lowerBound,
            let number = UInt16(String(decoding: port, as: UTF8.self)),
            let address = IPAddress(String(decoding: address, as: UTF8.self))
        else { return nil }
        return Client(address: address, port: Int(number))
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
        // The proxy's own connection, such as a health check: what follows is to be ignored (§2.2).
        guard command & 0x0f == 1 else { return ProxyHeader(client: nil) }
        guard let needed = blocks[family], rest.readableBytes >= needed.bytes else { throw Malformed() }
        guard needed.address > 0 else { return ProxyHeader(client: nil) }
        guard let source = rest.readBytes(length: needed.address), rest.readBytes(length: needed.address) != nil,
            let port = rest.readInteger(as: UInt16.self), let address = IPAddress(bytes: source)
        else { throw Malformed() }
        return ProxyHeader(client: Client(address: address, port: Int(port)))
    }
}
