import Foundation
import NIOConcurrencyHelpers

/// A program under the test's control, its output read line by line as it comes.
///
/// Waiting has no deadline of its own: the test's time limit cancels it, and what had come until then is in the error.
final class ClientProcess: Sendable {
    private let child: ChildProcess
    private let output: AsyncStream<String>
    private let ended: AsyncStream<Int32>
    private let seen = NIOLockedValueBox<[String]>([])

    /// Where a program's output is read from.
    enum Output {
        case standardOutput
        case standardError
    }

    /// Starts a program; it ends at the latest with `terminate` or with the test process.
    ///
    /// - Parameters:
    ///   - command: an absolute path, or a name to be found in PATH.
    ///   - output: the one that is read; the other is thrown away.
    init(
        _ command: String,
        _ arguments: [String],
        environment: [String: String] = [:],
        reading output: Output = .standardOutput
    ) throws {
        let (lines, more) = AsyncStream.makeStream(of: String.self)
        let (statuses, end) = AsyncStream.makeStream(of: Int32.self)
        self.output = lines
        ended = statuses
        child = try ChildProcess(
            // Line by line, though it is a pipe.
            "/usr/bin/stdbuf",
            ["-oL", command] + arguments,
            environment: ProcessInfo.processInfo.environment.merging(environment) { $1 },
            output: output == .standardOutput ? STDOUT_FILENO : STDERR_FILENO
        )
        // Threads of their own that block.
        Thread.detachNewThread { [child] in
            var cutter = LineCutter()
            repeat {
                for line in cutter.lines(adding: child.output.availableData) { more.yield(line) }
            } while !cutter.isAtEnd
            more.finish()
        }
        Thread.detachNewThread { [child] in
            end.yield(child.wait())
            end.finish()
        }
    }

    /// The next line that fits; those before it are passed over.
    func line(_ words: String = "a line", where fits: (String) -> Bool = { _ in true }) async throws -> String {
        for await line in output {
            seen.withLockedValue { $0.append(line) }
            if fits(line) { return line }
        }
        throw Missing(words: words, seen: seen.withLockedValue { $0 })
    }

    /// The next so many lines.
    func lines(_ count: Int) async throws -> [String] {
        var lines: [String] = []
        while lines.count < count { lines.append(try await line("line \(lines.count + 1) of \(count)")) }
        return lines
    }

    /// Everything it prints until it ends.
    func remainingLines() async -> [String] {
        var lines: [String] = []
        for await line in output { lines.append(line) }
        return lines
    }

    /// Waits for its end.
    func exitStatus() async throws -> Int32 {
        for await status in ended { return status }
        throw Missing(words: "its end", seen: seen.withLockedValue { $0 })
    }

    /// Its process identifier.
    var identifier: pid_t { child.identifier }

    /// Sends SIGHUP.
    func hangUp() { child.send(SIGHUP) }

    /// Sends SIGTERM.
    func terminate() { child.send(SIGTERM) }

    /// Sends SIGKILL.
    func kill() { child.send(SIGKILL) }

    /// What was waited for did not come.
    struct Missing: Error, CustomStringConvertible {
        let words: String
        let seen: [String]

        var description: String { "\(words) did not come; came: \(seen.suffix(20))" }
    }
}

/// Cuts a program's output into lines.
private struct LineCutter {
    private var partial = Data()
    private(set) var isAtEnd = false

    /// The lines that are whole with these bytes; no bytes are the end of the output.
    mutating func lines(adding bytes: Data) -> [String] {
        isAtEnd = bytes.isEmpty
        partial.append(bytes)
        var parts = partial.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        partial = Data()
        if let last = parts.last, !isAtEnd || last.isEmpty {
            partial = Data(last)
            parts.removeLast()
        }
        return parts.map { String(decoding: $0, as: UTF8.self) }
    }
}

/// Runs a program to its end.
///
/// - Returns: what it printed.
@discardableResult
func run(_ command: String, _ arguments: [String]) async throws -> [String] {
    let process = try ClientProcess(command, arguments)
    return await withTaskCancellationHandler {
        let lines = await process.remainingLines()
        _ = try? await process.exitStatus()
        return lines
    } onCancel: {
        process.kill()
    }
}
