import Foundation
import Glibc

/// Files that only their owner may read.
enum PrivateFile {
    /// Replaces a file at once: whoever reads it meanwhile gets the old text or the new one, whole.
    ///
    /// - Throws: `FileFailure` when it can't be written; the old one is there then.
    static func replace(_ path: String, with text: String) throws(FileFailure) {
        let target = resolved(path)
        let temporary = "\(target).\(UInt64.random(in: .min ... .max))"
        let file = open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw FileFailure(path) }
        do throws(FileFailure) {
            defer { close(file) }
            keepOwner(of: target, file)
            try write(text, to: file, path)
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, target) == 0 else {
            let failure = FileFailure(path)
            unlink(temporary)
            throw failure
        }
    }

    /// Whether every user of the machine may read a file; false when it is not there.
    static func isOpen(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IROTH != 0
    }

    private static func write(_ text: String, to file: Int32, _ path: String) throws(FileFailure) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { throw FileFailure(path) }
            rest = rest.dropFirst(max(count, 0))
        }
        guard fsync(file) == 0 else { throw FileFailure(path) }
    }

    /// The broker may run as another user than the one who changes its file.
    private static func keepOwner(of path: String, _ file: Int32) {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            let owner = attributes[.ownerAccountID] as? NSNumber,
            let group = attributes[.groupOwnerAccountID] as? NSNumber
        else { return }
        _ = fchown(file, owner.uint32Value, group.uint32Value)
    }

    /// What a symbolic link leads to.
    private static func resolved(_ path: String) -> String {
        guard let found = realpath(path, nil) else { return path }
        defer { free(found) }
        return String(cString: found)
    }
}

/// A file could not be written.
struct FileFailure: Error, CustomStringConvertible {
    let path: String
    /// The system's words.
    let reason: String

    /// Of the call that has just failed.
    init(_ path: String) {
        self.path = path
        reason = String(cString: strerror(errno))
    }

    var description: String { "\(path): \(reason)" }
}
