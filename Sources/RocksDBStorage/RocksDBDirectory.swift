import Glibc
import Storage

/// A directory that is, or is to be, a database of RocksDB.
enum RocksDBDirectory {
    /// Makes the directory if it is not there.
    ///
    /// - Throws: when it can't be made, or holds anything but a database.
    static func prepare(_ path: String) throws(StoreRefused) {
        try make(path)
        let files = try names(in: path)
        guard !files.contains("CURRENT") else { return }
        if let foreign = files.first(where: { !isLeftover($0) && !isTable($0) }) {
            throw StoreRefused("\(path): is no store of Sluice: it has a file \(foreign); name an empty directory")
        }
        // RocksDB would take the rest for rubbish and remove it.
        guard !files.contains(where: isTable) else {
            throw StoreRefused("\(path): damaged: the file CURRENT is missing; restore a backup")
        }
    }

    /// Checks that there is a database to read.
    static func requireStore(_ path: String) throws(StoreRefused) {
        guard try names(in: path).contains("CURRENT") else {
            throw StoreRefused("\(path): is no store of Sluice")
        }
    }

    /// Bytes of all files, as they occupy the disk.
    static func bytes(in path: String) -> Int? {
        guard let files = try? names(in: path) else { return nil }
        return files.reduce(0) { sum, file in sum + (status("\(path)/\(file)").map { Int($0.st_blocks) * 512 } ?? 0) }
    }

    /// Bytes written to logs of what is in no table yet.
    static func logBytes(in path: String) -> Int {
        let files = (try? names(in: path)) ?? []
        return files.reduce(0) { sum, file in
            file.hasSuffix(".log") ? sum + (status("\(path)/\(file)").map { Int($0.st_size) } ?? 0) : sum
        }
    }

    private static func status(_ file: String) -> stat? {
        var status = stat()
        return stat(file, &status) == 0 ? status : nil
    }

    private static func make(_ path: String) throws(StoreRefused) {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += part
            // Messages and user names are nobody else's business.
            guard mkdir(made, 0o700) == 0 || errno == EEXIST else {
                throw StoreRefused("\(made): can't make the directory: \(words(errno))")
            }
            made += "/"
        }
    }

    private static func names(in path: String) throws(StoreRefused) -> [String] {
        guard let directory = opendir(path) else { throw StoreRefused("\(path): \(words(errno))") }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// What a first start that was broken off may leave behind.
    private static func isLeftover(_ name: String) -> Bool {
        ["LOCK", "LOG", "IDENTITY", "lost+found"].contains(name) || name.hasSuffix(".dbtmp")
            || ["LOG.old.", "MANIFEST-", "OPTIONS-"].contains { name.hasPrefix($0) }
    }

    /// A file that RocksDB keeps keys and values in.
    private static func isTable(_ name: String) -> Bool {
        [".sst", ".log", ".blob"].contains { suffix in
            name.hasSuffix(suffix) && !name.dropLast(suffix.count).isEmpty
                && name.dropLast(suffix.count).allSatisfy { $0.isASCII && $0.isNumber }
        }
    }

    private static func words(_ code: Int32) -> String { String(cString: strerror(code)) }
}
