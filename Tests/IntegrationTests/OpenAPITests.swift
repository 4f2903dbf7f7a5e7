import Testing

/// The OpenAPI document and what is served, against each other.
@Suite(.timeLimit(.minutes(2)))
struct OpenAPITests {
    @Test("schemathesis finds no answer that the document does not know") func schemathesisFindsNoAnswer() async throws
    {
        try await SluiceProcess.running { sluice in
            let address = "http://127.0.0.1:\(sluice.http)"
            let schemathesis = try Client.schemathesis(address)
            defer { schemathesis.kill() }
            let lines = await schemathesis.remainingLines()
            #expect(try await schemathesis.exitStatus() == 0, "\(lines.map { $0.prefix(300) }.joined(separator: "\n"))")
        }
    }
}
