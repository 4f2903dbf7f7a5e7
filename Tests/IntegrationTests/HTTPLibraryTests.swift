import Testing

/// HTTP and WebSocket libraries of PyPI.
@Suite(.timeLimit(.minutes(1)))
struct HTTPLibraryTests {
    @Test("httpx, sseclient and paho-mqtt over WebSocket") func httpxSseclientPahoMqtt() async throws {
        try await SluiceProcess.running { sluice in
            let client = try Client.python("http_libraries.py", ["127.0.0.1:\(sluice.http)"])
            defer { client.kill() }
            let lines = await client.remainingLines()
            #expect(try await client.exitStatus() == 0)
            #expect(lines == ["httpx and sseclient", "httpx on one connection", "paho-mqtt over WebSocket"])
        }
    }
}
