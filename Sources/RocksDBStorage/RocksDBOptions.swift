import CRocksDB

/// How RocksDB is to work for a broker: messages are written once, in ascending order of keys, read back at most once,
/// and soon removed.
final class RocksDBOptions {
    let pointer: OpaquePointer

    /// Bytes written before a table is made of them.
    static let bufferSize = 16_777_216

    /// As text, since the C API does not reach all of them.
    private static let text = [
        "create_if_missing=true",
        // Memory: one buffer, another while the first is written out, and what was read last.
        "write_buffer_size=\(bufferSize)",
        "max_write_buffer_number=2",
        "max_open_files=256",
        // The index in parts, which the cache can take and leave. No filters: what is asked for is mostly there, and
        // what is not would be next to what is.
        "block_based_table_factory={block_cache={capacity=16777216;num_shard_bits=2};format_version=5;"
            + "cache_index_and_filter_blocks=true;index_type=kTwoLevelIndexSearch;metadata_block_size=4096;"
            + "pin_top_level_index_and_filter=true}",
        // A session's record that is never written again must not keep an old log alive for ever.
        "max_total_wal_size=67108864",
        // A log may end in the middle of a batch, as a crash leaves it. What is damaged before its end is an error: RocksDB's
        // own default would start without all that came after it, and say nothing.
        "wal_recovery_mode=kTolerateCorruptedTailRecords",
        // A start after a crash reads the log, and need not write tables before anybody is served: not on a full disk.
        "avoid_flush_during_recovery=true",
        // What is young is mostly removed before it is old enough to be worth compressing.
        "compression_per_level=kNoCompression:kLZ4Compression",
        "level_compaction_dynamic_level_bytes=true",
        "max_background_jobs=2",
        // One thread writes.
        "allow_concurrent_memtable_write=false",
        "enable_write_thread_adaptive_yield=false",
        // RocksDB's own log: little, and nothing from time to time.
        "info_log_level=WARN_LEVEL",
        "keep_log_file_num=2",
        "max_log_file_size=1048576",
        "stats_dump_period_sec=0",
        "stats_persist_period_sec=0",
        "manifest_preallocation_size=65536",
    ].joined(separator: ";")

    /// Removed records of so many in a row that make a table worth rewriting: gives the disk back when queues empty.
    private static let deletionWindow = 16_384
    private static let deletionsInWindow = 8_192

    init() throws(RocksDBStatus) {
        let defaults = rocksdb_options_create()
        defer { rocksdb_options_destroy(defaults) }
        guard let pointer = rocksdb_options_create() else { throw RocksDBStatus(text: "no memory") }
        self.pointer = pointer
        try RocksDBStatus.check { rocksdb_get_options_from_string(defaults, Self.text, pointer, $0) }
        rocksdb_options_add_compact_on_deletion_collector_factory(pointer, Self.deletionWindow, Self.deletionsInWindow)
    }

    deinit { rocksdb_options_destroy(pointer) }
}
