import Auth
import BrokerCore
import CoAPGateway
import Foundation
import HTTPServer
import Logging
import NetworkListeners
import Yams

extension SluiceConfiguration {
    /// Reads the whole file; what is wrong is reported to `reading`.
    ///
    /// What is read when there is no file: every protocol on its usual port, on loopback only.
    static let usual = """
        listeners:
          - { protocol: mqtt, bind: "127.0.0.1:1883" }
          - { protocol: http, bind: "127.0.0.1:8080" }
          - { protocol: coap, bind: "127.0.0.1:5683" }
        """

    init(_ root: Node?, _ reading: ConfigurationReading) {
        var file = MappingReader(root, path: "", reading)
        threads = ProcessInfo.processInfo.activeProcessorCount
        listeners = []
        file.text("node", &node)
        file.integer("threads", in: 1...1_024, &threads)
        file.integer("sys_interval", in: 0...86_400, &systemInterval)
        if let entries = file.mappings("listeners") {
            listeners = entries.compactMap { entry in
                var entry = entry
                return ListenerConfiguration(&entry, reading)
            }
        } else {
            reading.report(
                "names no listener; add for example - { protocol: mqtt, bind: \"127.0.0.1:1883\" }",
                key: "listeners",
                line: nil
            )
        }
        readWebhooks(&file, reading)
        var accessReader = file.mapping("access")
        access = AccessConfiguration(&accessReader)
        var limitsReader = file.mapping("limits")
        limits.read(&limitsReader)
        var coapReader = file.mapping("coap")
        coap.read(&coapReader)
        var sessions = file.mapping("sessions")
        var queueReader = sessions.mapping("queue")
        limits.queue.read(&queueReader)
        sessions.finish()
        var storageReader = file.mapping("storage")
        storage.read(&storageReader)
        var logReader = file.mapping("log")
        logReader.choice("level", &log.level)
        logReader.choice("format", &log.format)
        logReader.finish()
        file.finish()
        checkListeners(line: file.line(of: "listeners"), reading)
        if access.anonymous == false, !access.hasCredentials, !listeners.contains(where: \.knowsItsPeers) {
            accessReader.report(
                "nobody could connect: false needs a password_file, an api_key_file, jwt, or clients' certificates",
                "anonymous"
            )
        }
    }

    private mutating func readWebhooks(_ file: inout MappingReader, _ reading: ConfigurationReading) {
        var names: Set<String> = []
        for (place, entry) in (file.mappings("webhooks") ?? []).enumerated() {
            var entry = entry
            let webhook = WebhookOptions(&entry)
            if !names.insert(webhook.name).inserted {
                reading.report(
                    "is taken by a webhook above",
                    key: "webhooks[\(place)].name",
                    line: entry.line(of: "name")
                )
            }
            webhooks.append(webhook)
        }
    }

    /// What only shows when all listeners are known.
    private func checkListeners(line: Int?, _ reading: ConfigurationReading) {
        var taken: Set<String> = []
        for (place, listener) in listeners.enumerated() {
            let key = "listeners[\(place)].bind"
            let transport = listener.protocolName == .coap ? listener.transport.rawValue : "tcp"
            if listener.bind.port != 0, !taken.insert("\(transport) \(listener.bind)").inserted {
                reading.report("\(listener.bind) is taken by a listener above", key: key, line: line)
            }
            if !listener.bind.isLoopback, access.anonymous == nil, !access.hasCredentials, !listener.knowsItsPeers {
                reading.report(
                    "\(listener.bind) can be reached from other machines, and no credentials are asked for; "
                        + "name a password file in access: { password_file: passwd }, "
                        + "or if that is meant, set access: { anonymous: true }",
                    key: key,
                    line: line
                )
            }
        }
    }
}

