import BrokerCore
import Foundation
import Sluice
import Storage
import Testing

@Suite struct StoreTests {
    @Test("the configuration opens its store, once at a time; memory has none") func configurationOpensStoreOnce()
        throws
    {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        var configuration = StorageConfiguration()
        configuration.path = folder.path() + "/data"
        let store = try configuration.open()
        #expect(store != nil)
        #expect(throws: StoreRefused.self) { try configuration.open() }
        store?.close()
        configuration.backend = .memory
        #expect(try configuration.open() == nil)
    }
}
