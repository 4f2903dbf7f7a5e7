import BrokerCore
import CoAPGateway
import CoreRuntime
import Foundation
import HTTPGateway
import HTTPServer
import Logging
import MQTTTransport
import NIOCore
import NIOPosix
import NetworkListeners
import ServiceLifecycle
import Storage
import UnixSignals
import Webhooks

/// The whole system, wired from its configuration.
struct Composition {
    private let loaded: LoadedConfiguration
    private let log: BrokerLog
    private var logger: Logger { log.logger }
    private var events: EventLog { log.events }

    /// How often the log says how many lines were left out.
    private static let leftOutInterval = TimeAmount.seconds(10)

    init(_ loaded: LoadedConfiguration) {
        self.loaded = loaded
        log = BrokerLog(loaded.configuration.log)
    }

    /// Serves until SIGTERM or SIGINT; then all that was logged is written, if somebody reads it.
    ///
    /// - Throws: what kept a listener from listening.
    func run() async throws {
        defer { log.flush() }
        try await serve()
    }

    private func serve() async throws {
        announce()
        let configuration = loaded.configuration
        let refusals = Refusals(tell: tell)
        let places = socketPlaces(refusals)
        let bytes = ConnectionBytes(Quota.Limit(total: configuration.limits.connectionBytes), refusals: refusals)
        let eventLoopGroup = MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads)
        let gate = AccessGate(loaded.accessFiles, configuration.access)
        let store = try configuration.storage.open(events: events)
        let broker = try makeBroker(gate, store, refusals)
        let core = CoreLoop(eventLoop: eventLoopGroup.next(), broker: broker)
        let channels = MQTTChannels(
            core: core,
            eventLoopGroup: eventLoopGroup,
            limits: configuration.limits,
            places: places,
            bytes: bytes,
            events: events
        )
        let deviceKeys = DeviceKeys(loaded.accessFiles)
        let tls = ListenerTLS(configuration.listeners, loaded.certificates, refusals, events)
        let reload = await AccessReload(
            loaded,
            files: loaded.accessFiles,
            gate: gate,
            deviceKeys: deviceKeys,
            tls: tls,
            core: core,
            log: log
        )
        let listeners = configuration.listeners.enumerated().map { place, listener in
            makeListener(listener, at: place, core, eventLoopGroup, channels, places, bytes, refusals, deviceKeys, tls)
        }
        let webhooks = WebhookService(
            configuration.webhooks.map(\.configuration),
            core: core,
            eventLoopGroup: eventLoopGroup,
            events: events
        )
        eventLoopGroup.next().scheduleRepeatedTask(initialDelay: Self.leftOutInterval, delay: Self.leftOutInterval) {
            [events] _ in events.tellLeftOut()
        }
        // Stopped in reverse order: see docs/ARCHITECTURE.md, Shutdown.
        let services: [ServiceGroupConfiguration.ServiceConfiguration] = [
            .init(service: reload, serviceName: "access files"), .init(service: webhooks, serviceName: "webhooks"),
            .init(service: Listeners(listeners, core: core), serviceName: "listeners"),
        ]
        do {
            try await run(services)
        } catch {
            await close(store, core)
            throw error
        }
        await close(store, core)
        try await eventLoopGroup.shutdownGracefully()
        events.note(.brokerStopped, [])
    }

    /// Makes the core, brings back what the store has, and begins to publish `$SYS`.
    private func makeBroker(
        _ gate: AccessGate,
        _ store: DurableStore?,
        _ refusals: Refusals
    ) throws -> sending Broker {
        let configuration = loaded.configuration
        let broker = Broker(
            limits: configuration.limits,
            authenticator: gate.authenticator,
            enhancedAuthenticator: gate.enhancedAuthenticator,
            authorizer: gate.authorizer,
            events: events,
            store: store,
            durability: configuration.storage.durability,
            epoch: UInt64(Date().timeIntervalSince1970 * 1_000_000),
            now: .now()
        )
        try recover(broker)
        if configuration.systemInterval > 0 {
            broker.publishSystemTopics(every: .seconds(Int64(configuration.systemInterval)), version: Version.current)
            broker.publishSystemTopics(under: "refused") { _ in
                Refusals.Limit.allCases.map { ($0.topic, "\(refusals.count($0))") }
            }
        }
        return broker
    }

    /// Runs services until SIGTERM or SIGINT, or until one of them ends.
    private func run(_ services: [ServiceGroupConfiguration.ServiceConfiguration]) async throws {
        var group = ServiceGroupConfiguration(
            services: services,
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: quiet(logger)
        )
        group.maximumGracefulShutdownDuration = .seconds(10)
        try await ServiceGroup(configuration: group).run()
    }

    /// Writes what is not written, and closes the store: the last step of a stop.
    private func close(_ store: DurableStore?, _ core: CoreLoop) async {
        guard let store else { return }
        if await !core.storeAll() {
            events.note(.storeFailed, [.detail("what was changed last could not be stored")])
        }
        store.close()
    }

    private func recover(_ broker: Broker) throws {
        let began = NIODeadline.now()
        let failures = StoreFailureLog(events)
        broker.host.storeFailed = { failures.report($0, at: .now()) }
        try broker.recover()
        let storage = loaded.configuration.storage
        guard storage.backend == .rocksdb else { return }
        let milliseconds = (NIODeadline.now() - began).nanoseconds / 1_000_000
        events.note(
            .storeOpened,
            [
                .path(storage.path),
                .detail(
                    "durability \(storage.durability.rawValue), \(broker.sessionCount) sessions, "
                        + "\(broker.retainedCount) retained messages, in \(milliseconds) ms"
                ),
            ]
        )
    }

    private func makeListener(
        _ listener: ListenerConfiguration,
        at place: Int,
        _ core: CoreLoop,
        _ eventLoopGroup: any EventLoopGroup,
        _ channels: MQTTChannels,
        _ places: SocketPlaces,
        _ bytes: ConnectionBytes,
        _ refusals: Refusals,
        _ deviceKeys: DeviceKeys,
        _ tls: ListenerTLS
    ) -> any Listener {
        switch listener.protocolName {
        case .mqtt:
            return MQTTListener(
                configuration: listener.mqttConfiguration(tls[place]),
                channels: channels,
                places: places,
                eventLoopGroup: eventLoopGroup,
                events: events
            )
        case .http:
            return HTTPListener(
                configuration: listener.httpConfiguration(tls[place]),
                places: places,
                bytes: bytes,
                refusals: refusals,
                core: core,
                eventLoopGroup: eventLoopGroup,
                limits: loaded.configuration.limits,
                configureMQTT: {
                    try channels.configure($0, transportProtocol: .websocket, address: $1, transportIdentity: $2)
                },
                events: events
            )
        case .coap:
            // Half of them stays with others.
            let coapListeners = loaded.configuration.listeners.count { $0.protocolName == .coap }
            return CoAPListener(
                configuration: .init(
                    listener,
                    loaded.configuration.coap,
                    connections: loaded.configuration.limits.connections / 2 / coapListeners,
                    deviceKeys,
                    tls.certificate(place)
                ),
                core: core,
                limits: loaded.configuration.limits,
                places: places,
                bytes: bytes,
                refusals: refusals,
                events: events
            )
        }
    }

    private func announce() {
        events.note(.brokerStarting, [.detail("version \(Version.current), node \(loaded.configuration.node)")])
        for warning in loaded.warnings { events.note(.configWarning, [.detail(warning)]) }
        if loaded.file == nil {
            warn("no configuration file: listening on loopback only, anonymous clients allowed", .info)
        }
        if loaded.configuration.storage.backend == .memory {
            warn("storage.backend is memory: sessions and retained messages end with this process", .notice)
        }
    }

    private func warn(_ words: String, _ level: Event.Level) {
        events.note(.configWarning, level: level, [.detail(words)])
    }

    /// Places for network connections: for as many clients as there may be, and for some that are about to be refused.
    private func socketPlaces(_ refusals: Refusals) -> SocketPlaces {
        let limits = loaded.configuration.limits
        let coapListeners = loaded.configuration.listeners.count { $0.protocolName == .coap }
        let possible = FileDescriptorLimit.raise(for: limits.connections, coapListeners: coapListeners, events)
        // A tenth more is for those that are about to be refused.
        func places(_ connections: Int) -> Int { connections + connections / 10 + 16 }
        let maximum = min(places(limits.connections), possible)
        let share = limits.connectionShares.perAddress
        return SocketPlaces(
            Quota.Limit(total: maximum, perAddress: share > 0 ? places(share) : 0),
            refusals: refusals
        )
    }

    private var tell: @Sendable (Refusals.Limit, String, Int) -> Void {
        { [events] limit, address, count in
            events.note(.limitReached, [.limit(limit.rawValue), .count(count), .address(address)])
        }
    }

    /// The lifecycle's own messages are of interest only to those who want everything.
    private func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        if logger.logLevel > .debug { quiet.logLevel = .warning }
        return quiet
    }
}

