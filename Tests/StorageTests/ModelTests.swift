import BrokerCore
import NIOCore
import Storage
import Testing

@Suite struct ModelTests {
    @Test(
        "any batches are there after any restarts, and nothing else is",
        arguments: Adapter.allCases,
        0..<25 as Range<UInt64>
    )
    func random(_ adapter: Adapter, _ seed: UInt64) throws {
        var batches = RandomBatches(seed: seed)
        var model = StoreModel()
        let bed = try adapter.makeBed()
        var store = try DurableStore.inline(bed.open(), durability: .process)
        for _ in 0..<40 {
            let batch = batches.next(model)
            model.take(batch)
            try store.commit(batch)
            // A batch whose failure nobody is sure of is written again.
            if batches.once(in: 8) { try store.commit(batch) }
            if batches.once(in: 3) {
                store.close()
                store = try DurableStore.inline(bed.open(), durability: .process)
                model.restart()
                try compare(store, model)
            }
        }
        model.restart()
        try compare(store, model)
        store.close()
    }

    private func compare(_ store: DurableStore, _ model: StoreModel) throws {
        let recovered = try store.recovered()
        #expect(recovered.sorted() == model.recovered)
        // What was found to be superfluous is gone for good.
        #expect(try store.recovered() == recovered)
        for (number, stored) in model.messages {
            let places = stored.destinations.indices.map { StoredPlace(number, UInt32($0)) }
            for (place, destination) in zip(places, stored.destinations) where destination.state != .done {
                let loaded = try store.load(place)
                let expected = LoadedMessage(message: stored.message, destination: destination)
                #expect(loaded.map { $0.map(words) } == [words(expected)])
            }
        }
    }
}
