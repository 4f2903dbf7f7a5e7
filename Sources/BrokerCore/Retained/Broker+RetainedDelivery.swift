import DequeModule
import MQTTCodec
import NIOCore

/// Retained messages that are still to be sent for a subscription [MQTT-3.3.1-9].
struct RetainedDelivery {
    let subscription: Subscription
    /// The options of the SUBSCRIBE; the subscription may have changed since.
    let options: SubscriptionOptions
    let identifiers: [UInt32]
    /// Whether they are the broker's own messages under `$SYS`.
    let isSystem: Bool
    var walk: RetainedWalk
    /// The QoS of the next message of the walk, which the client could not take yet.
    var waitsFor = QoS.atMostOnce
    /// Whether the store has recorded that they are to be sent.
    var isStored = false
}

// Retained messages are sent at the rate of their client: its window and its connection are filled, and then again
// when it has taken some. So any number of them arrives, and none is dropped by a limit for slow clients.
extension Broker {
    /// Begins to send the retained messages that match new subscriptions, once for each Topic Filter.
    ///
    /// - Parameter wanted: subscriptions of one session, with the options of the SUBSCRIBE.
    func deliverRetained(
        for wanted: [(subscription: Subscription, options: SubscriptionOptions)]
    ) {
        guard let session = wanted.first?.subscription.session, !session.hasEnded else { return }
        for (subscription, options) in wanted {
            // A repeated SUBSCRIBE sends all of them again [MQTT-3.8.4-4].
            forgetRetainedDelivery(for: subscription)
            oweRetained(to: subscription, options, isStored: false)
        }
        if !session.interest.isDeliveringRetained {
            session.interest.isDeliveringRetained = true
            begin { broker, steps in broker.deliverRetained(to: session, &steps) }
        }
        storeOwed(session)
    }

    private func oweRetained(to subscription: Subscription, _ options: SubscriptionOptions, isStored: Bool) {
        let filter = subscription.filter.filter
        let isSystem = filter.utf8.starts(with: "$SYS/".utf8)
        subscription.isOwedRetained = true
        subscription.session.interest.retainedDeliveries.append(
            RetainedDelivery(
                subscription: subscription,
                options: options,
                identifiers: subscription.identifierList,
                isSystem: isSystem,
                walk: RetainedWalk(filter, over: isSystem ? retained.system : retained.messages),
                isStored: isStored
            )
        )
    }

    /// Continues when the client may take more, in the session's next turn.
    func resumeRetainedDeliveries(_ session: Session) {
        guard !session.interest.isDeliveringRetained, let next = session.interest.retainedDeliveries.first,
            takesRetained(session, next.waitsFor)
        else { return }
        session.interest.isDeliveringRetained = true
        turn.backlog.append { broker, steps in broker.deliverRetained(to: session, &steps) }
    }

    /// Sends as many pending retained and stored messages of the session as the client takes now.
    ///
    /// - Parameter done: called once these are handed over.
    package func catchUp(_ connection: VirtualConnection, _ done: @escaping () -> Void) {
        guard let session = connection.session else { return done() }
        whenLoaded(session) { [unowned self] in
            if connection.session === session, !session.interest.isDeliveringRetained {
                var steps = Backlog.turn
                _ = deliverRetained(to: session, &steps)
                resumeRetainedDeliveries(session)
            }
            flush()
            // Should most output stay for now, this does not.
            _ = connection.flush(counting: &statistics.bytesSent)
            countBuffers(of: connection)
            done()
        }
    }

    /// - Returns: false when only the steps are used up.
    private func deliverRetained(to session: Session, _ steps: inout Int) -> Bool {
        while var delivery = session.interest.retainedDeliveries.first {
            let isDone = deliver(&delivery, to: session, &steps)
            guard isDone else {
                if delivery.isSystem {
                    retained.system.pause(&delivery.walk)
                } else {
                    retained.messages.pause(&delivery.walk)
                }
                session.interest.retainedDeliveries[0] = delivery
                // With steps left, it is the client that can't take more.
                guard steps > 0 else { return false }
                break
            }
            session.interest.retainedDeliveries.removeFirst()
            end(delivery)
        }
        session.interest.isDeliveringRetained = false
        return true
    }

