import Glibc
import Testing

/// A TCP connection that says exactly what it is told (RFC 8323 §3), with a deadline for what comes.
final class RawConnection {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    /// A connection over the loopback interface.
    ///
    /// - Parameter greets: both sides say what they can.
    init(port: Int, greets: Bool = true) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(connected == 0)
        var isOn: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, socklen_t(MemoryLayout<Int32>.size))
        guard greets else { return }
        send(RawMessage(.confirmable, SignalCode.csm, 0).with(2, integer: 8_388_608).with(4, []).frame)
        try #require(try expect().code == SignalCode.csm)
    }

    deinit { close(descriptor) }

    func send(_ bytes: some Sequence<UInt8>) {
        var left = Array(bytes)[...]
        while !left.isEmpty {
            let count = left.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            left = left.dropFirst(count)
        }
    }

    func send(_ message: RawMessage) { send(message.frame) }

    /// Sends nothing more.
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The next message that is no Ping; Pings are answered.
    func expect() throws -> RawMessage {
        while true {
            let message = try next()
            guard message.code == SignalCode.ping else { return message }
            send(RawMessage(.confirmable, SignalCode.pong, 0, token: message.token).frame)
        }
    }

    /// Reads on without a word until the other side closes.
    ///
    /// - Returns: the number of bytes that have come.
    func bytesToEnd() throws -> Int {
        var total = 0
        while let bytes = try receive() { total += bytes.count }
        return total
    }

    private func next() throws -> RawMessage {
        while true {
            if let (message, length) = RawMessage.first(in: buffer) {
                buffer.removeFirst(length)
                return message
            }
            try need(buffer.count + 1)
        }
    }

    /// What has come next; nil at the end.
    func receive() throws -> [UInt8]? {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        try #require(poll(&waiting, 1, 5_000) == 1)
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let received = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        return received > 0 ? Array(bytes.prefix(received)) : nil
    }

    private func need(_ count: Int) throws {
        while buffer.count < count { buffer += try #require(try receive()) }
    }
}
