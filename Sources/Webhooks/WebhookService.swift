import BrokerCore
package import CoreRuntime
package import NIOCore
import ServiceLifecycle

/// All webhooks, from start to graceful stop.
package struct WebhookService: Service {
    /// How long attempts in progress may take at the end.
    private static let patience = TimeAmount.seconds(3)

    package let webhooks: [Webhook]
    private let post: WebhookPost
    private let eventLoop: any EventLoop

    package init(
        _ configurations: [WebhookConfiguration],
        core: CoreLoop,
        eventLoopGroup: any EventLoopGroup,
        events: EventLog
    ) {
        let post = WebhookPost(eventLoopGroup: eventLoopGroup)
        self.post = post
        eventLoop = eventLoopGroup.next()
        webhooks = configurations.map { configuration in
            Webhook(
                configuration,
                core: core,
                eventLoop: eventLoopGroup.next(),
                post: { await post.send($0, $1) },
                events: events
            )
        }
    }

    /// Posts until graceful shutdown, then lets attempts in progress end.
    package func run() async throws {
        for webhook in webhooks { webhook.start() }
        try? await gracefulShutdown()
        let stopped = EventLoopFuture.andAllComplete(webhooks.map { $0.stop() }, on: eventLoop)
        // An endpoint that takes its time does not keep the broker: what it has not acknowledged is posted after the next
        // start.
        let late = eventLoop.scheduleTask(in: Self.patience) { [post] in
            Task { await post.shutdown() }
        }
        try? await stopped.get()
        late.cancel()
        await post.shutdown()
    }
}
