import CCoAPShim
import CoAPGateway
import Glibc
import Testing

/// Datagrams cross into the system in batches, and nobody can tell.
@Suite struct BatchesTests {
    @Test("requests are answered each one, whether datagrams cross in batches or one by one", arguments: [true, false])
    func requests(inBatches: Bool) async throws {
        let configuration = CoAPListener.Configuration.local {
            $0.shards = 2
            $0.batchesDatagrams = inBatches
        }
        try await withGateway(configuration: configuration) { gateway in
            // More than a batch each, and no more than a socket holds.
            let (devices, requests) = (4, 150)
            let clients = try (0..<devices).map { _ in try gateway.client() }
            for _ in 0..<requests {
                for client in clients { client.send(client.confirmable(Method.post, "/ps/a", payload: "x")) }
            }
            for client in clients {
                let answers = try (0..<requests).map { _ in try client.expect() }
                #expect(answers.allSatisfy { $0.codeText == "2.04" && $0.kind == .acknowledgement })
                #expect(Set(answers.map(\.messageID)).count == requests)
            }
            #expect(await gateway.received() == UInt64(devices * requests))
        }
    }

    @Test("notifications to many observers arrive in order, in batches or one by one", arguments: [true, false])
    func notifications(inBatches: Bool) async throws {
        try await withGateway(configuration: .local { $0.batchesDatagrams = inBatches }) { gateway in
            let observers = try (0..<80).map { _ in try gateway.client() }
            for observer in observers {
                let answer = try observer.ask(observer.confirmable(Method.get, "/ps/a").with(6, []))
                #expect(answer.observe != nil)
            }
            let payloads = ["1", "2", "3"]
            try await gateway.publish("a", payloads)
            for observer in observers {
                #expect(try payloads.map { _ in try observer.expect().text } == payloads)
            }
        }
    }

    @Test("what the system does not take waits in order, and a full batch says so as sendmsg would")
    func fullSocket() throws {
        let pair = try SocketPair()
        #expect(coap_shim_batches_begin([pair.one], 1))
        defer { coap_shim_batches_end() }
        var sent: UInt16 = 0
        while pair.send(sent) { sent += 1 }
        #expect(errno == EAGAIN)
        #expect(!coap_shim_flush())
        var received: [UInt16] = []
        while received.count < Int(sent) {
            guard let number = pair.receive() else {
                _ = coap_shim_flush()
                received.append(try #require(pair.receive()))
                continue
            }
            received.append(number)
        }
        #expect(received == Array(0..<sent))
        #expect(coap_shim_flush())
        #expect(pair.receive() == nil)
    }

    @Test("what can't be sent holds up nothing behind it")
    func unsendable() throws {
        let pair = try SocketPair()
        #expect(coap_shim_batches_begin([pair.one], 1))
        defer { coap_shim_batches_end() }
        #expect(pair.send(1))
        #expect(pair.send(2, to: "/nowhere/at/all"))
        #expect(pair.send(3))
        #expect(pair.receive() == nil)
        #expect(coap_shim_flush())
        #expect(pair.receive() == 1)
        #expect(pair.receive() == 3)
    }

    @Test("other sockets, and threads that serve nothing, send and receive at once")
    func others() throws {
        let pair = try SocketPair()
        #expect(pair.send(1))
        #expect(pair.receive() == 1)
        let served = try SocketPair()
        #expect(coap_shim_batches_begin([served.one], 1))
        defer { coap_shim_batches_end() }
        #expect(pair.send(2))
        #expect(pair.receive() == 2)
    }
}

/// Two datagram sockets whose names are addresses, so that messages name where they go; both don't block.
private final class SocketPair {
    let one: Int32
    private let other: Int32
    private let path: String

    init() throws {
        one = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        other = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        // Not a file: the name begins with a null byte, and fits where an IPv6 address does.
        path = "\0sl\(other).\(getpid())"
        let bound = Self.withAddress(path) { bind(other, $0, $1) }
        try #require(one >= 0 && other >= 0 && bound == 0)
    }

    deinit {
        close(one)
        close(other)
    }

    func send(_ number: UInt16, to path: String? = nil) -> Bool {
        var number = number
        return withUnsafeMutableBytes(of: &number) { bytes in
            var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                Self.withAddress(path ?? self.path) { address, length in
                    var message = msghdr()
                    message.msg_name = UnsafeMutableRawPointer(mutating: address)
                    message.msg_namelen = length
                    message.msg_iov = vector
                    message.msg_iovlen = 1
                    return sendmsg(one, &message, 0) == bytes.count
                }
            }
        }
    }

    func receive() -> UInt16? {
        var number: UInt16 = 0
        return withUnsafeMutableBytes(of: &number) { bytes in
            var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                return recvmsg(other, &message, 0) == bytes.count
            }
        } ? number : nil
    }

    private static func withAddress<Result>(
        _ path: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.utf8.count)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
