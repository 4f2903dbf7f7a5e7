package import BrokerCore
import MQTTCodec

/// Names one delivery of one session: `<epoch>.<sequence>`.
///
/// The epoch is another one for each session, and lasts as long as the session does; the sequence ascends within it.
package struct EventID: Sendable, Equatable, CustomStringConvertible {
    package let epoch: String
    package let sequence: UInt64

    package init(epoch: String, sequence: UInt64) {
        self.epoch = epoch
        self.sequence = sequence
    }

    /// - Returns: nil for what is none.
    package init?(_ text: String) {
        guard let (epoch, number) = text.partedLast(at: UInt8(ascii: ".")), !epoch.isEmpty,
            let sequence = UInt64(number)
        else { return nil }
        self.init(epoch: String(epoch), sequence: sequence)
    }

    package var description: String { "\(epoch).\(sequence)" }

    /// The epoch of a session.
    ///
    /// A broker with a store numbers its sessions above all numbers that an earlier process gave, from microseconds since
    /// 1970 on, and a stored session keeps its number: that is an epoch which outlives the process. Without a store the
    /// numbers begin anew with each process, and so do the epochs.
    package static func epoch(of session: SessionNumber) -> String { epoch(of: session, process: process) }

    /// - Parameter process: a name that no other process has.
    package static func epoch(of session: SessionNumber, process: String) -> String {
        let number = String(session.rawValue, radix: 36)
        return session.rawValue < firstLasting ? "\(process)-\(number)" : number
    }

    /// Two weeks of microseconds: more sessions than a process without a store can have had, long before any epoch.
    private static let firstLasting: UInt64 = 1 << 40

    private static let process = String(Token.random().prefix(12))
}
