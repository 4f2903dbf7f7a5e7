import JSONMessages
import NIOCore

/// The bytes of a JSON text that a decoder has found to be one, to take values out of it as they were written: a decoder
/// forgets the order of members and how numbers were spelled.
///
/// Used by one thread at a time, while the text is decoded.
final class JSONText: @unchecked Sendable {
    // Sendable because a decoder's userInfo takes nothing else; the thread that decodes makes it, uses it and lets it go.

    private let bytes: ByteBufferView
    /// Of a text that is a list, the places of its values; found when the first one is asked for.
    private lazy var elements: [Range<Int>] = members(of: bytes.startIndex..<bytes.endIndex).map(\.value)

    init(_ text: ByteBuffer) { bytes = text.readableBytesView }

    /// The value of a member, as it was written.
    ///
    /// - Parameters:
    ///   - place: of the object in the text, which is a list; nil when the text is the object.
    ///   - path: names from the object down to the member.
    func value(in place: Int?, at path: [String]) -> ByteBuffer? {
        var range = bytes.startIndex..<bytes.endIndex
        if let place {
            guard elements.indices.contains(place) else { return nil }
            range = elements[place]
        }
        for name in path {
            guard let member = members(of: range).last(where: { isName(bytes[$0.name], name) }) else { return nil }
            range = member.value
        }
        guard hasSoundNumbers(bytes[range]) else { return nil }
        return ByteBuffer(bytes[range])
    }

    /// Decoders look at numbers when they are asked for one: whether those of a value are numbers (RFC 8259 §6).
    private func hasSoundNumbers(_ value: ByteBufferView) -> Bool {
        var place = value.startIndex
        while place < value.endIndex {
            switch value[place] {
            case UInt8(ascii: "\""): place = skipString(place)
            case UInt8(ascii: "-"), 0x30...0x39:
                let number = value[place...].prefix { "+-.0123456789Ee".utf8.contains($0) }
                guard Self.isNumber(number) else { return false }
                place = number.endIndex
            default: place += 1
            }
        }
        return true
    }

    private static func isNumber(_ text: ByteBufferView) -> Bool {
        var rest = text
        func digits() -> Int {
            let digits = rest.prefix { (0x30...0x39).contains($0) }
            rest = rest[digits.endIndex...]
            return digits.count
        }
        func take(_ letters: String) -> Bool {
            guard let first = rest.first, letters.utf8.contains(first) else { return false }
            rest = rest.dropFirst()
            return true
        }
        _ = take("-")
        let isZero = rest.first == UInt8(ascii: "0")
        let count = digits()
        guard count > 0, !isZero || count == 1 else { return false }
        if take("."), digits() == 0 { return false }
        if take("Ee") {
            _ = take("+-")
            guard digits() > 0 else { return false }
        }
        return rest.isEmpty
    }

    /// Names are written with escapes by hardly anybody.
    private func isName(_ raw: ByteBufferView, _ name: String) -> Bool {
        guard raw.contains(UInt8(ascii: "\\")) else { return raw.dropFirst().dropLast().elementsEqual(name.utf8) }
        return (try? JSON.decode(String.self, from: ByteBuffer(raw)))?.utf8.elementsEqual(name.utf8) ?? false
    }

    /// The members of an object, or the values of a list, whose names are empty.
    private func members(of range: Range<Int>) -> [(name: Range<Int>, value: Range<Int>)] {
        var found: [(name: Range<Int>, value: Range<Int>)] = []
        var place = skipSpace(range.lowerBound)
        guard place < range.upperBound else { return [] }
        let isObject = bytes[place] == UInt8(ascii: "{")
        place = skipSpace(place + 1)
        while place < range.upperBound, bytes[place] != UInt8(ascii: "}"), bytes[place] != UInt8(ascii: "]") {
            var name = place..<place
            if isObject {
                name = place..<skipValue(place)
                place = skipSpace(skipSpace(name.upperBound) + 1)
            }
            let end = skipValue(place)
            guard end > place else { return found }
            found.append((name, place..<end))
            place = skipSpace(end)
            if place < range.upperBound, bytes[place] == UInt8(ascii: ",") { place = skipSpace(place + 1) }
        }
        return found
    }

    private func skipSpace(_ start: Int) -> Int {
        var place = start
        while place < bytes.endIndex, bytes[place] <= 0x20 { place += 1 }
        return place
    }

    /// The end of the value that begins at a place.
    private func skipValue(_ start: Int) -> Int {
        var place = start
        var depth = 0
        while place < bytes.endIndex {
            switch bytes[place] {
            case UInt8(ascii: "\""): place = skipString(place)
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                place += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { return place }
                depth -= 1
                place += 1
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0...0x20:
                guard depth > 0 else { return place }
                place += 1
                continue
            default:
                place += 1
                continue
            }
            if depth == 0 { return place }
        }
        return place
    }

    private func skipString(_ start: Int) -> Int {
        var place = start + 1
        while place < bytes.endIndex, bytes[place] != UInt8(ascii: "\"") {
            place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(place + 1, bytes.endIndex)
    }
}
