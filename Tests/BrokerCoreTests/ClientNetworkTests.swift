import BrokerCore
import Testing

@Suite struct ClientNetworkTests {
    @Test("a client's network is its IPv4 address, or the first 64 bits of its IPv6 address")
    func networks() {
        #expect(ClientNetwork("192.0.2.7:50123") == ClientNetwork("192.0.2.7:1"))
        #expect(ClientNetwork("192.0.2.7") == ClientNetwork("192.0.2.7:1"))
        #expect(ClientNetwork("192.0.2.7:1") != ClientNetwork("192.0.2.8:1"))
        #expect(ClientNetwork("[2001:db8:0:1::1]:50123") == ClientNetwork("[2001:db8:0:1:ffff::2]:1"))
        #expect(ClientNetwork("[2001:db8:0:1::1]:50123") != ClientNetwork("[2001:db8:0:2::1]:50123"))
        #expect(ClientNetwork("2001:db8:0:1::1") == ClientNetwork("[2001:db8:0:1::2]:1"))
    }

    @Test("an IPv4 address that is written as IPv6 is an IPv4 address")
    func mapped() { #expect(ClientNetwork("[::ffff:192.0.2.7]:50123") == ClientNetwork("192.0.2.7:1")) }

    @Test("what is no internet address has no network", arguments: ["", "unix:/tmp/socket", "example.org:80", "[::1"])
    func none(_ text: String) { #expect(ClientNetwork(text) == nil) }
}