extension ListenerConfiguration {
    fileprivate func mqttConfiguration(_ tls: TLSServer?) -> MQTTListener.Configuration {
        var configuration = MQTTListener.Configuration(host: bind.host, port: bind.port)
        configuration.trustedProxies = proxies.trusted
        configuration.expectsProxyProtocol = proxies.sendsHeader
        configuration.tls = tls
        return configuration
    }

    fileprivate func httpConfiguration(_ tls: TLSServer?) -> HTTPListener.Configuration {
        var server = Server.Configuration(host: bind.host, port: bind.port)
        server.allowedOrigins = http.allowedOrigins
        server.hostnames = http.hostnames
        server.idleTimeout = .seconds(http.idleTimeout)
        server.bodyTimeout = .seconds(http.bodyTimeout)
        server.trustedProxies = proxies.trusted
        server.expectsProxyProtocol = proxies.sendsHeader
        server.tls = tls
        var configuration = HTTPListener.Configuration(server: server, websocketPath: http.websocketPath)
        configuration.requiresSubprotocol = http.requiresSubprotocol
        configuration.pingInterval = http.pingInterval > 0 ? .seconds(http.pingInterval) : nil
        configuration.pongKeepsAlive = http.pongKeepsAlive
        configuration.hasLivePage = http.livePage
        return configuration
    }
}
