package import BrokerCore
import RocksDBStorage
package import Storage

extension StorageConfiguration {
    /// Opens the store that the configuration asks for; nil keeps everything in memory.
    ///
    /// - Throws: `StoreRefused`, when it can't be opened.
    package func open(events: (any EventSink)? = nil) throws(StoreRefused) -> DurableStore? {
        switch backend {
        case .memory: nil
        case .rocksdb: try DurableStore(RocksDBStore(path: path), durability: durability, events: events)
        }
    }
}
