import BrokerCore
import BrokerTestSupport
import MQTTCodec
import NIOCore
import Testing

/// The window in its own terms; what clients see of it is in `DeliveryFlowTests`.
@Suite struct InflightWindowTests {
    private func message(_ sequence: UInt64) -> OutboundMessage {
        OutboundMessage(
            message: Message(topic: RawSpan(), payload: RawSpan(), qos: .atLeastOnce),
            qos: .atLeastOnce,
            retain: false,
            identifiers: [],
            share: .none,
            sequence: sequence
        )
    }

    @Test("[MQTT-2.2.1-3] one message that is never acknowledged is in nobody's way, however many come after it")
    func straggler() {
        var window = InflightWindow()
        let stuck = window.admit(message(0))
        var seen: Set<PacketID> = []
        for sequence in 1...200_000 as ClosedRange<UInt64> {
            #expect(window.hasRoom(receiveMaximum: 2))
            let id = window.admit(message(sequence))
            #expect(id != 0 && id != stuck)
            seen.insert(id)
            #expect(window.complete(id)?.sequence == sequence)
        }
        #expect(window.count == 1 && window[id: stuck]?.outbound.sequence == 0)
        // No more memory than for so few, and identifiers that still take long to come round.
        #expect(window.capacity <= 8)
        #expect(seen.count > 30_000)
    }

    @Test("all identifiers are used, and each one that becomes free")
    func everyIdentifier() {
        var window = InflightWindow()
        let ids = (0..<65_535).map { window.admit(message(UInt64($0))) }
        #expect(Set(ids).count == 65_535 && !ids.contains(0))
        #expect(!window.hasRoom(receiveMaximum: .max))
        for id in [7, 65_535, 1, 30_000] as [PacketID] {
            #expect(window.complete(id) != nil)
            #expect(window.complete(id) == nil)
            #expect(window.admit(message(100_000)) == id)
        }
        for id in ids { #expect(window.complete(id) != nil) }
        window.trim()
        #expect(window.count == 0 && window.capacity == 0)
    }

    @Test("an identifier is not used again soon while others are free")
    func rotation() {
        var window = InflightWindow()
        var former: [PacketID] = []
        for sequence in 0..<1_000 as Range<UInt64> {
            let id = window.admit(message(sequence))
            #expect(!former.contains(id))
            former.append(id)
            _ = window.complete(id)
        }
        #expect(former == Array(1...1_000))
    }

    @Test("a table that many entries have made large is small again when the connection is over")
    func memory() {
        var window = InflightWindow()
        let ids = (0..<10_000).map { window.admit(message(UInt64($0))) }
        for id in ids.dropFirst(3).dropLast(3) { _ = window.complete(id) }
        window.trim()
        #expect(window.capacity <= 64)
        var left: [PacketID] = []
        window.forEach { id, _ in left.append(id) }
        #expect(left == Array(ids.prefix(3) + ids.suffix(3)))
    }

    @Test("does what a list of its entries does", arguments: 0..<100 as Range<UInt64>)
    func model(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var window = InflightWindow()
        var model = NaiveWindow()
        var sequence: UInt64 = 0
        let receiveMaximum = [1, 2, 10, 300, 65_535].randomElement(using: &random) ?? 1
        // Some keep little, some much, so that tables grow and shrink.
        let patience = Int.random(in: 1...60, using: &random)
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<100, using: &random) {
            case 0:
                window.trim()
                window.beginConnection()
                model.beginConnection()
            case 1:
                (window, model) = restored(model, seed: seed, &random)
            case 2..<60:
                #expect(window.hasRoom(receiveMaximum: receiveMaximum) == model.hasRoom(receiveMaximum))
                guard model.hasRoom(receiveMaximum) else { continue }
                sequence += 1
                let id = window.admit(message(sequence))
                #expect(id != 0 && !model.entries.contains { $0.id == id })
                model.admit(sequence, id)
            case 60..<70:
                let unsent = window.takeUnsent(receiveMaximum: receiveMaximum)
                #expect(unsent?.outbound.sequence == model.takeUnsent(receiveMaximum))
            case 70..<75:
                let id = model.anyID(&random)
                window.release(id)
                model.release(id)
            default:
                let id = model.count > patience || Bool.random(using: &random) ? model.anyID(&random) : 0
                #expect(window[id: id]?.outbound.sequence == model.entry(id)?.sequence)
                let progress = window.progress(of: id)
                let outbound = window.complete(id)
                let expected = model.complete(id)
                #expect(outbound?.sequence == expected?.sequence)
                #expect(progress.map { $0.state == .released } == expected.map(\.isReleased))
            }
            #expect(window.count == model.count && window.hasUnsent == model.hasUnsent)
            #expect(window.capacity <= 131_072)
        }
        var order: [UInt64] = []
        window.forEach { id, entry in
            order.append(entry.outbound.sequence)
            #expect(model.entry(id)?.sequence == entry.outbound.sequence)
        }
        #expect(order == model.entries.map(\.sequence))
    }

    /// A window of another process, with what this one has had, under other identifiers sometimes.
    private func restored(
        _ former: NaiveWindow,
        seed: UInt64,
        _ random: inout SplitMix64
    ) -> (InflightWindow, NaiveWindow) {
        var window = InflightWindow()
        var model = NaiveWindow()
        let renumbers = Bool.random(using: &random)
        for entry in former.entries {
            let id = renumbers ? PacketID.random(in: .min ... .max, using: &random) : entry.id
            let isTaken = id == 0 || model.entry(id) != nil
            let isRestored = window.restore(
                message(entry.sequence),
                id: id,
                state: entry.isReleased ? .released : .published
            )
            #expect(isRestored == !isTaken)
            if isRestored {
                model.entries.append(.init(sequence: entry.sequence, id: id, isReleased: entry.isReleased))
            }
        }
        window.beginConnection()
        model.beginConnection()
        return (window, model)
    }
}

