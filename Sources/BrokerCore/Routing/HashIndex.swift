/// An open-addressing table from hashes to small integers, the row numbers of a table kept elsewhere.
///
/// It has 16 bytes a slot, linear probing, and removal by shifting back, so that no tombstones accumulate. The caller
/// of a look-up compares rows with an equal hash.
package struct HashIndex {
    private struct Slot {
        var hash: UInt64
        /// The row number; -1 is a free slot.
        var row: Int32
    }

    /// Bytes of a row in a table at its highest load.
    static var slotCost: Int { MemoryLayout<Slot>.stride * 4 / 3 }

    private var slots: ContiguousArray<Slot>
    private var mask: Int
    package private(set) var count = 0

    package init() {
        slots = ContiguousArray(repeating: Slot(hash: 0, row: -1), count: 16)
        mask = 15
    }

    /// The row with that hash for which `matches` returns true.
    @inline(__always)
    package func find(_ hash: UInt64, where matches: (Int32) -> Bool) -> Int32? {
        var position = Int(truncatingIfNeeded: hash) & mask
        while true {
            let slot = slots[position]
            if slot.row < 0 { return nil }
            if slot.hash == hash, matches(slot.row) { return slot.row }
            position = (position &+ 1) & mask
        }
    }

    /// Adds a row that is not in the table yet.
    package mutating func insert(_ hash: UInt64, row: Int32) {
        if (count + 1) * 4 > slots.count * 3 { grow() }
        place(Slot(hash: hash, row: row))
        count += 1
    }

    /// Removes a row; does nothing when it is not there.
    package mutating func remove(_ hash: UInt64, row: Int32) {
        var position = Int(truncatingIfNeeded: hash) & mask
        while slots[position].row != row {
            if slots[position].row < 0 { return }
            position = (position &+ 1) & mask
        }
        count -= 1
        var next = (position &+ 1) & mask
        while slots[next].row >= 0 {
            let home = Int(truncatingIfNeeded: slots[next].hash) & mask
            // A slot may move back only if that does not put it before its home position.
            if (next &- home) & mask >= (next &- position) & mask {
                slots[position] = slots[next]
                position = next
            }
            next = (next &+ 1) & mask
        }
        slots[position] = Slot(hash: 0, row: -1)
    }

    private mutating func place(_ slot: Slot) {
        var position = Int(truncatingIfNeeded: slot.hash) & mask
        while slots[position].row >= 0 { position = (position &+ 1) & mask }
        slots[position] = slot
    }

    private mutating func grow() {
        let old = slots
        slots = ContiguousArray(repeating: Slot(hash: 0, row: -1), count: old.count * 2)
        mask = slots.count - 1
        for slot in old where slot.row >= 0 { place(slot) }
    }
}
