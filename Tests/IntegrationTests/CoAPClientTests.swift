import Foundation
import Testing

/// What devices do, with aiocoap and with libcoap's client.
@Suite(.timeLimit(.minutes(2)))
struct CoAPClientTests {
    private static let configuration = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0" }
          - { protocol: coap, bind: "127.0.0.1:0" }
          - { protocol: coap, transport: tcp, bind: "127.0.0.1:0" }
        log: { format: json }
        """

    @Test("aiocoap asks concurrently, transfers in blocks and observes", arguments: ["coap", "coap+tcp"])
    func aiocoapAsksConcurrentlyTransfers(scheme: String) async throws {
        try await SluiceProcess.running(Self.configuration) { sluice in
            let port = sluice.ports[scheme] ?? 0
            let client = try Client.python("aiocoap_exchange.py", ["\(port)", scheme])
            defer { client.kill() }
            #expect(await client.remainingLines() == ["concurrent 50", "large True", "observing", "observed True"])
        }
    }

    @Test("a device sleeps, and gets what waited with its next publish") func deviceSleepsGetsWaited() async throws {
        try await SluiceProcess.running(Self.configuration) { sluice in
            func ask(_ method: String, _ resource: String, _ payload: String = "") async throws -> String {
                let uri = "coap://127.0.0.1:\(sluice.coap)/\(resource)"
                let body = payload.isEmpty ? [] : ["-e", payload]
                return try await run("coap-client-notls", ["-m", method, "-B", "20"] + body + [uri]).joined()
            }
            let token = try await ask("post", "mqtt/connection?c=device&clean=0&ka=3600")
            let session = "c=device&t=\(token)"
            let observer = try ClientProcess(
                "coap-client-notls",
                ["-s", "1", "-w", "-B", "20", "-v", "6", "coap://127.0.0.1:\(sluice.coap)/ps/commands?\(session)"]
            )
            #expect(try await observer.exitStatus() == 0)
            for number in 1...3 {
                try await run(
                    "mosquitto_pub",
                    ["-p", "\(sluice.mqtt)", "-t", "commands", "-m", "\(number)", "-q", "1"]
                )
            }
            for expected in ["1", "2", "3", ""] {
                let got = try await ask("post", "ps/uplink?\(session)&dl=1", "x")
                #expect(got == expected)
            }
        }
    }

    @Test("libcoap's client proves its address where that is asked for") func libcoapsClientProvesAddress() async throws
    {
        try await SluiceProcess.running(Self.configuration + "\ncoap: { echo: true }\n") { sluice in
            let uri = "coap://127.0.0.1:\(sluice.coap)/ps/lamp"
            for (arguments, expected) in [
                (["-m", "put", "-e", "on"], []), (["-m", "get"], ["on"]), (["-N", "-m", "get"], ["on"]),
                (["-s", "1", "-m", "get"], ["on"]),
            ] {
                let got = try await run("coap-client-notls", ["-B", "20"] + arguments + [uri])
                #expect(got == expected)
            }
        }
    }
}
