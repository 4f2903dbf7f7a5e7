package import BrokerCore

/// Names one delivery of one session: `<epoch>.<sequence>`.
///
/// The epoch is another one for each session, and for each run of the process; the sequence ascends within it.
package struct EventID: Sendable, Equatable, CustomStringConvertible {
    package let epoch: String
    package let sequence: UInt64

    package init(epoch: String, sequence: UInt64) {
        self.epoch = epoch
        self.sequence = sequence
    }

    /// - Returns: nil for what is none.
    package init?(_ text: String) {
        guard let dot = text.lastIndex(of: "."), dot != text.startIndex,
            let sequence = UInt64(text[text.index(after: dot)...])
        else { return nil }
        self.init(epoch: String(text[..<dot]), sequence: sequence)
    }

    package var description: String { "\(epoch).\(sequence)" }

    /// The epoch of a session.
    package static func epoch(of session: SessionNumber) -> String { "\(process)-\(session.rawValue)" }

    private static let process = String(Token.random().prefix(12))
}
