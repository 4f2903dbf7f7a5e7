package import BrokerCore

/// An ordered store of byte strings under keys that are byte strings: what `DurableStore` needs of a database.
///
/// Its functions block. They are called on the store's thread only, one at a time; while a scan goes on, `take` may read and write: the scan shows what was there at its beginning.
package protocol KeyValueStore: AnyObject {
    /// Makes all changes of a batch in their order, or none of them.
    ///
    /// - Parameter synced: whether they must survive the machine's end; else only the process's.
    /// - Throws: when they may not have been made. To make the same changes once more does no harm.
    func write(_ batch: KeyValueBatch, synced: Bool) throws(StoreFailure)

    /// Looks keys up.
    ///
    /// - Parameter take: called once a key, in their order, with a value that it may use until it returns; nil when there
    ///   is none.
    func read(
        _ keys: [[UInt8]],
        _ take: (_ place: Int, _ value: UnsafeRawBufferPointer?) -> Void
    ) throws(StoreFailure)

    /// Goes through all keys with a prefix in ascending order.
    ///
    /// - Parameter take: may use key and value until it returns; says whether it wants more.
    func scan(
        prefix: [UInt8],
        _ take: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool
    ) throws(StoreFailure)

    /// Where it is, for people: a path.
    var name: String { get }

    /// Bytes it takes on disk; nil when it is on none, or can't say.
    var bytesOnDisk: Int? { get }

    /// Lets go of files and locks; nothing may be called after it.
    func close()
}
