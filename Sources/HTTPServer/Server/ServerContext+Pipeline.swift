import BrokerCore
import CoreRuntime
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1
import NetworkListeners

/// The handlers of an accepted connection: HTTP, unless a request makes it a WebSocket.
extension ServerContext {
    /// Fills a channel's pipeline; on the channel's event loop.
    func configure(_ channel: any Channel) throws {
        let presence = ClientPresence()
        let client = Client(
            channel: channel,
            presence: presence,
            trustedProxies: configuration.trustedProxies,
            executor: executor(of: channel.eventLoop)
        )
        guard configuration.expectsProxyProtocol, configuration.trustedProxies.contains(channel.remoteAddress) else {
            return try addHandlers(channel, client)
        }
        let peer = ClientAddress(channel.remoteAddress, isProxy: true)
        let reader = ProxyHeaderReader(timeout: configuration.handshakeTimeout.timeAmount) { [events] failure in
            events.note(
                .clientRefused,
                by: peer,
                level: failure.isOrdinary ? .debug : nil,
                [.protocolName("http"), .reason("no PROXY header"), .detail(failure.words)]
            )
        } onHeader: { header in
            if let proxied = header.client {
                presence.cameFrom(proxied)
                guard self.places.assign(channel, to: client.address(forwarded: [])) else { throw NoPlace() }
            }
            try self.addHandlers(channel, client)
        }
        try channel.pipeline.syncOperations.addHandler(reader)
    }

    /// The client's network has its share of the connections.
    struct NoPlace: Error {}

    /// Fills the pipeline of a channel whose other end is known.
    private func addHandlers(_ channel: any Channel, _ client: Client) throws {
        let operations = channel.pipeline.syncOperations
        if let tls = configuration.tls {
            let address = client.address(forwarded: [])
            try tls.secure(channel, timeout: configuration.handshakeTimeout.timeAmount, address: address) { identity in
                client.presence.authenticated(as: identity)
            }
        } else {
            let watch = ClientHelloWatch {
                self.noteNoHTTP(client, "the client speaks TLS, which this listener does not")
            }
            try operations.addHandler(watch)
        }
        let encoder = HTTPResponseEncoder()
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: configuration.decoderLimits)
        )
        let undecoded = UndecodedBytes { [bytes] in bytes.account(of: client.address(forwarded: [])) }
        let codec = HTTP1ToHTTPServerCodec(secure: configuration.tls != nil)
        let requestHandler = RequestHandler(self, client)
        let requestGuard = RequestGuard(self, client, undecoded) { request, handshake, requestGuard in
            let below: [any RemovableChannelHandler] = [undecoded, requestGuard, decoder]
            let http = HTTPHandlers(encoder: encoder, below: below, above: [requestHandler, codec])
            WebSocketUpgrader(handshake, self, client).upgrade(request, http)
        }
        try operations.addHandlers(encoder, undecoded, decoder, requestGuard, codec, requestHandler)
    }
}

extension Server.Configuration {
    fileprivate var decoderLimits: NIOHTTPDecoderLimitConfiguration {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = maximumHeaderSize
        limits.maxHeaderListSize = maximumHeaderSize
        limits.maxHeaderFieldCount = maximumHeaderCount
        return limits
    }
}
