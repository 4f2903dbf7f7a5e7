package import NetworkListeners

extension Server {
    /// Where to listen, and what a public server has to bound.
    package struct Configuration: Sendable {
        /// An IPv4 or IPv6 address.
        package var host: String
        /// 0 takes any free port.
        package var port: Int
        /// Encrypts; nil listens in the clear.
        package var tls: TLSServer?
        /// The other web origins whose pages may use the server, `https://dash.example`; `*` is any.
        package var allowedOrigins: [String] = []
        /// The names it serves under, besides those of loopback and the address it listens on; empty is any, unless nobody
        /// but this machine reaches that.
        package var hostnames: [String] = []

        /// Bytes of one header field, and of all of a request's header fields together.
        package var maximumHeaderSize = 16 * 1_024
        /// Header fields of one request.
        package var maximumHeaderCount = 100
        /// How long a connection may stay without a request, and take over the header of one.
        ///
        /// Longer than the minute that load balancers keep theirs: who ends it first makes no request be lost.
        package var idleTimeout = Duration.seconds(75)
        /// How long TLS and the PROXY protocol may take at the beginning of a connection.
        package var handshakeTimeout = Duration.seconds(60)
        /// How long a request's body may take to arrive.
        package var bodyTimeout = Duration.seconds(30)
        /// How long a client may read nothing while there is something for it.
        package var stallTimeout = Duration.seconds(120)
        /// How long streams and WebSockets may take to read the final bytes when the server stops.
        package var shutdownTimeout = Duration.seconds(1)

        /// The proxies that are trusted for the client address.
        package var trustedProxies = TrustedProxies()
        /// Whether connections from trusted proxies begin with a PROXY protocol header.
        package var expectsProxyProtocol = false
        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }
}
