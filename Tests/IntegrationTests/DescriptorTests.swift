import Foundation
import Testing

/// The system has no more descriptors for this process than it uses.
@Suite(.timeLimit(.minutes(1)))
struct DescriptorTests {
    private static let configuration = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0" }
          - { protocol: http, bind: "127.0.0.1:0" }
        threads: 2
        log: { format: json }
        """

    @Test("at the limit of descriptors nobody new is accepted, at no cost, until some leave", arguments: [64, 200])
    func limitDescriptorsNobodyNew(limit: Int) async throws {
        let command = ["prlimit", "--nofile=\(limit):\(limit)"]
        try await SluiceProcess.running(Self.configuration, through: command) { sluice in
            let crowd = try Client.python(
                "too_many_connections.py",
                ["\(sluice.mqtt)", "\(sluice.http)", "\(sluice.process.identifier)", "\(limit * 2)"]
            )
            defer { crowd.kill() }
            let idle = try await crowd.line("idle").split(separator: " ").last.flatMap { Double($0) }
            // An accept that fails again and again takes all of a core's time, or a good part of it.
            #expect(try #require(idle) < 0.3)
            #expect(try await crowd.line() == "served")
            #expect(try await crowd.line() == "accepted mqtt")
            #expect(try await crowd.line() == "accepted http")
            #expect(try await sluice.stop() == 0)
        }
    }
}
