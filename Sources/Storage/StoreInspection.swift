package import BrokerCore
import MQTTCodec
import NIOCore

/// What is in a store: counted for people, and read to the last byte if they want to know what is damaged.
package struct StoreInspection: Sendable {
    /// One session, and what waits for it.
    package struct Session: Sendable {
        package let name: SessionName
        /// nil is anonymous.
        package let userName: String?
        /// When it ends, milliseconds since 1970; nil is never, or not before its client has left.
        package let endsAt: Int64?
        /// Whether its client was connected when it was written last.
        package let wasConnected: Bool
        package let hasWill: Bool
        package fileprivate(set) var subscriptions = 0
        package fileprivate(set) var messages = 0
        /// Bytes they take in memory.
        package fileprivate(set) var bytes = 0

        fileprivate init(_ record: SessionRecord, _ clock: ClockReading) {
            name = record.name
            userName = record.userName
            hasWill = record.will != nil
            // A client that has left leaves an end behind, unless there is none.
            wasConnected = record.expiresAt == .distantFuture && record.expiryInterval != .max
            endsAt = record.expiresAt == .distantFuture ? nil : Int64(clamping: clock.stored(record.expiresAt))
        }
    }

    /// One record that can't be used.
    package struct Problem: Sendable {
        /// What it is, and what is wrong with it.
        package let words: String
        /// Removing it is the way to go on without it; nil when it is not damaged but newer, or there is no such way.
        fileprivate let key: [UInt8]?
    }

    package private(set) var sessions = 0
    package private(set) var subscriptions = 0
    /// QoS 2 Packet Identifiers received and not yet released.
    package private(set) var received = 0
    package private(set) var retained = 0
    /// Bytes of topics and payloads.
    package private(set) var retainedBytes = 0
    package private(set) var messages = 0
    /// Bytes of topics and payloads, each message once.
    package private(set) var messageBytes = 0
    /// Deliveries of the messages that are still due.
    package private(set) var deliveries = 0
    /// What is wrong, in the order of keys.
    package private(set) var problems: [Problem] = []
    /// nil when the store is not on a disk.
    package let bytesOnDisk: Int?

    private var found: [SessionNumber: Session] = [:]
    private let clock: ClockReading
    private var assembly = MessageAssembly()

    /// Reads a store.
    ///
    /// - Parameter everything: reads contents, too, and looks for records that nothing should have written.
    /// - Throws: when it is another program's, or of a newer format.
    package init(
        of store: any KeyValueStore,
        everything: Bool,
        clock: ClockReading = .current()
    ) throws(StoreRefused) {
        bytesOnDisk = store.bytesOnDisk
        self.clock = clock
        do throws(StoreFailure) {
            guard try StoreFormat.check(store) != nil else { return }
        } catch {
            throw StoreRefused(error.description)
        }
        for kind in [RecordKind.session, .subscription, .received, .retained, .message] {
            scan(store, kind.prefix) { inspection, key, value throws(RecordProblem) in
                let record = try Record(kind, key: key, value: value, clock)
                if everything, case .message = record { try Record.checkContents(value, clock) }
                try inspection.take(record)
            }
        }
        finishMessage()
        if everything { findUnknown(in: store) }
    }

    /// All sessions, in the order of their Client Identifiers.
    package var allSessions: [Session] {
        found.values.sorted { RecordKey.session($0.name).lexicographicallyPrecedes(RecordKey.session($1.name)) }
    }

    /// Those with the longest queues, the longest first.
    package func longestQueues(_ count: Int) -> [Session] {
        let waiting = found.values.filter { $0.messages > 0 }
        return Array(waiting.sorted { ($1.messages, $0.name.string) < ($0.messages, $1.name.string) }.prefix(count))
    }

    /// Removes the damaged records that were found.
    ///
    /// - Returns: how many.
    package func removeDamaged(from store: any KeyValueStore) throws(StoreFailure) -> Int {
        let batch = KeyValueBatch()
        for case let key? in problems.map(\.key) { batch.remove(key) }
        if !batch.isEmpty { try store.write(batch, synced: true) }
        return batch.count
    }

    private mutating func scan(
        _ store: any KeyValueStore,
        _ prefix: [UInt8],
        _ take: (
            inout StoreInspection, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
        ) throws(RecordProblem) -> Void
    ) {
        do throws(StoreFailure) {
            try store.scan(prefix: prefix) { key, value in
                do throws(RecordProblem) {
                    try take(&self, key, value)
                } catch {
                    let isDamaged = if case .damaged = error { true } else { false }
                    problems.append(
                        Problem(words: "\(describe(key)): \(error)", key: isDamaged ? Array(key) : nil)
                    )
                }
                return true
            }
        } catch {
            let place = "\(store.name): "
            let words = error.description
            problems.append(
                Problem(
                    words: words.utf8.starts(with: place.utf8)
                        ? String(Substring(words.utf8.dropFirst(place.utf8.count))) : words,
                    key: nil
                )
            )
        }
    }

    private mutating func take(_ record: Record) throws(RecordProblem) {
        switch record {
        case .session(let session):
            sessions += 1
            found[session.number] = Session(session, clock)
        case .subscription(_, let session):
            subscriptions += 1
            found[session]?.subscriptions += 1
        case .received: received += 1
        case .retained(let message):
            retained += 1
            retainedBytes += message.cost
        case .message(let message):
            finishMessage()
            assembly.begin(message)
            messages += 1
            messageBytes += message.cost
        case .delivery(let place, let state): try assembly.take(state, of: place)
        }
    }

    private mutating func finishMessage() {
        guard let message = assembly.whole({ found[$0] != nil }) else { return }
        for destination in message.destinations where destination.state != .done {
            deliveries += 1
            found[destination.session]?.messages += 1
            found[destination.session]?.bytes += message.cost
        }
    }

    /// Keys of no kind that this build knows.
    private mutating func findUnknown(in store: any KeyValueStore) {
        let known = Set(RecordKind.allCases.map(\.rawValue))
        scan(store, []) { _, key, _ throws(RecordProblem) in
            guard let kind = key.first, known.contains(kind) else { throw .damaged("nothing that Sluice writes") }
            guard kind != RecordKind.format.rawValue || key.count == StoreFormat.key.count else {
                throw .damaged("nothing that Sluice writes")
            }
        }
    }
}
