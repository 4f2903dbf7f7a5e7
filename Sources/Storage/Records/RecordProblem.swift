/// Why a record can't be used.
enum RecordProblem: Error, Equatable, CustomStringConvertible {
    /// In words.
    case damaged(String)
    /// A version that this build does not know, which knows those up to another one.
    case newer(version: UInt8, latest: UInt8)

    var description: String {
        switch self {
        case .damaged(let words): words
        case .newer(let version, _): "record version \(version), written by a newer Sluice"
        }
    }
}
