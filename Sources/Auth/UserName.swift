/// A user's name as a key: the same only byte for byte.
///
/// `String` takes canonically equivalent characters for the same, which would give one user the rights of another.
struct UserName: Hashable, Sendable {
    private let string: String

    init(_ string: some StringProtocol) { self.string = String(string) }

    static func == (left: UserName, right: UserName) -> Bool { left.string.utf8.elementsEqual(right.string.utf8) }

    func hash(into hasher: inout Hasher) {
        string.utf8Span.span.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}
