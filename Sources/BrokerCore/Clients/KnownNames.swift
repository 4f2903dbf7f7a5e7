/// The names that are valid somewhere, such as the parameters of a query; any other name is reported as a typing
/// error.
package struct KnownNames: Sendable, Equatable, ExpressibleByArrayLiteral {
    package private(set) var names: [String]

    /// Bytes of the longest name that is compared with valid names: longer ones are not typing errors.
    private static let longest = 64

    package init(arrayLiteral names: String...) { self.names = names }

    package init(_ names: some Sequence<String>) { self.names = Array(names) }

    package func contains(_ name: String) -> Bool { names.contains { $0.utf8.elementsEqual(name.utf8) } }

    package mutating func insert(_ name: String) { if !contains(name) { names.append(name) } }

    package static func + (left: KnownNames, right: KnownNames) -> KnownNames { KnownNames(left.names + right.names) }

    /// The hint for an unknown name: the nearest valid name, or all valid names.
    package func hint(for name: String) -> String {
        if let nearest = nearest(to: name) { return "did you mean \(nearest)?" }
        return names.isEmpty ? "there are none" : "known are \(names.sorted().joined(separator: ", "))"
    }

    /// The valid name that was probably meant; nil when none is near.
    package func nearest(to name: String) -> String? {
        guard name.utf8.count <= Self.longest else { return nil }
        let distances = names.map { (name: $0, distance: name.distance(to: $0)) }
        guard let nearest = distances.min(by: { $0.distance < $1.distance }),
            nearest.distance <= max(2, name.count / 3), nearest.distance < name.count
        else { return nil }
        return nearest.name
    }
}

extension String {
    /// The number of letters to insert, remove or exchange to turn one name into the other.
    fileprivate func distance(to other: String) -> Int {
        let other = Array(other)
        var row = Array(0...other.count)
        for (line, letter) in enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for (column, otherLetter) in other.enumerated() {
                let above = row[column + 1]
                row[column + 1] = Swift.min(above + 1, row[column] + 1, diagonal + (letter == otherLetter ? 0 : 1))
                diagonal = above
            }
        }
        return row[other.count]
    }
}
