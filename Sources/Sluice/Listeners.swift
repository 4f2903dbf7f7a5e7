import BrokerCore
import CoAPGateway
import CoreRuntime
import HTTPGateway
import MQTTTransport
import NetworkListeners
import ServiceLifecycle

/// An address to be listened on, whatever is spoken there.
protocol Listener: Sendable {
    associatedtype Listening: OpenListener

    /// Begins to listen.
    func listen() async throws(ListenFailed) -> Listening
}

/// An address that is listened on.
protocol OpenListener: Sendable {
    /// Waits until nobody is served there any more, by whatever cause.
    func ended() async
    /// Takes no new clients; those that are there go on.
    func stopAccepting() async
    /// Lets clients read the final packets, and closes what is still open after a bounded time.
    func drain() async
}

extension MQTTListener: Listener {}
extension HTTPListener: Listener {}
extension CoAPListener: Listener {}
extension TCPListener: OpenListener {}
extension CoAPListener.Listening: OpenListener {}

/// All that clients reach the broker by, as one service, and the one place that takes leave of them.
struct Listeners: Service {
    private let listeners: [any Listener]
    private let core: CoreLoop

    init(_ listeners: [any Listener], core: CoreLoop) {
        self.listeners = listeners
        self.core = core
    }

    /// Listens until graceful shutdown, or until one of the listeners ends by itself; then stops all of them.
    ///
    /// - Throws: what kept a listener from listening.
    func run() async throws {
        var open: [any OpenListener] = []
        do {
            for listener in listeners { open.append(try await listener.listen()) }
        } catch {
            await stop(open)
            throw error
        }
        await withTaskGroup(of: Void.self) { [open] tasks in
            tasks.addTask { try? await gracefulShutdown() }
            for listener in open { tasks.addTask { await listener.ended() } }
            await tasks.next()
            await stop(open)
            tasks.cancelAll()
        }
    }

    /// The first half of the order in docs/ARCHITECTURE.md, Shutdown; `Composition` does the other.
    private func stop(_ open: [any OpenListener]) async {
        for listener in open { await listener.stopAccepting() }
        // Wills, and goodbye in each protocol. The time clients have to read it begins afterwards, however busy the core is.
        await core.perform { $0.shutdown() }
        // At the same time: clients of one that read nothing take no time from those of another.
        await withDiscardingTaskGroup { tasks in
            for listener in open { tasks.addTask { await listener.drain() } }
        }
    }
}
