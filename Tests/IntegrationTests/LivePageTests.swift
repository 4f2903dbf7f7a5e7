import Testing

/// The live page in a browser.
@Suite(.timeLimit(.minutes(2)))
struct LivePageTests {
    @Test("a person subscribes, publishes and watches in Chromium") func personSubscribesPublishesWatches() async throws
    {
        let configuration = SluiceProcess.everyProtocol + "\nsys_interval: 1\n"
        try await SluiceProcess.running(configuration) { sluice in
            let browser = try Client.python("live_page.py", ["http://127.0.0.1:\(sluice.http)"])
            defer { browser.kill() }
            let lines = await browser.remainingLines()
            #expect(try await browser.exitStatus() == 0)
            #expect(lines.last == "nothing in the console, and no breach of the policy", "\(lines)")
        }
    }
}
