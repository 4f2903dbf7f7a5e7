package import BrokerCore
package import NIOCore
import ServiceLifecycle

/// All webhooks, from start to graceful stop.
package struct WebhookService: Service {
    package let webhooks: [Webhook]
    private let post: WebhookPost

    package init(
        _ configurations: [WebhookConfiguration],
        core: CoreLoop,
        eventLoopGroup: any EventLoopGroup,
        events: EventLog
    ) {
        let post = WebhookPost(eventLoopGroup: eventLoopGroup)
        self.post = post
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
        for stopped in webhooks.map({ $0.stop() }) { try? await stopped.get() }
        await post.shutdown()
    }
}
