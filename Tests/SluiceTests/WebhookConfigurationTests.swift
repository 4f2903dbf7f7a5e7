import Foundation
import NIOCore
import NetworkListeners
import Sluice
import Testing
import Webhooks

@Suite struct WebhookConfigurationTests {
    private func load(_ yaml: String) throws(ConfigurationRefused) -> SluiceConfiguration {
        let listener = "listeners: [{ protocol: mqtt, bind: \"127.0.0.1:1883\" }]\n"
        return try LoadedConfiguration(yaml: listener + yaml, file: "sluice.yaml").configuration
    }

    @Test("a webhook needs a name, a URL and topics; the rest has defaults")
    func defaults() throws {
        let webhooks = try load("webhooks: [{ name: orders, url: \"https://a.example/x\", topics: [\"orders/#\"] }]")
            .webhooks
        #expect(webhooks.count == 1)
        #expect(webhooks[0].qos == 1 && webhooks[0].concurrency == 1 && webhooks[0].batch == 1)
        #expect(webhooks[0].configuration.sessionName == .webhook("orders"))
        #expect(webhooks[0].configuration.signature == nil)
        let signed = "{ name: a, url: \"http://a\", topics: [a], secret: whsec_c2VjcmV0, batch: 10, timeout: 5 }"
        let configuration = try load("webhooks: [\(signed)]").webhooks[0].configuration
        #expect(configuration.signature != nil)
        #expect(configuration.schedule.batch == 10)
        #expect(configuration.timeout == .seconds(5))
    }

    @Test(
        "what can't be meant is a problem",
        arguments: [
            ("{ name: a, url: \"ftp://a\", topics: [a] }", "webhooks[0].url"),
            ("{ name: a, url: \"http://\", topics: [a] }", "webhooks[0].url"),
            ("{ name: a, url: \"http://a\", topics: [\"a/#/b\"] }", "webhooks[0].topics"),
            ("{ name: a, url: \"http://127.0.0.1:88080/\", topics: [a] }", "webhooks[0].url"),
            ("{ name: a, url: \"http://a\", topics: [a], headers: { Host: x } }", "webhooks[0].headers"),
            ("{ name: a, url: \"http://a\", topics: [a], headers: [x] }", "webhooks[0].headers"),
            ("{ name: a, url: \"http://u:p@a\", topics: [a], headers: { Authorization: x } }", "webhooks[0].url"),
            ("{ name: a, url: \"http://a\" }", "webhooks[0].topics"),
            ("{ url: \"http://a\", topics: [a] }", "webhooks[0].name"),
            ("{ name: a, url: \"http://a\", topics: [a], secret: \"whsec_!\" }", "webhooks[0].secret"),
            ("{ name: a, url: \"http://a\", topics: [a], secret_file: nothing }", "webhooks[0].secret_file"),
            (
                "{ name: a, url: \"http://a\", topics: [a], retry_minimum: 9, retry_maximum: 8 }",
                "webhooks[0].retry_maximum"
            ),
            ("{ name: a, url: \"http://a\", topics: [a], retries: 9 }", "webhooks[0].retries"),
        ]
    )
    func problems(entry: String, key: String) {
        let error = #expect(throws: ConfigurationRefused.self) { try load("webhooks: [\(entry)]") }
        #expect(error?.problems.map(\.key) == [key])
    }

    @Test("the credentials of a URL are a header, and are not told when something is wrong with it")
    func credentials() throws {
        let entry = "{ name: a, url: \"http://ann:s%20x@a.example/\", topics: [a], headers: { X-Shop: \"7\" } }"
        let configuration = try load("webhooks: [\(entry)]").webhooks[0].configuration
        #expect(configuration.url == "http://a.example/")
        #expect(configuration.headers.map(\.name) == ["X-Shop", "Authorization"])
        #expect(configuration.headers.last?.value == "Basic YW5uOnMgeA==")
        let error = #expect(throws: ConfigurationRefused.self) {
            try load("webhooks: [{ name: a, url: \"http://ann:secret@a:99999/\", topics: [a] }]")
        }
        #expect(error.map { "\($0)".contains("secret") } == false)
    }

    @Test("two webhooks have two names")
    func names() {
        let entry = "{ name: a, url: \"http://a\", topics: [a] }"
        let error = #expect(throws: ConfigurationRefused.self) { try load("webhooks: [\(entry), \(entry)]") }
        #expect(error?.problems.map(\.key) == ["webhooks[1].name"])
    }

    @Test("an http listener's proxies, page and WebSocket are configured")
    func http() throws {
        let yaml = """
            listeners:
              - protocol: http
                bind: "127.0.0.1:8080"
                live_page: false
                trusted_proxies: ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]
                proxy_protocol: true
                websocket_require_subprotocol: false
                websocket_ping_interval: 0
                websocket_pong_keep_alive: true
            """
        let listener = try LoadedConfiguration(yaml: yaml, file: "sluice.yaml").configuration.listeners[0]
        let http = listener.http
        #expect(!http.livePage && !http.requiresSubprotocol && http.pongKeepsAlive)
        #expect(http.pingInterval == 0)
        let address = try #require(IPAddress("10.1.2.3"))
        #expect(listener.proxies.trusted.contains(address) && listener.proxies.sendsHeader)
        for bad in ["trusted_proxies: [\"10.0.0.0/40\"]", "trusted_proxies: x", "proxy_protocol: true"] {
            let yaml = "listeners:\n  - { protocol: http, bind: \"127.0.0.1:8080\", \(bad) }"
            let error = #expect(throws: ConfigurationRefused.self) {
                _ = try LoadedConfiguration(yaml: yaml, file: "sluice.yaml")
            }
            #expect(error?.problems.count == 1)
        }
    }

    @Test("an mqtt listener may stand behind proxies that speak the PROXY protocol, and a coap listener not")
    func proxies() throws {
        func problems(_ protocolName: String, _ words: String) -> [String] {
            let yaml = "listeners: [{ protocol: \(protocolName), bind: \"127.0.0.1:1883\", \(words) }]"
            do throws(ConfigurationRefused) {
                let listener = try LoadedConfiguration(yaml: yaml, file: "f.yaml").configuration.listeners[0]
                #expect(listener.proxies.sendsHeader && !listener.proxies.trusted.isEmpty)
                return []
            } catch {
                return error.problems.map(\.key)
            }
        }
        let both = "trusted_proxies: [\"10.0.0.0/8\"], proxy_protocol: true"
        #expect(problems("mqtt", both).isEmpty)
        #expect(problems("mqtt", "proxy_protocol: true") == ["listeners[0].proxy_protocol"])
        #expect(problems("mqtt", "trusted_proxies: [\"10.0.0.0/8\"]") == ["listeners[0].trusted_proxies"])
        #expect(problems("coap", both).sorted() == ["listeners[0].proxy_protocol", "listeners[0].trusted_proxies"])
    }
}
