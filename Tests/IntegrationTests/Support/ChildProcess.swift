import Foundation
import Glibc
import NIOConcurrencyHelpers

/// A program started by posix_spawn.
///
/// Foundation's Process lists this process's open files for each start, and has crashed where other threads opened and
/// closed hundreds at the time. Here the system closes them for the child without a list: a connection that a child has,
/// too, does not end when a test closes it.
final class ChildProcess: Sendable {
    /// What it writes.
    let output: FileHandle
    let identifier: pid_t
    /// Whether its identifier may be another process's by now.
    private let isOver = NIOLockedValueBox(false)

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - path: absolute.
    ///   - output: STDOUT_FILENO or STDERR_FILENO, the one that is read; the other is thrown away.
    /// - Throws: `POSIXError`.
    init(_ path: String, _ arguments: [String], environment: [String: String], output: Int32) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Self.error(errno) }
        defer { close(ends[1]) }
        self.output = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        identifier = try Self.start(path, arguments, environment, writing: output, to: ends[1])
    }

    private typealias AddCloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32

    /// GNU's, which Swift's Glibc leaves out.
    private static let addCloseFrom = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np")
        .map { unsafeBitCast($0, to: AddCloseFrom.self) }

    private static func start(
        _ path: String,
        _ arguments: [String],
        _ environment: [String: String],
        writing output: Int32,
        to end: Int32
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let other = output == STDOUT_FILENO ? STDERR_FILENO : STDOUT_FILENO
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, other, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, end, output)
        guard let addCloseFrom, addCloseFrom(&actions, STDERR_FILENO + 1) == 0 else { throw error(ENOSYS) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Signals as in a shell, whatever this process does with them.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for text in words + variables { free(text) } }
        var identifier = pid_t()
        let failure = posix_spawn(&identifier, path, &actions, &attributes, &words, &variables)
        guard failure == 0 else { throw error(failure) }
        return identifier
    }

    private static func error(_ code: Int32) -> POSIXError { POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO) }

    /// Sends a signal, if it has not ended.
    func send(_ signal: Int32) {
        isOver.withLockedValue { isOver in
            if !isOver { _ = kill(identifier, signal) }
        }
    }

    /// Waits for its end; once.
    ///
    /// - Returns: its exit status, or the signal that has ended it.
    func wait() -> Int32 {
        var information = siginfo_t()
        while waitid(P_PID, id_t(identifier), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        return isOver.withLockedValue { isOver in
            isOver = true
            var status: Int32 = 0
            waitpid(identifier, &status, 0)
            // WIFSIGNALED and the like are macros, which Swift does not see.
            let signal = status & 0x7f
            return signal == 0 ? status >> 8 & 0xff : signal
        }
    }
}
