package import NIOCore

extension ByteBuffer {
    /// A JSON string (RFC 8259 §7).
    package mutating func writeJSON(_ text: String) { writeJSON(text.utf8Span.span.bytes) }

    /// A JSON string of UTF-8.
    mutating func writeJSON(_ text: RawSpan) {
        text.withUnsafeBytes { writeJSON($0) }
    }

    /// A JSON string of UTF-8.
    mutating func writeJSON(_ text: UnsafeRawBufferPointer) {
        let extra = JSONEscape.extraBytes(of: text)
        let count = text.count + extra + 2
        writeWithUnsafeMutableBytes(minimumWritableBytes: count) { output in
            output[0] = UInt8(ascii: "\"")
            let inner = UnsafeMutableRawBufferPointer(rebasing: output[1..<count - 1])
            if extra == 0 { inner.copyMemory(from: text) } else { JSONEscape.write(text, to: inner) }
            output[count - 1] = UInt8(ascii: "\"")
            return count
        }
    }
}

/// What stands in a JSON string for a byte that can't stand there itself: controls, `"` and `\`.
private enum JSONEscape {
    @inline(__always)
    private static func isEscaped(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    /// The letter behind the backslash; nil where four hexadecimal digits are needed.
    private static func letter(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): byte
        case 0x08: UInt8(ascii: "b")
        case 0x09: UInt8(ascii: "t")
        case 0x0a: UInt8(ascii: "n")
        case 0x0c: UInt8(ascii: "f")
        case 0x0d: UInt8(ascii: "r")
        default: nil
        }
    }

    /// How many bytes more than the text has.
    static func extraBytes(of text: UnsafeRawBufferPointer) -> Int {
        var extra = 0
        for byte in text where isEscaped(byte) { extra += letter(byte) == nil ? 5 : 1 }
        return extra
    }

    /// - Parameter output: has room for the text and its extra bytes.
    static func write(_ text: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer) {
        var end = 0
        func put(_ byte: UInt8) {
            output[end] = byte
            end += 1
        }
        for byte in text {
            guard isEscaped(byte) else {
                put(byte)
                continue
            }
            put(UInt8(ascii: "\\"))
            if let letter = letter(byte) {
                put(letter)
            } else {
                for digit in [UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0"), hexadecimal(byte >> 4)] {
                    put(digit)
                }
                put(hexadecimal(byte & 0xF))
            }
        }
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8 {
        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
    }
}
