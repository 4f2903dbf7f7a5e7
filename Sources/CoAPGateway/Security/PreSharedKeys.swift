/// The keys of devices by identity, for DTLS and TLS with pre-shared keys (RFC 4279, RFC 7252 §9.1.3.1): the bytes of the
/// identity, UTF-8, and keys of 1 to 64 bytes.
///
/// Sessions whose key is another one after a replacement are ended.
package typealias PreSharedKeys = Replaceable<[[UInt8]: [UInt8]]>

extension PreSharedKeys {
    /// The key of an identity; nil when it is not known.
    func key(of identity: [UInt8]) -> [UInt8]? { withValue { $0[identity] } }
}
