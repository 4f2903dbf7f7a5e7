package import HTTPTypes

extension HTTPField.Name {
    /// Made once, since making one is work; HTTPTypes has no constant for it.
    package static let forwardedFor = HTTPField.Name("X-Forwarded-For")
}

extension HTTPFields {
    /// All values of a field, each line by itself.
    package func values(of name: HTTPField.Name?) -> [String] {
        guard let name, contains(name) else { return [] }
        return self[fields: name].map(\.value)
    }
}
