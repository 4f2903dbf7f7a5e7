import Glibc
import Testing

/// A UDP socket that says exactly what it is told and waits for what comes, with a deadline.
final class RawClient {
    private let descriptor: Int32
    private var lastMessageID: UInt16 = 0x1000

    /// A socket with a port of its own on the loopback interface.
    ///
    /// - Parameter address: of the server, if it is not reached over IPv6.
    init(port: Int, address server: UInt32 = 0x7f00_0001, overIPv6: Bool = false) throws {
        descriptor = socket(overIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        let connected: Int32
        if overIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = in_port_t(port).bigEndian
            address.sin6_addr = in6addr_loopback
            connected = Self.connect(descriptor, to: &address)
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = in_addr_t(server).bigEndian
            var isOn: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_BROADCAST, &isOn, socklen_t(MemoryLayout<Int32>.size))
            connected = Self.connect(descriptor, to: &address)
        }
        try #require(connected == 0)
    }

    private static func connect<Address>(_ descriptor: Int32, to address: inout Address) -> Int32 {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
    }

    /// Talks to another of the server's addresses from now on, from where it is.
    func turn(to address: UInt32, port: Int) throws {
        var server = sockaddr_in()
        server.sin_family = sa_family_t(AF_INET)
        server.sin_port = in_port_t(port).bigEndian
        server.sin_addr.s_addr = in_addr_t(address).bigEndian
        try #require(Self.connect(descriptor, to: &server) == 0)
    }

    deinit { close(descriptor) }

    func nextMessageID() -> UInt16 {
        lastMessageID &+= 1
        return lastMessageID
    }

    func send(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, 0) }
    }

    func send(_ message: RawMessage) { send(message.bytes) }

    /// The next datagram, or nil when none has come in time; milliseconds.
    func receive(within milliseconds: Int32 = 5_000) -> RawMessage? {
        receiveBytes(within: milliseconds).flatMap { RawMessage($0) }
    }

    /// The bytes of the next datagram, likewise.
    func receiveBytes(within milliseconds: Int32 = 5_000) -> [UInt8]? {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, milliseconds) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        return count < 0 ? nil : Array(buffer.prefix(count))
    }

    /// Waits until a datagram has come to one of them, or the time is over; milliseconds.
    ///
    /// - Returns: those that have one.
    static func ready(of clients: [RawClient], within milliseconds: Int32) -> [RawClient] {
        var waiting = clients.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        guard poll(&waiting, nfds_t(waiting.count), milliseconds) > 0 else { return [] }
        return zip(clients, waiting).filter { $0.1.revents != 0 }.map(\.0)
    }

    /// The next message; a ping is answered before that.
    func expect() throws -> RawMessage {
        while true {
            let message = try #require(receive())
            guard message.kind == .confirmable, message.code == 0 else { return message }
            reset(message)
        }
    }

    /// Shows that the client is where its datagrams come from, as an observer does with its first acknowledgement.
    ///
    /// - Returns: this client.
    func proven() throws -> RawClient {
        let token: [UInt8] = [0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe]
        _ = try ask(confirmable(Method.get, "/ps/proof", token: token).with(6, []))
        let publish = confirmable(Method.post, "/ps/proof", token: [0xfd], payload: "x")
        send(publish)
        for _ in 0..<2 {
            let message = try expect()
            if message.kind == .confirmable { acknowledge(message) }
        }
        _ = try ask(confirmable(Method.get, "/ps/proof", token: token).with(6, integer: 1))
        return self
    }

    /// Sends a request and waits for the acknowledgement or response with its Message ID or token.
    func ask(_ message: RawMessage) throws -> RawMessage {
        send(message)
        return try expect()
    }

    /// A new confirmable request.
    func confirmable(_ code: UInt8, _ uri: String, token: [UInt8] = [7], payload: String = "") -> RawMessage {
        RawMessage(.confirmable, code, nextMessageID(), token: token, payload: payload).to(uri)
    }

    /// A new non-confirmable request.
    func nonConfirmable(_ code: UInt8, _ uri: String, token: [UInt8] = [7], payload: String = "") -> RawMessage {
        RawMessage(.nonConfirmable, code, nextMessageID(), token: token, payload: payload).to(uri)
    }

    func acknowledge(_ message: RawMessage) { send(RawMessage(.acknowledgement, 0, message.messageID)) }

    func reset(_ message: RawMessage) { send(RawMessage(.reset, 0, message.messageID)) }

    /// Sends what is answered without the core and takes in everything up to its answer: what the server sent before has come by then.
    func drain() throws -> [RawMessage] {
        let ping = confirmable(Method.get, "/nowhere", token: [0xee])
        send(ping)
        var messages: [RawMessage] = []
        while true {
            let message = try expect()
            if message.kind == .acknowledgement, message.messageID == ping.messageID { return messages }
            messages.append(message)
        }
    }
}
