import Sluice
import Testing

@Suite struct MemoryBoundTests {
    private func bound(_ yaml: String) throws -> MemoryBound {
        MemoryBound(try LoadedConfiguration(yaml: yaml, file: "test.yaml").configuration)
    }

    private let listeners = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:1883" }
          - { protocol: http, bind: "127.0.0.1:8080" }
          - { protocol: coap, bind: "127.0.0.1:5683" }

        """

    @Test("with the defaults it is below 8 GiB")
    func defaults() throws {
        let bound = MemoryBound(try LoadedConfiguration(yaml: "", file: nil).configuration)
        #expect(bound.total < 8 * 1_073_741_824)
        #expect(bound.total > 4 * 1_073_741_824)
    }

    @Test("it is the sum of its items, and every total of the configuration is in it")
    func sum() throws {
        let before = try bound(listeners)
        let after = try bound(
            listeners
                + """
                limits:
                  retained_bytes: 2073741824
                  queued_bytes: 2610612736
                  session_bytes: 2073741824
                  buffer_bytes: 2073741824
                """
        )
        #expect(after.total - before.total == 4_000_000_000)
        #expect(before.items.reduce(0) { $0 + $1.bytes } == before.total)
    }

    @Test("a small broker has a small bound")
    func small() throws {
        let bound = try bound(
            """
            listeners:
              - { protocol: mqtt, bind: "127.0.0.1:1883" }
            storage: { backend: memory }
            limits: { connections: 1000, retained_bytes: 10000000, queued_bytes: 10000000, session_bytes: 10000000, buffer_bytes: 10000000, connection_bytes: 10000000 }
            """
        )
        #expect(bound.total < 300_000_000)
        #expect(bound.lines.first?.hasPrefix("memory: at most 0.2") == true)
        #expect(bound.lines.count == bound.items.count + 1)
    }

    @Test("a share above its limit is a mistake, and is named")
    func shares() throws {
        let error = #expect(throws: ConfigurationRefused.self) {
            try bound(listeners + "limits: { connections: 10, connections_per_address: 11, queued_bytes_per_user: -1 }")
        }
        let words = error?.problems.map { "\($0)" }.joined(separator: "\n") ?? ""
        #expect(words.contains("limits.connections_per_address"))
        #expect(words.contains("connections is 10"))
        #expect(words.contains("limits.queued_bytes_per_user"))
    }
}
