import HTTPServer
import Testing

/// Parts of requests and answers.
@Suite struct MessageTests {
    @Test("a target is taken apart and not decoded, whichever form it has")
    func targets() {
        let plain = RequestTarget("/values/a%2Fb//c?qos=1&x=%41")
        #expect(plain.path == "/values/a%2Fb//c")
        #expect(plain.query == "qos=1&x=%41")
        #expect(RequestTarget("/a").query == nil)
        #expect(RequestTarget("http://host:80/p?q").path == "/p")
        #expect(RequestTarget("HTTP://host").path == "/")
        #expect(RequestTarget("http://host?q=1").query == "q=1")
        #expect(RequestTarget("/p#f?x").path == "/p")
        #expect(RequestTarget("http://host:80/p?q").authority == "host:80")
        #expect(RequestTarget("/http://host/").authority == nil)
    }

    @Test(
        "dates are written as HTTP writes them",
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        ]
    )
    func dates(second: Int, text: String) { #expect(HTTPDate.text(second) == text) }
}
