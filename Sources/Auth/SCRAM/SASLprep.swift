import Foundation

/// Prepares user names and passwords so that different ways to type one are the same bytes (RFC 4013).
enum SASLprep {
    /// - Returns: nil when the text has characters that are prohibited; it is then used as it is.
    static func prepare(_ text: String) -> String? {
        if text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) { return text }
        var mapped = String.UnicodeScalarView()
        for scalar in text.unicodeScalars where !isMappedToNothing(scalar) {
            mapped.append(scalar.properties.generalCategory == .spaceSeparator ? " " : scalar)
        }
        let normalized = String(mapped).precomposedStringWithCompatibilityMapping
        guard !normalized.unicodeScalars.contains(where: isProhibited), isOfOneDirection(normalized) else { return nil }
        return normalized
    }

    /// RFC 3454 table B.1.
    private static func isMappedToNothing(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0xad, 0x34f, 0x1806, 0x180b...0x180d, 0x200b...0x200d, 0x2060, 0xfe00...0xfe0f, 0xfeff: true
        default: false
        }
    }

    /// RFC 4013 §2.3: controls, private use, no characters, surrogates, what is not for plain text or changes display,
    /// tags.
    private static func isProhibited(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .privateUse, .surrogate, .unassigned, .lineSeparator, .paragraphSeparator: true
        case .format: true
        default:
            scalar.properties.isNoncharacterCodePoint || (0xfff9...0xfffd).contains(scalar.value)
                || (0x2ff0...0x2ffb).contains(scalar.value) || scalar.value == 0x340 || scalar.value == 0x341
        }
    }

    /// RFC 3454 §6, by the blocks of the scripts that are written from right to left.
    private static func isOfOneDirection(_ text: String) -> Bool {
        let scalars = text.unicodeScalars
        guard scalars.contains(where: isRightToLeft) else { return true }
        guard let first = scalars.first, let last = scalars.last, isRightToLeft(first), isRightToLeft(last) else {
            return false
        }
        return !scalars.contains { $0.properties.isAlphabetic && !isRightToLeft($0) && !isMark($0) }
    }

    private static func isRightToLeft(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x5be, 0x5c0, 0x5c3, 0x5d0...0x5f4, 0x61b...0x64a, 0x66d...0x66f, 0x671...0x6d5, 0x6dd, 0x6e5...0x6e6,
            0x6fa...0x710, 0x712...0x72c, 0x780...0x7a5, 0x7b1, 0xfb1d, 0xfb1f...0xfb28, 0xfb2a...0xfd3d,
            0xfd50...0xfdfc, 0xfe70...0xfefc:
            true
        default: false
        }
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .nonspacingMark
    }
}
