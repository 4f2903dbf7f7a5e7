import MQTTCodec

/// The copies due to one client, in batches: those of one batch may come in any order.
struct DueCopies {
    private struct Batch {
        let number: Int
        var copies: [Copy]
        /// So many of them were dropped, nobody can see which.
        var dropped = 0
    }

    private var batches: [Batch] = []

    /// How many will come, if none is due to be ruled out.
    var count: Int { batches.reduce(0) { $0 + $1.copies.count - $1.dropped } }
    /// All that may come, in batches.
    var inOrder: [[Copy]] { batches.map(\.copies) }

    mutating func append(_ copy: Copy, batch: Int) {
        if let last = batches.indices.last, batches[last].number == batch {
            batches[last].copies.append(copy)
        } else {
            batches.append(Batch(number: batch, copies: [copy]))
        }
    }

    /// Takes the next copy for which `isIt` says yes.
    ///
    /// What is before it and may not come at all does not come.
    ///
    /// - Parameter smallOnly: large ones are dropped as their turn comes.
    /// - Throws: when something else must come first, or there is none.
    mutating func take(smallOnly: Bool, _ isIt: (Copy) -> Bool) throws -> Copy {
        clean()
        for place in batches.indices {
            let candidates = batches[place].copies.indices.filter { isIt(batches[place].copies[$0]) }
            let sure = candidates.first { batches[place].copies[$0].isSure }
            guard let found = sure ?? candidates.first else {
                guard mustCount(place, smallOnly) == 0 else {
                    throw ModelMismatch("it comes before \(words(batches[place].copies))")
                }
                continue
            }
            let copy = batches[place].copies.remove(at: found)
            copy.take()
            if smallOnly {
                for other in batches[place].copies where other.message.isLarge { other.mayBeDropped = true }
            }
            for earlier in batches[..<place] { for other in earlier.copies { other.passOver(smallOnly) } }
            batches.removeSubrange(..<place)
            clean()
            return copy
        }
        throw ModelMismatch("it is not due")
    }

    /// The client has all it can have by now: what may not come does not come.
    ///
    /// - Throws: when something was to come.
    mutating func finish(smallOnly: Bool) throws {
        clean()
        for place in batches.indices where mustCount(place, smallOnly) > 0 {
            throw ModelMismatch("\(mustCount(place, smallOnly)) missing of \(words(batches[place].copies))")
        }
        for batch in batches { for copy in batch.copies { copy.passOver(smallOnly) } }
        batches = []
    }

    /// All that is due is lost.
    mutating func lose() {
        for batch in batches { for copy in batch.copies { copy.lose() } }
        batches = []
    }

    mutating func removeExpired(at now: Int64) {
        for place in batches.indices {
            for copy in batches[place].copies where copy.isExpired(at: now) { copy.lose() }
        }
        clean()
    }

    /// One of the batch that has the copy at that place is dropped.
    mutating func drop(at place: Int) {
        var before = 0
        for index in batches.indices {
            before += batches[index].copies.count - batches[index].dropped
            guard before > place else { continue }
            batches[index].dropped += 1
            return clean()
        }
    }

    private func mustCount(_ place: Int, _ smallOnly: Bool) -> Int {
        batches[place].copies.count { $0.isSure && !(smallOnly && $0.message.isLarge) } - batches[place].dropped
    }

    private mutating func clean() {
        for place in batches.indices { batches[place].copies.removeAll(where: \.isVoid) }
        batches.removeAll { $0.copies.count <= $0.dropped }
    }

    private func words(_ copies: [Copy]) -> String {
        copies.map { "\($0.message.topic) \($0.message.text.brief) QoS \($0.qos.rawValue)" }.joined(separator: ", ")
    }
}

/// The broker did what it must not, or not what it must.
struct ModelMismatch: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
