/// Text of clients in a line of the log: nothing in it may end the line, move the cursor or turn the writing round.
extension String {
    /// With all that is no visible character as `\u{202e}`: Unicode's category C, which has control characters, directions
    /// of writing and what is not assigned, and the ends of lines and paragraphs.
    var visible: String {
        guard unicodeScalars.contains(where: \.isInvisible) else { return self }
        var text = ""
        for scalar in unicodeScalars {
            if scalar.isInvisible {
                text += scalar.escaped(asASCII: true)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    /// As the value of a field: in quotation marks where it would else be taken for several, or for what is escaped.
    var asField: String {
        let marks = [UInt8(ascii: " "), UInt8(ascii: "\""), UInt8(ascii: "="), UInt8(ascii: "\\")]
        guard isEmpty || utf8.contains(where: marks.contains) || unicodeScalars.contains(where: \.isInvisible) else {
            return self
        }
        return "\"" + replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").visible + "\""
    }

    /// A line of JSON, with what is not visible in it as JSON has it.
    var withVisibleJSON: String {
        guard unicodeScalars.contains(where: \.isInvisible) else { return self }
        var text = ""
        for scalar in unicodeScalars {
            guard scalar.isInvisible else {
                text.unicodeScalars.append(scalar)
                continue
            }
            for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
                let digits = String(unit, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return text
    }
}

extension Unicode.Scalar {
    fileprivate var isInvisible: Bool {
        if isASCII { return value < 0x20 || value == 0x7f }
        return switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
