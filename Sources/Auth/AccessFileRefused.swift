/// A password file or access control file that can't be used, with everything that is wrong with it.
package struct AccessFileRefused: Error, Equatable, CustomStringConvertible {
    /// One line that is wrong.
    package struct Problem: Equatable, Sendable {
        /// Counted from 1.
        package let line: Int
        package let words: String
    }

    package let problems: [Problem]

    package var description: String { problems.map { "\($0.line): \($0.words)" }.joined(separator: "\n") }
}

extension String {
    /// The lines that say something, numbered from 1: neither empty nor a comment.
    ///
    /// - Parameter body: gives the words for what is wrong with a line; nil when nothing is.
    /// - Throws: what is wrong with all of them.
    func forEachAccessLine(_ body: (_ number: Int, _ line: Substring) -> String?) throws(AccessFileRefused) {
        var problems: [AccessFileRefused.Problem] = []
        // By Unicode scalars: to `Character`, CR LF is one and no line feed.
        let lines = unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        for (place, line) in lines.enumerated() {
            var line = Substring(line)
            while let last = line.unicodeScalars.last, last == "\r" || last == " " || last == "\t" {
                line.unicodeScalars.removeLast()
            }
            guard let first = line.unicodeScalars.first, first != "#" else { continue }
            if let words = body(place + 1, line) { problems.append(.init(line: place + 1, words: words)) }
        }
        guard problems.isEmpty else { throw AccessFileRefused(problems: problems) }
    }
}
