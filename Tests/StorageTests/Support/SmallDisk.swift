import Foundation
import Glibc

/// A file system of a few megabytes of its own, which is full soon; needs root.
final class SmallDisk {
    let path: String
    private let filler: String

    static var isPossible: Bool { geteuid() == 0 }

    /// - Parameter filler: bytes that a file takes up until `makeRoom`.
    init(megabytes: Int, filler bytes: Int) throws {
        path = NSTemporaryDirectory() + "sluice-disk-\(UUID().uuidString)"
        filler = path + "/lost+found"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(megabytes)m") == 0 else {
            throw CocoaError(.fileWriteUnknown)
        }
        // Under a name that every ext4 file system has at its root.
        try Data(count: bytes).write(to: URL(fileURLWithPath: filler))
    }

    deinit {
        umount2(path, Int32(MNT_DETACH))
        rmdir(path)
    }

    func makeRoom() { unlink(filler) }
}
