import BrokerCore
import CoreRuntime
import HTTPTypes
import NIOCore
import NIOHTTPTypesHTTP1

/// What all connections of a server share.
final class ServerContext: Sendable {
    let configuration: Server.Configuration
    let responder: any Responder
    let origins: OriginPolicy
    let webSockets: WebSocketHandshake?
    let places: SocketPlaces
    /// What connections keep.
    let bytes: ConnectionBytes
    let events: EventLog
    private let executors: [ObjectIdentifier: EventLoopExecutor]

    init(
        _ configuration: Server.Configuration,
        _ responder: any Responder,
        _ eventLoopGroup: any EventLoopGroup,
        places: SocketPlaces,
        bytes: ConnectionBytes,
        events: EventLog
    ) {
        self.configuration = configuration
        self.responder = responder
        self.places = places
        self.bytes = bytes
        self.events = events
        webSockets = responder.webSockets
        origins = OriginPolicy(
            allowed: configuration.allowedOrigins,
            names: HostNames(configuration.hostnames, bound: configuration.host),
            isEncrypted: configuration.tls != nil,
            pages: responder.pages
        )
        var executors: [ObjectIdentifier: EventLoopExecutor] = [:]
        for loop in eventLoopGroup.makeIterator() { executors[ObjectIdentifier(loop)] = EventLoopExecutor(loop) }
        self.executors = executors
    }

    /// The one that all connections of an event loop share.
    func executor(of eventLoop: any EventLoop) -> EventLoopExecutor {
        executors[ObjectIdentifier(eventLoop)] ?? EventLoopExecutor(eventLoop)
    }

    /// Adds the fields that every answer has.
    func complete(_ response: inout Response, to head: HTTPRequest) {
        origins.mark(&response.headers, origin: head.headerFields[.origin])
        response.headers[.date] = HTTPDate.now()
    }

    /// Logs that a client does not speak HTTP.
    func noteNoHTTP(_ client: Client, _ detail: String) {
        events.note(
            .clientRefused,
            by: client.address(forwarded: []),
            [.protocolName("http"), .reason("no HTTP"), .detail(detail)]
        )
    }
}
