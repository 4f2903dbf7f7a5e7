import Synchronization

/// How far deliveries of persistent sessions were taken for read without a word from their clients.
///
/// A client that says it has less has lost something, and is told.
final class TakenForRead: Sendable {
    /// Sessions remembered; beyond, any one of them is forgotten.
    private static let maximum = 65_536

    private let sequences: Mutex<[String: UInt64]> = Mutex([:])

    /// Everything up to a place in the session's order counts as read.
    func note(_ epoch: String, through sequence: UInt64) {
        sequences.withLock { sequences in
            if sequences.count >= Self.maximum, sequences[epoch] == nil, let other = sequences.keys.first {
                sequences[other] = nil
            }
            sequences[epoch] = sequence
        }
    }

    /// Whether some of what came after a place in the session's order can't be had again.
    func includes(_ epoch: String, after sequence: UInt64) -> Bool {
        sequences.withLock { sequences in sequences[epoch].map { $0 > sequence } ?? false }
    }
}
