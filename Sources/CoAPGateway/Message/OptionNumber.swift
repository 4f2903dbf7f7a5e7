/// Option numbers (RFC 7252 §12.2, RFC 7641, RFC 7959, RFC 7967, RFC 8768, RFC 9175).
package enum OptionNumber {
    static let ifMatch: UInt16 = 1
    static let uriHost: UInt16 = 3
    static let eTag: UInt16 = 4
    static let ifNoneMatch: UInt16 = 5
    static let observe: UInt16 = 6
    static let uriPort: UInt16 = 7
    static let locationPath: UInt16 = 8
    static let uriPath: UInt16 = 11
    static let contentFormat: UInt16 = 12
    static let maxAge: UInt16 = 14
    static let uriQuery: UInt16 = 15
    static let hopLimit: UInt16 = 16
    static let accept: UInt16 = 17
    static let locationQuery: UInt16 = 20
    static let block2: UInt16 = 23
    static let block1: UInt16 = 27
    static let size2: UInt16 = 28
    static let proxyURI: UInt16 = 35
    static let proxyScheme: UInt16 = 39
    static let size1: UInt16 = 60
    static let echo: UInt16 = 252
    static let noResponse: UInt16 = 258
    static let requestTag: UInt16 = 292

    /// Whether a message with that option must be refused by who does not know it (RFC 7252 §5.4.6).
    package static func isCritical(_ number: UInt16) -> Bool { number & 1 == 1 }
}

/// What an option may be like (RFC 7252 §5.10, table 4).
struct OptionDefinition: Sendable {
    /// Bytes of its value.
    let lengths: ClosedRange<Int>
    /// Whether a message may have several.
    let isRepeatable: Bool

    /// Of the options that are known here; nil for others.
    static func of(_ number: UInt16) -> OptionDefinition? {
        switch number {
        case OptionNumber.ifMatch: OptionDefinition(lengths: 0...8, isRepeatable: true)
        case OptionNumber.uriHost: OptionDefinition(lengths: 1...255, isRepeatable: false)
        case OptionNumber.eTag: OptionDefinition(lengths: 1...8, isRepeatable: true)
        case OptionNumber.ifNoneMatch: OptionDefinition(lengths: 0...0, isRepeatable: false)
        case OptionNumber.observe, OptionNumber.block1, OptionNumber.block2:
            OptionDefinition(lengths: 0...3, isRepeatable: false)
        case OptionNumber.uriPort, OptionNumber.contentFormat, OptionNumber.accept:
            OptionDefinition(lengths: 0...2, isRepeatable: false)
        case OptionNumber.locationPath, OptionNumber.uriPath, OptionNumber.uriQuery, OptionNumber.locationQuery:
            OptionDefinition(lengths: 0...255, isRepeatable: true)
        case OptionNumber.maxAge, OptionNumber.size1, OptionNumber.size2:
            OptionDefinition(lengths: 0...4, isRepeatable: false)
        case OptionNumber.hopLimit: OptionDefinition(lengths: 1...1, isRepeatable: false)
        case OptionNumber.proxyURI: OptionDefinition(lengths: 1...1_034, isRepeatable: false)
        case OptionNumber.proxyScheme: OptionDefinition(lengths: 1...255, isRepeatable: false)
        case OptionNumber.echo: OptionDefinition(lengths: 1...40, isRepeatable: false)
        case OptionNumber.noResponse: OptionDefinition(lengths: 0...1, isRepeatable: false)
        case OptionNumber.requestTag: OptionDefinition(lengths: 0...8, isRepeatable: true)
        default: nil
        }
    }
}