extension ListenerConfiguration {
    fileprivate init?(_ reader: inout MappingReader, _ reading: ConfigurationReading) {
        var name: ProtocolName?
        name = reader.converted(
            "protocol",
            expected: "must be one of \(ProtocolName.allCases.map(\.rawValue).joined(separator: ", "))",
            ProtocolName.init(rawValue:)
        )
        let bind = reader.converted(
            "bind",
            expected: "must be an address and a port, such as 127.0.0.1:1883 or [::1]:1883",
            BindAddress.init
        )
        var proxies = ProxyOptions()
        if let name, name != .coap { proxies.read(&reader, of: name) }
        var http = HTTPOptions()
        if name == .http { http.read(&reader) }
        var transport = Transport.udp
        var security: SecurityConfiguration?
        if name == .coap { reader.choice("transport", &transport) }
        if let name {
            let section = name == .coap && transport == .udp ? "dtls" : "tls"
            let isSecure = reader.has(section)
            var mapping = reader.mapping(section)
            if isSecure { security = SecurityConfiguration(&mapping, of: name) }
        }
        reader.require(["protocol", "bind"])
        reader.finish()
        guard let name, let bind else { return nil }
        self.init(
            protocolName: name,
            bind: bind,
            proxies: proxies,
            http: http,
            transport: transport,
            security: security
        )
    }
}

extension HTTPOptions {
    fileprivate mutating func read(_ reader: inout MappingReader) {
        let path = reader.converted("websocket_path", expected: "must begin with /") { $0.hasPrefix("/") ? $0 : nil }
        websocketPath = path ?? websocketPath
        reader.flag("websocket_require_subprotocol", &requiresSubprotocol)
        reader.integer("websocket_ping_interval", in: 0...3_600, &pingInterval)
        reader.flag("websocket_pong_keep_alive", &pongKeepsAlive)
        allowedOrigins =
            reader.convertedList(
                "allowed_origins",
                expected: "must be a list of origins, https://dash.example, without a path; \"*\" is any"
            ) { OriginPolicy.isOrigin($0) ? $0 : nil } ?? []
        hostnames =
            reader.convertedList(
                "hostnames",
                expected: "must be a list of names, broker.example, without scheme and port"
            ) { HostNames.isName($0) ? $0 : nil } ?? []
        reader.integer("idle_timeout", in: 1...3_600, &idleTimeout)
        reader.integer("body_timeout", in: 1...3_600, &bodyTimeout)
        reader.flag("live_page", &livePage)
    }
}

extension ProxyOptions {
    fileprivate mutating func read(_ reader: inout MappingReader, of name: ListenerConfiguration.ProtocolName) {
        let ranges = reader.convertedList(
            "trusted_proxies",
            expected: "must be a list of addresses, 192.0.2.7, and ranges, 10.0.0.0/8",
            AddressRange.init
        )
        trusted = TrustedProxies(ranges ?? [])
        reader.flag("proxy_protocol", &sendsHeader)
        if sendsHeader, trusted.isEmpty { reader.report("true needs trusted_proxies", "proxy_protocol") }
        // MQTT has no other way to say where a client is.
        if name == .mqtt, !sendsHeader, !trusted.isEmpty {
            reader.report("means nothing without proxy_protocol: true", "trusted_proxies")
        }
    }
}

extension SecurityConfiguration {
    fileprivate init(_ reader: inout MappingReader, of name: ListenerConfiguration.ProtocolName) {
        preSharedKeyFile = reader.file("psk_file")
        if name != .coap, preSharedKeyFile != nil {
            reader.report("is for coap listeners only: \(name.rawValue) has certificates", "psk_file")
            preSharedKeyFile = nil
        }
        certificate = reader.file("certificate")
        privateKey = reader.file("private_key")
        clientAuthority = reader.file("client_ca")
        clientCertificate = clientAuthority == nil ? .none : .required
        reader.choice("client_certificate", &clientCertificate)
        reader.choice("identity", &identity)
        if name != .coap || certificate != nil || privateKey != nil || clientAuthority != nil {
            reader.require(["certificate", "private_key"])
        } else if preSharedKeyFile == nil {
            reader.require(["psk_file"])
        }
        if clientCertificate == .required, clientAuthority == nil { reader.require(["client_ca"]) }
        if let protocolName = name.applicationProtocol {
            checkContents(reader, protocolName)
        } else {
            checkContents(reader)
        }
        reader.finish()
    }

