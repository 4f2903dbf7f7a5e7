import Foundation

/// A program under the test's control, its output read line by line as it comes.
///
/// Waiting has no deadline of its own: the test's time limit cancels it, and what had come until then is in the error.
final class ClientProcess: @unchecked Sendable {
    // Sendable: `process` is thread-safe for what is called on it here, everything else is immutable.

    private let process = Process()
    private let output: AsyncStream<String>
    private let ended: AsyncStream<Int32>
    private let seen = SeenLines()

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
    init(_ command: String, _ arguments: [String], environment: [String: String] = [:], reading output: Output = .standardOutput) throws {
        let pipe = Pipe()
        let (lines, more) = AsyncStream.makeStream(of: String.self)
        let (statuses, end) = AsyncStream.makeStream(of: Int32.self)
        self.output = lines
        ended = statuses
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [command] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output == .standardOutput ? pipe : FileHandle.nullDevice
        process.standardError = output == .standardError ? pipe : FileHandle.nullDevice
        var partial = Data()
        pipe.fileHandleForReading.readabilityHandler = { handle in
            let bytes = handle.availableData
            guard !bytes.isEmpty else {
                handle.readabilityHandler = nil
                if !partial.isEmpty { more.yield(String(decoding: partial, as: UTF8.self)) }
                return more.finish()
            }
            partial.append(bytes)
            while let newline = partial.firstIndex(of: UInt8(ascii: "\n")) {
                more.yield(String(decoding: partial[..<newline], as: UTF8.self))
                partial = Data(partial[partial.index(after: newline)...])
            }
        }
        process.terminationHandler = { process in
            end.yield(process.terminationStatus)
            end.finish()
        }
        try process.run()
    }

    /// The next line that fits; those before it are passed over.
    func line(_ words: String = "a line", where fits: (String) -> Bool = { _ in true }) async throws -> String {
        for await line in output {
            seen.append(line)
            if fits(line) { return line }
        }
        throw Missing(words: words, seen: seen.all)
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
        throw Missing(words: "its end", seen: seen.all)
    }

    /// Sends SIGTERM.
    func terminate() { process.terminate() }

    /// Sends SIGKILL.
    func kill() { Foundation.kill(process.processIdentifier, SIGKILL) }

    /// What was waited for did not come.
    struct Missing: Error, CustomStringConvertible {
        let words: String
        let seen: [String]

        var description: String { "\(words) did not come; came: \(seen.suffix(20))" }
    }
}

/// The lines that have been read, for the words of an error.
private final class SeenLines: @unchecked Sendable {
    // Sendable behind its lock.
    private let lock = NSLock()
    private var lines: [String] = []

    func append(_ line: String) { lock.withLock { lines.append(line) } }

    var all: [String] { lock.withLock { lines } }
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
