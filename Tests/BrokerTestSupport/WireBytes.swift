package import NIOCore

/// Bytes as a test writes them down, for packets that no encoder of ours would make.
///
/// Words, separated by white space:
/// - `1f003c` is bytes in hexadecimal;
/// - `'text'` is the text's UTF-8;
/// - `"text"` is the text with its two bytes of length before it;
/// - `{ … }` is a property list with its length before it;
/// - `*` is the length of all that follows, as a Remaining Length.
///
/// Text holds no white space. A word that is none of these stops the test run: the table is wrong.
package func wire(_ words: String) -> ByteBuffer {
    var words = words.split(whereSeparator: \.isWhitespace)[...]
    return parse(&words)
}

/// The same as an array.
package func wireBytes(_ words: String) -> [UInt8] { Array(wire(words).readableBytesView) }

private func parse(_ words: inout ArraySlice<Substring>) -> ByteBuffer {
    var bytes = ByteBuffer()
    while let word = words.popFirst() {
        switch word.first {
        case "*":
            var rest = parse(&words)
            bytes.writeLength(rest.readableBytes)
            bytes.writeBuffer(&rest)
        case "{":
            var list = word == "{}" ? ByteBuffer() : parse(&words)
            bytes.writeLength(list.readableBytes)
            bytes.writeBuffer(&list)
        case "}": return bytes
        case "'": bytes.writeString(String(word.dropFirst().dropLast()))
        case "\"":
            let text = String(word.dropFirst().dropLast())
            bytes.writeInteger(UInt16(text.utf8.count))
            bytes.writeString(text)
        default: bytes.writeHexadecimal(word)
        }
    }
    return bytes
}

extension ByteBuffer {
    fileprivate mutating func writeLength(_ length: Int) {
        var left = length
        repeat {
            let low = UInt8(left & 0x7f)
            left >>= 7
            writeInteger(left > 0 ? low | 0x80 : low)
        } while left > 0
    }

    fileprivate mutating func writeHexadecimal(_ word: Substring) {
        var digits = word[...]
        while !digits.isEmpty {
            guard digits.count > 1, let byte = UInt8(digits.prefix(2), radix: 16) else {
                preconditionFailure("not bytes in hexadecimal: \(word)")
            }
            writeInteger(byte)
            digits = digits.dropFirst(2)
        }
    }
}