    private func checkContents(_ reader: MappingReader) {
        do throws(CertificateRefused) {
            _ = try certificateFiles?.read()
        } catch {
            let key =
                switch error.file {
                case .chain: "certificate"
                case .privateKey: "private_key"
                case .clientAuthority: "client_ca"
                }
            reader.report("\(error.path) \(error.words)", key)
        }
    }

    private func checkContents(_ reader: MappingReader, _ applicationProtocol: String) {
        do throws(TLSFileRefused) {
            _ = try tlsFiles?.load(applicationProtocol: applicationProtocol)
        } catch {
            let key =
                switch error.file {
                case .certificate: "certificate"
                case .privateKey: "private_key"
                case .clientAuthority: "client_ca"
                }
            reader.report("\(error.path) \(error.words)", key)
        }
    }
}

extension ListenerConfiguration {
    /// Whether nobody gets in who has not proven to be somebody.
    fileprivate var knowsItsPeers: Bool { security?.knowsItsPeers ?? false }
}

extension AccessConfiguration {
    fileprivate init(_ reader: inout MappingReader) {
        anonymous = reader.converted("anonymous", expected: "must be true or false") {
            ["true": true, "false": false][$0]
        }
        passwordFile = reader.file("password_file")
        apiKeyFile = reader.file("api_key_file")
        aclFile = reader.file("acl_file")
        let hasTokens = reader.has("jwt")
        var mapping = reader.mapping("jwt")
        if hasTokens { tokens = TokenConfiguration(&mapping) }
        reader.finish()
    }
}

extension TokenConfiguration {
    fileprivate init?(_ reader: inout MappingReader) {
        let files = [
            reader.file("secret_file").map(KeyFile.secret), reader.file("public_key").map(KeyFile.publicKey),
            reader.file("jwks_file").map(KeyFile.keySet),
        ]
        .compactMap(\.self)
        rules.userClaim = Self.claim("user_claim", &reader) ?? rules.userClaim
        rules.clientClaim = Self.claim("client_claim", &reader)
        rules.audience = Self.claim("audience", &reader)
        rules.issuer = Self.claim("issuer", &reader)
        reader.integer("leeway", in: 0...300, &rules.leeway)
        reader.finish()
        guard let file = files.first, files.count == 1 else {
            reader.reportItself("needs exactly one of secret_file, public_key, jwks_file")
            return nil
        }
        keyFile = file
    }

    private static func claim(_ name: String, _ reader: inout MappingReader) -> String? {
        reader.converted(name, expected: "must be text") { $0.isEmpty ? nil : $0 }
    }
}

extension StorageConfiguration {
    fileprivate mutating func read(_ reader: inout MappingReader) {
        reader.choice("backend", &backend)
        reader.directory("path", &path)
        reader.choice("durability", &durability)
        reader.finish()
    }
}

extension CoAPLimits {
    fileprivate mutating func read(_ reader: inout MappingReader) {
        reader.integer("endpoints", in: 64...10_000_000, &endpoints)
        reader.integer("sessions", in: 0...10_000_000, &sessions)
        reader.integer("observations", in: 0...10_000_000, &observations)
        reader.integer("observations_per_endpoint", in: 0...10_000, &observationsPerEndpoint)
        reader.integer("pending_requests", in: 1...1_000_000, &pendingRequests)
        reader.integer("upload_bytes", in: 0...1_000_000_000_000, &uploadBytes)
        reader.integer("download_bytes", in: 0...1_000_000_000_000, &downloadBytes)
        reader.integer("handshakes", in: 64...1_000_000, &handshakes)
        reader.flag("echo", &echo)
        reader.integer("ack_timeout", in: 1...60, &acknowledgeTimeout)
        reader.integer("max_retransmit", in: 1...20, &maximumRetransmissions)
        reader.integer("nstart", in: 1...1_000, &nstart)
        reader.finish()
    }
}

extension QueueLimits {
    fileprivate mutating func read(_ reader: inout MappingReader) {
        reader.integer("messages", in: 0...1_000_000_000, &messages)
        reader.integer("bytes", in: 0...1_000_000_000_000, &bytes)
        reader.choice("when_full", &whenFull)
        reader.finish()
    }
}
