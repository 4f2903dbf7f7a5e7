import Testing
import Webhooks

@Suite struct WebhookURLTests {
    @Test(
        "a URL is taken as it is, its credentials apart",
        arguments: [
            ("http://a", "http://a", nil),
            ("HTTPS://Shop.example:8443/x?y=%20", "https://Shop.example:8443/x?y=%20", nil),
            ("http://127.0.0.1:1/", "http://127.0.0.1:1/", nil),
            ("http://[::1]:65535/a/b", "http://[::1]:65535/a/b", nil),
            ("http://ann:secret@a:80/", "http://a:80/", "Basic YW5uOnNlY3JldA=="),
            ("http://ann@a/", "http://a/", "Basic YW5uOg=="),
            ("http://a%40b:c%3Ad@e?f@g", "http://e?f@g", "Basic YUBiOmM6ZA=="),
            ("http://my_host-1.local/", "http://my_host-1.local/", nil),
        ] as [(String, String, String?)]
    )
    func good(text: String, url: String, authorization: String?) throws {
        let read = try WebhookURL(text)
        #expect(read.text == url)
        #expect(read.authorization == authorization)
    }

    @Test(
        "what can't be posted to is refused before anything is posted",
        arguments: [
            "", "http", "http:/a", "ftp://a", "http://", "http:///x", "http://:80/", "http://a:/", "http://a:0/",
            "http://a:65536/",
            "http://a:88080/", "http://a:-1/", "http://a:8o/", "http://a:80:80/", "http://a b/", "http://a/ b",
            "http://\u{fc}/",
            "http://a/#x", "http://a#x", "http://[::1/", "http://[::1]80/", "http://[127.0.0.1]/",
            "http://[fe80::1%25eth0]/",
            "http://999.1.1.1/", "http://1.2.3/", "http://a..b/", "http://a./", "http://a/%zz",
            "http://a/%4",
            "http://a/{x}", "http://u:%zz@a/", "http://a/x\n", "http://\(String(repeating: "a", count: 64))/",
            "http://a\\b/", "http://a,b/",
        ]
    )
    func bad(text: String) {
        let refused = #expect(throws: WebhookURL.Refused.self) { try WebhookURL(text) }
        #expect(refused?.words.isEmpty == false)
    }

    @Test(
        "headers are names and values that HTTP has, and none of the broker's own",
        arguments: [
            ("Authorization", "Bearer x", true), ("X-A", "1", true), ("User-Agent", "shop", true), ("Host", "a", false),
            ("content-LENGTH", "1", false), ("webhook-id", "1", false), ("X A", "1", false), ("", "1", false),
            ("X", "", false),
            ("X", "a\r\nY: b", false), ("X", " a", false), ("X:", "a", false),
        ]
    )
    func headers(name: String, value: String, isGood: Bool) { #expect((WebhookHeader(name, value) != nil) == isGood) }
}
