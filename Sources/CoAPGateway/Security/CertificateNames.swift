/// The names in an X.509 certificate that a client may be known by (RFC 5280); sans I/O.
///
/// Reads only as far as the names; that the certificate is a good one, others have found out.
package struct CertificateNames: Equatable, Sendable {
    /// The first Common Name of the subject.
    package private(set) var commonName: String?
    /// The first DNS name or, when there is none, URI of the Subject Alternative Name.
    package private(set) var subjectAlternativeName: String?

    private static let commonNameOID: [UInt8] = [0x55, 0x04, 0x03]
    private static let subjectAlternativeNameOID: [UInt8] = [0x55, 0x1d, 0x11]

    /// Reads a certificate in DER; nil when it is none.
    package init?(_ certificate: [UInt8]) {
        var outer = DERReader(certificate[...])
        guard let whole = outer.read(.sequence) else { return nil }
        var inner = DERReader(whole)
        guard let fields = inner.read(.sequence) else { return nil }
        var reader = DERReader(fields)
        // version [0], serialNumber, signature, issuer, validity
        _ = reader.read(.contextConstructed(0))
        guard reader.read(.integer) != nil, reader.read(.sequence) != nil, reader.read(.sequence) != nil,
            reader.read(.sequence) != nil, let subject = reader.read(.sequence),
            reader.read(.sequence) != nil
        else { return nil }
        commonName = Self.commonName(of: subject)
        _ = reader.read(.contextPrimitive(1))
        _ = reader.read(.contextPrimitive(2))
        if let extensions = reader.read(.contextConstructed(3)) {
            subjectAlternativeName = Self.alternativeName(in: extensions)
        }
    }

    private static func commonName(of subject: ArraySlice<UInt8>) -> String? {
        var sets = DERReader(subject)
        while let set = sets.read(.set) {
            var attributes = DERReader(set)
            while let attribute = attributes.read(.sequence) {
                var reader = DERReader(attribute)
                guard let oid = reader.read(.objectIdentifier) else { return nil }
                guard oid.elementsEqual(commonNameOID) else { continue }
                guard let value = reader.readAny(),
                    [.utf8String, .printableString, .ia5String].contains(value.tag)
                else { return nil }
                return text(value.bytes)
            }
        }
        return nil
    }

    private static func alternativeName(in extensions: ArraySlice<UInt8>) -> String? {
        var outer = DERReader(extensions)
        guard let list = outer.read(.sequence) else { return nil }
        var entries = DERReader(list)
        while let entry = entries.read(.sequence) {
            var reader = DERReader(entry)
            guard let oid = reader.read(.objectIdentifier) else { return nil }
            _ = reader.read(.boolean)
            guard oid.elementsEqual(subjectAlternativeNameOID), let value = reader.read(.octetString) else { continue }
            var wrapper = DERReader(value)
            guard let names = wrapper.read(.sequence) else { return nil }
            return first(2, in: names) ?? first(6, in: names)
        }
        return nil
    }

    /// The first of the GeneralNames with that tag: 2 is dNSName, 6 uniformResourceIdentifier (RFC 5280 §4.2.1.6).
    private static func first(_ number: UInt8, in names: ArraySlice<UInt8>) -> String? {
        var reader = DERReader(names)
        while let name = reader.readAny() {
            if name.tag == .contextPrimitive(number) { return text(name.bytes) }
        }
        return nil
    }

    /// Nil for what can't be a user name.
    private static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        guard !bytes.isEmpty, !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// Reads values of the Distinguished Encoding Rules one after the other (X.690).
struct DERReader {
    struct Tag: Equatable {
        let rawValue: UInt8

        static let boolean = Tag(rawValue: 0x01)
        static let integer = Tag(rawValue: 0x02)
        static let octetString = Tag(rawValue: 0x04)
        static let objectIdentifier = Tag(rawValue: 0x06)
        static let utf8String = Tag(rawValue: 0x0c)
        static let printableString = Tag(rawValue: 0x13)
        static let ia5String = Tag(rawValue: 0x16)
        static let sequence = Tag(rawValue: 0x30)
        static let set = Tag(rawValue: 0x31)
        static func contextPrimitive(_ number: UInt8) -> Tag { Tag(rawValue: 0x80 | number) }
        static func contextConstructed(_ number: UInt8) -> Tag { Tag(rawValue: 0xa0 | number) }
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    /// The next value's contents if it has that tag; else nothing is read.
    mutating func read(_ tag: Tag) -> ArraySlice<UInt8>? {
        guard rest.first == tag.rawValue else { return nil }
        return readAny()?.bytes
    }

    /// The next value; nil at the end, and for what is no value.
    mutating func readAny() -> (tag: Tag, bytes: ArraySlice<UInt8>)? {
        guard rest.count >= 2 else { return nil }
        let tag = Tag(rawValue: rest[rest.startIndex])
        var length = Int(rest[rest.startIndex + 1])
        var contents = rest.dropFirst(2)
        if length >= 0x80 {
            let count = length & 0x7f
            guard (1...3).contains(count), contents.count >= count else { return nil }
            length = contents.prefix(count).reduce(0) { $0 << 8 | Int($1) }
            contents = contents.dropFirst(count)
        }
        guard contents.count >= length else { return nil }
        rest = contents.dropFirst(length)
        return (tag, contents.prefix(length))
    }
}
