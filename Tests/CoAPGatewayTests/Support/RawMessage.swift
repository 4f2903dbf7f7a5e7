/// A CoAP message as bytes, right or wrong: the tests' own idea of RFC 7252 §3.
struct RawMessage: CustomStringConvertible {
    enum Kind: UInt8 {
        case confirmable = 0
        case nonConfirmable
        case acknowledgement
        case reset
    }

    var kind: Kind
    var code: UInt8
    var messageID: UInt16
    var token: [UInt8] = []
    /// In ascending order of their numbers.
    var options: [(number: Int, value: [UInt8])] = []
    var payload: [UInt8] = []

    init(_ kind: Kind, _ code: UInt8, _ messageID: UInt16, token: [UInt8] = [], payload: String = "") {
        self.kind = kind
        self.code = code
        self.messageID = messageID
        self.token = token
        self.payload = Array(payload.utf8)
    }

    var bytes: [UInt8] {
        var bytes = [1 << 6 | kind.rawValue << 4 | UInt8(token.count), code]
        bytes += [UInt8(messageID >> 8), UInt8(messageID & 0xff)] + token
        var last = 0
        for (number, value) in options {
            let (delta, deltaBytes) = Self.extended(number - last)
            let (length, lengthBytes) = Self.extended(value.count)
            bytes.append(delta << 4 | length)
            bytes += deltaBytes + lengthBytes + value
            last = number
        }
        return payload.isEmpty ? bytes : bytes + [0xff] + payload
    }

    /// Reads a message that is known to be whole; nil when it is not one.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 4, bytes[0] >> 6 == 1, let kind = Kind(rawValue: bytes[0] >> 4 & 3) else { return nil }
        var rest = bytes.dropFirst(4)
        let tokenLength = Int(bytes[0] & 15)
        guard rest.count >= tokenLength else { return nil }
        self.init(kind, bytes[1], UInt16(bytes[2]) << 8 | UInt16(bytes[3]), token: Array(rest.prefix(tokenLength)))
        rest = rest.dropFirst(tokenLength)
        var number = 0
        while let head = rest.popFirst() {
            if head == 0xff {
                payload = Array(rest)
                return
            }
            guard let delta = Self.read(head >> 4, &rest), let length = Self.read(head & 15, &rest),
                rest.count >= length
            else { return nil }
            number += delta
            options.append((number, Array(rest.prefix(length))))
            rest = rest.dropFirst(length)
        }
    }

    private static func extended(_ value: Int) -> (UInt8, [UInt8]) {
        if value < 13 { return (UInt8(value), []) }
        if value < 269 { return (13, [UInt8(value - 13)]) }
        return (14, [UInt8((value - 269) >> 8), UInt8((value - 269) & 0xff)])
    }

    private static func read(_ nibble: UInt8, _ rest: inout ArraySlice<UInt8>) -> Int? {
        switch nibble {
        case 13: return rest.popFirst().map { Int($0) + 13 }
        case 14:
            guard let high = rest.popFirst(), let low = rest.popFirst() else { return nil }
            return (Int(high) << 8) + Int(low) + 269
        case 15: return nil
        default: return Int(nibble)
        }
    }

    // MARK: Reading

    /// The code as RFC 7252 writes it: `4.04`.
    var codeText: String { "\(code >> 5)." + (code & 31 < 10 ? "0" : "") + "\(code & 31)" }
    var text: String { String(decoding: payload, as: UTF8.self) }
    func option(_ number: Int) -> [UInt8]? { options.first { $0.number == number }?.value }
    func integer(_ number: Int) -> Int? { option(number).map { $0.reduce(0) { $0 << 8 | Int($1) } } }
    var observe: Int? { integer(6) }
    var locationPath: [String] { options.filter { $0.number == 8 }.map { String(decoding: $0.value, as: UTF8.self) } }
    var description: String { "\(kind) \(codeText) #\(messageID) \(token) \(options) \(text)" }

    // MARK: Building

    mutating func add(_ number: Int, _ value: [UInt8]) {
        let place = options.firstIndex { $0.number > number } ?? options.endIndex
        options.insert((number, value), at: place)
    }

    mutating func add(_ number: Int, integer: Int) {
        var value: [UInt8] = []
        var left = integer
        while left > 0 {
            value.insert(UInt8(left & 0xff), at: 0)
            left >>= 8
        }
        add(number, value)
    }

    func with(_ number: Int, integer: Int) -> RawMessage {
        var message = self
        message.add(number, integer: integer)
        return message
    }

    func with(_ number: Int, _ value: [UInt8]) -> RawMessage {
        var message = self
        message.add(number, value)
        return message
    }

    func block1(_ number: Int, more: Bool, exponent: Int) -> RawMessage {
        with(27, integer: number << 4 | (more ? 8 : 0) | exponent)
    }

    func block2(_ number: Int, exponent: Int) -> RawMessage { with(23, integer: number << 4 | exponent) }

    /// Puts `/ps/a/b?c=d` into options.
    func to(_ uri: String) -> RawMessage {
        var message = self
        let parts = uri.split(separator: "?", maxSplits: 1)
        for segment in parts[0].split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            message.add(11, Array(segment.utf8))
        }
        if parts.count > 1 {
            for argument in parts[1].split(separator: "&") { message.add(15, Array(argument.utf8)) }
        }
        return message
    }
}

enum Method {
    static let get: UInt8 = 1
    static let post: UInt8 = 2
    static let put: UInt8 = 3
    static let delete: UInt8 = 4
}
