import BrokerCore
import CoreRuntime
import NIOCore
import Testing

@Suite struct SocketAddressTests {
    @Test("addresses have one form in all protocols")
    func addresses() throws {
        func text(_ host: String) throws -> String {
            ClientAddress(try SocketAddress(ipAddress: host, port: 1_883)).description
        }
        #expect(try text("192.0.2.7") == "192.0.2.7:1883")
        #expect(try text("::1") == "[::1]:1883")
        #expect(try text("2001:db8::7") == "[2001:db8::7]:1883")
        #expect(try text("::ffff:192.0.2.7") == "192.0.2.7:1883")
        let mapped = ClientAddress(try SocketAddress(ipAddress: "::ffff:192.0.2.7", port: 1))
        #expect(mapped.network == ClientNetwork("192.0.2.7") && mapped.network != nil)
        #expect(ClientAddress(nil as SocketAddress?).network == nil)
        #expect(ClientAddress(try SocketAddress(ipAddress: "192.0.2.7", port: 1), isProxy: true).network == nil)
    }

    @Test("a socket's address has the same network as its text")
    func sockets() throws {
        let address = try SocketAddress(ipAddress: "2001:db8:0:1::1", port: 1_883)
        #expect(ClientNetwork(address) == ClientNetwork("[2001:db8:0:1::1]:1883"))
    }
}
