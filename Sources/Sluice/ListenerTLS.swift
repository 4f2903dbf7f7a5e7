import BrokerCore
import CoAPGateway
import CoreRuntime
import NetworkListeners

/// What the certificate files of listeners say, by the listener's place in the configuration.
struct ListenerCertificates: Sendable {
    /// Of `mqtt` and `http` listeners.
    fileprivate var contexts: [Int: TLSContext] = [:]
    /// Of `coap` listeners.
    fileprivate var texts: [Int: CertificateText] = [:]

    /// None.
    init() {}

    /// Reads them.
    ///
    /// - Throws: everything that is wrong with them.
    init(_ listeners: [ListenerConfiguration]) throws(ConfigurationRefused) {
        var problems: [ConfigurationProblem] = []
        for (place, listener) in listeners.enumerated() {
            guard let name = listener.protocolName.applicationProtocol else {
                do throws(CertificateRefused) {
                    texts[place] = try listener.security?.certificateFiles?.read()
                } catch {
                    problems.append(ConfigurationProblem(source: error.path, line: nil, key: "", words: error.words))
                }
                continue
            }
            guard let files = listener.security?.tlsFiles else { continue }
            do throws(TLSFileRefused) {
                contexts[place] = try files.load(applicationProtocol: name)
            } catch {
                problems.append(ConfigurationProblem(source: error.path, line: nil, key: "", words: error.words))
            }
        }
        guard problems.isEmpty else { throw ConfigurationRefused(problems: problems) }
    }
}

/// The TLS of `mqtt` and `http` listeners and the certificates of `coap` listeners, likewise.
struct ListenerTLS: Sendable {
    private var servers: [Int: TLSServer] = [:]
    private let certificates: [Int: Replaceable<CertificateText>]

    init(
        _ listeners: [ListenerConfiguration],
        _ certificates: ListenerCertificates,
        _ refusals: Refusals,
        _ events: EventLog
    ) {
        self.certificates = certificates.texts.mapValues { Replaceable($0) }
        for (place, context) in certificates.contexts {
            let name = listeners[place].protocolName.rawValue
            servers[place] = TLSServer(
                context,
                identity: listeners[place].security?.certificateIdentity,
                refusals: refusals
            ) { failure in
                events.note(
                    .clientRefused,
                    by: failure.address,
                    level: failure.isOrdinary ? .debug : nil,
                    [.protocolName(name), .reason("no TLS connection"), .detail(failure.words)]
                )
            }
        }
    }

    /// That of the listener at a place; nil when it listens in the clear.
    subscript(place: Int) -> TLSServer? { servers[place] }

    /// What the CoAP listener at a place shows; nil when it has no certificate.
    func certificate(_ place: Int) -> Replaceable<CertificateText>? { certificates[place] }

    var isEmpty: Bool { count == 0 }
    var count: Int { servers.count + certificates.count }

    /// Goes on with what the files say now.
    func replace(_ certificates: ListenerCertificates) {
        for (place, server) in servers {
            if let context = certificates.contexts[place] { server.replace(context) }
        }
        for (place, certificate) in self.certificates {
            if let text = certificates.texts[place], text != certificate.value { certificate.replace(text) }
        }
    }
}

extension ListenerConfiguration.ProtocolName {
    /// Its ALPN name (RFC 7301); nil where GnuTLS does the encryption, which constrained devices need.
    var applicationProtocol: String? {
        switch self {
        case .mqtt: "mqtt"
        case .http: "http/1.1"
        case .coap: nil
        }
    }
}

extension SecurityConfiguration {
    /// nil without a certificate.
    var tlsFiles: TLSFiles? {
        guard let certificate, let privateKey else { return nil }
        return TLSFiles(
            certificate: certificate,
            privateKey: privateKey,
            clientAuthority: clientCertificate == .required ? clientAuthority : nil
        )
    }

    /// The same, of a `coap` listener.
    var certificateFiles: CertificateFiles? {
        guard let certificate, let privateKey else { return nil }
        return CertificateFiles(
            chain: certificate,
            privateKey: privateKey,
            clientAuthority: clientCertificate == .required ? clientAuthority : nil
        )
    }

    /// nil when clients show no certificate.
    fileprivate var certificateIdentity: CertificateIdentity? {
        guard clientCertificate == .required else { return nil }
        return identity == .commonName ? .commonName : .subjectAlternativeName
    }
}
