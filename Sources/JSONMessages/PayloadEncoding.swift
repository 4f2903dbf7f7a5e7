/// How bytes are a string.
package enum PayloadEncoding: String, CaseIterable, Sendable {
    /// They are its UTF-8.
    case plain
    case base64
}
