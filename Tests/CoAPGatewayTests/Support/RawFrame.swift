/// The codes of messages about a connection (RFC 8323 §5.1).
enum SignalCode {
    static let csm: UInt8 = 0xe1
    static let ping: UInt8 = 0xe2
    static let pong: UInt8 = 0xe3
    static let release: UInt8 = 0xe4
    static let abort: UInt8 = 0xe5
}

/// Messages as connections carry them: the tests' own idea of RFC 8323 §3.2.
extension RawMessage {
    /// Its bytes on a connection.
    var frame: [UInt8] {
        let body = bytes.dropFirst(4 + token.count)
        let length: (UInt8, [UInt8]) =
            switch body.count {
            case 0..<13: (UInt8(body.count), [])
            case 13..<269: (13, [UInt8(body.count - 13)])
            case 269..<65_805: (14, [UInt8((body.count - 269) >> 8), UInt8((body.count - 269) & 0xff)])
            default: (15, withUnsafeBytes(of: UInt32(body.count - 65_805).bigEndian) { [UInt8]($0) })
            }
        return [length.0 << 4 | UInt8(token.count)] + length.1 + [code] + token + body
    }

    /// The message at the beginning of what has come, and its length; nil while it is not whole.
    static func first(in stream: [UInt8]) -> (RawMessage, length: Int)? {
        guard let first = stream.first else { return nil }
        let extended = [13: 1, 14: 2, 15: 4][Int(first >> 4)] ?? 0
        guard stream.count >= 2 + extended else { return nil }
        let base = [13: 13, 14: 269, 15: 65_805][Int(first >> 4)] ?? Int(first >> 4)
        let length = stream[1..<1 + extended].reduce(0) { $0 << 8 | Int($1) } + base
        let tokenLength = first & 15
        let whole = 2 + extended + Int(tokenLength) + length
        guard stream.count >= whole else { return nil }
        // As a datagram would have it.
        return RawMessage([0x40 | tokenLength, stream[1 + extended], 0, 0] + stream[(2 + extended)..<whole])
            .map { ($0, whole) }
    }
}
