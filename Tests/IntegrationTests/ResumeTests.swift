import Testing

/// Event streams that are cut off and resumed by Last-Event-ID.
@Suite(.timeLimit(.minutes(2)))
struct ResumeTests {
    @Test func `a stream that is cut off again and again misses nothing and repeats nothing`() async throws {
        let configuration = """
            listeners: [{ protocol: http, bind: "127.0.0.1:0" }]
            sessions: { queue: { messages: 100000 } }
            log: { format: json }
            """
        try await SluiceProcess.running(configuration) { sluice in
            let client = try Client.python("sse_resume.py", ["127.0.0.1:\(sluice.http)", "10000", "40"])
            defer { client.kill() }
            let line = try await client.line("the end") { $0.contains("messages") }
            #expect(line.contains("10000 messages, 40 cuts") && line.contains("missing 0, repeated 0, in order"))
        }
    }
}
