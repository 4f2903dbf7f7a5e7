package import BrokerCore
import NIOConcurrencyHelpers
package import Storage

/// Keeps keys and values in memory: for tests, which may let it crash and fail.
package final class MemoryKeyValueStore: KeyValueStore, Sendable {
    fileprivate struct Entry {
        let key: [UInt8]
        var value: [UInt8]
    }

    fileprivate struct State {
        /// In ascending order of keys.
        var entries: ContiguousArray<Entry> = []
        var writes = 0
        var syncedWrites = 0
        var failure: StoreFailure?
        /// Writes that will fail; nil is all.
        var failing: Int? = 0
    }

    private let state: NIOLockedValueBox<State>

    package init() { state = NIOLockedValueBox(State()) }

    private init(_ entries: ContiguousArray<Entry>) { state = NIOLockedValueBox(State(entries: entries)) }

    /// What a process finds that starts after this one's end: all batches written so far, and nothing else.
    package func afterCrash() -> MemoryKeyValueStore { MemoryKeyValueStore(state.withLockedValue { $0.entries }) }

    /// Lets the next writes fail, or all until `succeed`.
    ///
    /// - Parameter count: how many; nil is all.
    package func fail(_ count: Int? = nil, _ failure: StoreFailure = StoreFailure("No space left on device")) {
        state.withLockedValue { state in
            state.failing = count
            state.failure = failure
        }
    }

    /// Lets writes succeed again.
    package func succeed() { state.withLockedValue { $0.failing = 0 } }

    /// Batches written.
    package var writes: Int { state.withLockedValue { $0.writes } }

    /// Those of them that had to survive the machine's end.
    package var syncedWrites: Int { state.withLockedValue { $0.syncedWrites } }

    /// All keys and values, in ascending order of keys.
    package var contents: [(key: [UInt8], value: [UInt8])] {
        state.withLockedValue { $0.entries.map { ($0.key, $0.value) } }
    }

    package func write(_ batch: KeyValueBatch, synced: Bool) throws(StoreFailure) {
        let failure: StoreFailure? = state.withLockedValue { state in
            if state.failing != 0 {
                if let failing = state.failing { state.failing = failing - 1 }
                return state.failure
            }
            batch.forEach { key, value in state.change(key, value) }
            state.writes += 1
            if synced { state.syncedWrites += 1 }
            return nil
        }
        if let failure { throw failure }
    }

    package func read(
        _ keys: [[UInt8]],
        _ take: (Int, UnsafeRawBufferPointer?) -> Void
    ) throws(StoreFailure) {
        let entries = state.withLockedValue { $0.entries }
        for (index, key) in keys.enumerated() {
            let (place, isThere) = entries.place(of: key)
            guard isThere else {
                take(index, nil)
                continue
            }
            entries[place].value.withUnsafeBytes { take(index, $0) }
        }
    }

    package func scan(
        prefix: [UInt8],
        _ take: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreFailure) {
        let entries = state.withLockedValue { $0.entries }
        for entry in entries[entries.place(of: prefix).place...] {
            guard entry.key.starts(with: prefix) else { return }
            let wantsMore = entry.key.withUnsafeBytes { key in entry.value.withUnsafeBytes { take(key, $0) } }
            guard wantsMore else { return }
        }
    }

    package var name: String { "memory" }

    package var bytesOnDisk: Int? { nil }

    package func close() {}
}

extension MemoryKeyValueStore.State {
    fileprivate mutating func change(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer?) {
        let key = Array(key)
        let (place, isThere) = entries.place(of: key)
        switch (value, isThere) {
        case (let value?, true): entries[place].value = Array(value)
        case (let value?, false): entries.insert(.init(key: key, value: Array(value)), at: place)
        case (nil, true): entries.remove(at: place)
        case (nil, false): break
        }
    }
}

extension ContiguousArray<MemoryKeyValueStore.Entry> {
    /// Where a key stands, or would have to.
    fileprivate func place(of key: [UInt8]) -> (place: Int, isThere: Bool) {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].key.lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
        }
        return (low, low < count && self[low].key == key)
    }
}
