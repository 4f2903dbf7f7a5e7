import MQTTCodec

/// The retained messages that a session is still to be sent, in any order (MQTT 5.0 §3.3.1.3).
///
/// They go out as its client takes them, and not by its queue; so they may come late, but they come.
struct OwedRetained {
    private struct Owed {
        let filter: String
        let copy: Copy
        /// Something else is retained under its topic by now.
        var isOutdated = false
    }

    private var owed: [Owed] = []

    var isEmpty: Bool { owed.isEmpty }

    mutating func append(_ copy: Copy, by filter: String) { owed.append(Owed(filter: filter, copy: copy)) }

    /// Takes a copy for which `isIt` says yes; nil when there is none.
    mutating func take(_ isIt: (Copy) -> Bool) -> Copy? {
        guard let place = owed.firstIndex(where: { !$0.isOutdated && isIt($0.copy) }) else { return nil }
        return owed.remove(at: place).copy
    }

    /// The client has all that it can have by now.
    ///
    /// - Throws: when something was to come.
    mutating func finish(smallOnly: Bool) throws {
        let missing = owed.filter { !$0.isOutdated && !$0.copy.mayBeDropped && !(smallOnly && $0.copy.message.isLarge) }
        if let first = missing.first {
            throw ModelMismatch("\(missing.count) retained missing, \(first.copy.message.topic) by \(first.filter)")
        }
        owed = []
    }

    /// What is too large for a client may have been dropped as its turn came [MQTT-3.1.2-25].
    func mayDropLarge() { for item in owed where item.copy.message.isLarge { item.copy.mayBeDropped = true } }

    /// The subscription is over, or begins anew.
    mutating func remove(filter: String) { owed.removeAll { $0.filter == filter } }

    /// Another message is retained, or none.
    mutating func outdate(_ topic: TopicName) {
        for place in owed.indices where owed[place].copy.message.topic == topic { owed[place].isOutdated = true }
    }

    mutating func removeExpired(at now: Int64) {
        for place in owed.indices where owed[place].copy.isExpired(at: now) { owed[place].isOutdated = true }
    }

    /// The broker has started anew, and knows of each filter only whether it is done.
    ///
    /// - Parameter matching: copies of what is retained now, for the subscription with that filter.
    mutating func restart(matching: (_ filter: String) -> [Copy]) {
        let former = owed
        owed = []
        for filter in Set(former.map(\.filter)) {
            for copy in matching(filter) {
                // What came before the start may come again.
                copy.mayBeDropped = !former.contains {
                    $0.filter == filter && !$0.isOutdated && !$0.copy.mayBeDropped
                        && $0.copy.message.text == copy.message.text
                        && $0.copy.message.topic == copy.message.topic
                }
                append(copy, by: filter)
            }
        }
    }
}