    /// - Returns: whether the walk has ended.
    private func deliver(_ delivery: inout RetainedDelivery, to session: Session, _ steps: inout Int) -> Bool {
        while delivery.walk.next != nil {
            guard steps > 0 else { return false }
            let message =
                delivery.isSystem
                ? delivery.walk.findMessage(retained.system, steps: &steps)
                : delivery.walk.findMessage(retained.messages, steps: &steps)
            guard let message else { continue }
            delivery.waitsFor = min(delivery.options.qos, message.qos)
            guard takesRetained(session, delivery.waitsFor) else { return false }
            if delivery.isSystem {
                delivery.walk.moveOn(retained.system, steps: &steps)
            } else {
                delivery.walk.moveOn(retained.messages, steps: &steps)
            }
            // To copy a large message takes as long as many visits.
            steps -= message.cost / Self.bytesOfStep
            deliver(retained: message, of: delivery, to: session)
        }
        return true
    }

    /// Bytes whose copy takes as long as the visit of a node.
    private static var bytesOfStep: Int { 1_024 }

    private func deliver(retained message: Message, of delivery: RetainedDelivery, to session: Session) {
        guard message.expiresAt > now else { return }
        if delivery.options.noLocal, message.publisher == session.publisherID { return }
        if let authorizer = access.authorizer, !authorizer.mayReceive(message.topic.string, client: session.identity) {
            return
        }
        var number = MessageNumber.none
        deliver(
            message,
            qos: delivery.waitsFor,
            retain: true,
            identifiers: delivery.identifiers,
            storedAs: &number,
            to: session
        )
    }

    /// Whether one more retained message would leave at once.
    private func takesRetained(_ session: Session, _ qos: QoS) -> Bool {
        guard session.connection != nil, session.canTake else { return false }
        if let sink = session.sink, !sink.isWritable || (sink.isRead && session.isBehind) { return false }
        return qos == .atMostOnce || session.isReady
    }

    // MARK: The end

    private func end(_ delivery: RetainedDelivery) {
        let subscription = delivery.subscription
        subscription.isOwedRetained = false
        if delivery.isSystem { retained.system.end(delivery.walk) } else { retained.messages.end(delivery.walk) }
        if delivery.isStored, subscription.list != nil { storeChange(of: subscription) }
    }

    /// Ends the delivery of retained messages for a subscription that ends or begins anew.
    func forgetRetainedDelivery(for subscription: Subscription) {
        guard subscription.isOwedRetained else { return }
        let session = subscription.session
        guard let place = session.interest.retainedDeliveries.firstIndex(where: { $0.subscription === subscription })
        else {
            return
        }
        end(session.interest.retainedDeliveries.remove(at: place))
    }

    /// Ends the delivery of retained messages to a session that has ended.
    func forgetRetainedDeliveries(_ session: Session) {
        for delivery in session.interest.retainedDeliveries {
            if delivery.isSystem { retained.system.end(delivery.walk) } else { retained.messages.end(delivery.walk) }
        }
        session.interest.retainedDeliveries = []
    }

    // MARK: The store

    /// Stores that a stored session is still to be sent retained messages, for the next process.
    private func storeOwed(_ session: Session) {
        guard session.isStored else { return }
        for place in session.interest.retainedDeliveries.indices
        where !session.interest.retainedDeliveries[place].isStored
            && session.interest.retainedDeliveries[place].options.qos != .atMostOnce
        {
            session.interest.retainedDeliveries[place].isStored = true
            storeChange(of: session.interest.retainedDeliveries[place].subscription)
        }
    }

    private func storeChange(of subscription: Subscription) {
        let session = subscription.session
        guard session.isStored else { return }
        recordingWrites(of: session) { journal?.append(.subscription(subscription.record, of: session.number)) }
    }

    /// Restarts, in a new process, deliveries that the former process had not finished.
    func restoreRetainedDeliveries(_ session: Session) {
        for subscription in session.interest.subscriptions.values where subscription.isOwedRetained {
            oweRetained(to: subscription, subscription.options, isStored: true)
        }
    }
}
