import Foundation
import Glibc
import Testing

/// A real proxy that says in the PROXY protocol who its clients are.
@Suite(.timeLimit(.minutes(1)))
struct HAProxyTests {
    private static let sluice = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:0", trusted_proxies: [127.0.0.1], proxy_protocol: true }
          - { protocol: http, bind: "127.0.0.1:0", trusted_proxies: [127.0.0.1], proxy_protocol: true }
        access: { anonymous: true }
        log: { format: json, level: debug }
        """

    private func configuration(_ ports: [Int], _ sluice: SluiceProcess, _ version: String) -> String {
        """
        defaults
            mode tcp
            timeout connect 10s
            timeout client 60s
            timeout server 60s
        listen mqtt
            bind 127.0.0.1:\(ports[0])
            server sluice 127.0.0.1:\(sluice.mqtt) check \(version)
        listen http
            bind 127.0.0.1:\(ports[1])
            server sluice 127.0.0.1:\(sluice.http) \(version)

        """
    }

    @Test("clients behind HAProxy are known by their own addresses", arguments: ["send-proxy", "send-proxy-v2"])
    func addresses(version: String) async throws {
        try await SluiceProcess.running(Self.sluice) { sluice in
            let folder = FileManager.default.temporaryDirectory.appending(path: "haproxy-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let file = folder.appending(path: "haproxy.cfg").path()
            let ports = try [freePort(), freePort()]
            try configuration(ports, sluice, version).write(toFile: file, atomically: true, encoding: .utf8)
            let proxy = try ClientProcess("/usr/sbin/haproxy", ["-db", "-f", file], reading: .standardError)
            defer { proxy.kill() }

            // Until it listens, which it does on both ports at once.
            let health = "http://127.0.0.1:\(ports[1])/v1/health"
            let answer = try await run(
                "curl",
                ["-s", "--retry", "30", "--retry-connrefused", "--retry-delay", "1", health]
            )
            #expect(answer == [#"{"status":"ok"}"#])
            let published = try ClientProcess(
                "mosquitto_pub",
                ["-p", "\(ports[0])", "-A", "127.0.0.5", "-i", "behind", "-t", "a", "-m", "x", "-q", "1", "-r"]
            )
            let mqtt = try await sluice.process.line("the MQTT client") {
                $0.contains("client connected") && $0.contains("behind")
            }
            #expect(mqtt.contains(#""address":"127.0.0.5:"#))
            #expect(try await published.exitStatus() == 0)

            let url = "http://127.0.0.1:\(ports[1])/v1/topics/a?clientid=web"
            #expect(try await run("curl", ["-s", "--interface", "127.0.0.6", url]) == ["x"])
            let http = try await sluice.process.line("the HTTP client") {
                $0.contains("client connected") && $0.contains("web")
            }
            #expect(http.contains(#""address":"127.0.0.6:"#))
        }
    }

    @Test("health checks that are gone before they are looked at leave no line in the log")
    func healthChecks() async throws {
        try await SluiceProcess.running(Self.sluice) { sluice in
            // As HAProxy does it: connect, send the header, reset.
            let check = """
                import socket, struct, sys
                for port in map(int, sys.argv[1:]):
                    for header in [b'PROXY UNKNOWN\\r\\n', b'\\r\\n\\r\\n\\0\\r\\nQUIT\\n\\x20\\0\\0\\0'] * 20:
                        s = socket.create_connection(('127.0.0.1', port)); s.sendall(header)
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
                s = socket.create_connection(('127.0.0.1', port)); s.sendall(b'PROXY TCP4 192.0.2.9 127.0.0.1 1 2\\r\\n\\0')
                s.recv(1)
                """
            try await run("python3", ["-c", check, "\(sluice.http)", "\(sluice.mqtt)"])
            // The last one is a client whose first packet is none.
            var before: [String] = []
            _ = try await sluice.process.line("the last client") { line in
                if line.contains("client.refused") { before.append(line) }
                return line.contains("client.refused") && line.contains("192.0.2.9")
            }
            #expect(before.count == 1, "\(before)")
        }
    }

    /// A port that nobody listens on.
    private func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let port = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Bool in
                bind(descriptor, address, length) == 0 && getsockname(descriptor, address, &length) == 0
            }
        }
        try #require(port)
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