/// The window as a list.
private struct NaiveWindow {
    struct Entry {
        let sequence: UInt64
        let id: PacketID
        var isReleased = false
        /// Sent on this connection.
        var isSent = false
    }

    var entries: [Entry] = []

    var count: Int { entries.count }
    var hasUnsent: Bool { firstUnsent != nil }

    private var firstUnsent: Int? { entries.firstIndex { !$0.isSent && !$0.isReleased } }

    func hasRoom(_ receiveMaximum: Int) -> Bool { count < min(receiveMaximum, 65_535) && !hasUnsent }

    func entry(_ id: PacketID) -> Entry? { entries.first { $0.id == id } }

    /// That of some entry, or one that is nobody's.
    func anyID(_ random: inout SplitMix64) -> PacketID {
        guard Int.random(in: 0..<10, using: &random) > 0 else { return .random(in: .min ... .max, using: &random) }
        return entries.randomElement(using: &random)?.id ?? 0
    }

    mutating func beginConnection() {
        for place in entries.indices { entries[place].isSent = false }
    }

    mutating func admit(_ sequence: UInt64, _ id: PacketID) {
        entries.append(Entry(sequence: sequence, id: id, isSent: true))
    }

    mutating func takeUnsent(_ receiveMaximum: Int) -> UInt64? {
        guard let place = firstUnsent, entries.count(where: \.isSent) < receiveMaximum else { return nil }
        entries[place].isSent = true
        return entries[place].sequence
    }

    mutating func release(_ id: PacketID) {
        if let place = entries.firstIndex(where: { $0.id == id }) { entries[place].isReleased = true }
    }

    mutating func complete(_ id: PacketID) -> Entry? {
        guard let place = entries.firstIndex(where: { $0.id == id }) else { return nil }
        return entries.remove(at: place)
    }
}
