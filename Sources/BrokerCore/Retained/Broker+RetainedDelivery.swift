import DequeModule
import MQTTCodec
import NIOCore

/// Retained messages that a subscription is still to be sent [MQTT-3.3.1-9].
struct RetainedDelivery {
    let subscription: Subscription
    /// As they were asked for; the subscription may have been changed since.
    let options: SubscriptionOptions
    let identifiers: [UInt32]
    /// Whether they are the broker's own.
    let isSystem: Bool
    var walk: RetainedWalk
    /// The QoS of the message that the walk has come to, and that the client could not take.
    var waitsFor = QoS.atMostOnce
    /// Whether the store knows that they are owed.
    var isStored = false
}

// Retained messages go out at the pace of their client: as many as its window and its connection take, then no more until
// it has taken some. So all of them arrive, however many there are, and none goes through a limit that is made for
// clients that are slow.
extension Broker {
    /// Begins to send the retained messages that match subscriptions just made, each Topic Filter's once.
    ///
    /// - Parameter wanted: of one session, with the options they were asked for.
    func deliverRetained(
        for wanted: [(subscription: Subscription, options: SubscriptionOptions)]
    ) {
        guard let session = wanted.first?.subscription.session, !session.hasEnded else { return }
        for (subscription, options) in wanted {
            // Asked for again, they are all sent again [MQTT-3.8.4-4].
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

    /// The client may take more: goes on when it is the turn of its session.
    func resumeRetainedDeliveries(_ session: Session) {
        guard !session.interest.isDeliveringRetained, let next = session.interest.retainedDeliveries.first,
            takesRetained(session, next.waitsFor)
        else { return }
        session.interest.isDeliveringRetained = true
        turn.backlog.append { broker, steps in broker.deliverRetained(to: session, &steps) }
    }

    /// Sends what the client takes now of what its session has waited for, and what the store has for it.
    ///
    /// - Parameter done: called once that has been handed over.
    package func catchUp(_ connection: VirtualConnection, _ done: @escaping () -> Void) {
        guard let session = connection.session else { return done() }
        whenLoaded(session) { [unowned self] in
            if connection.session === session, !session.interest.isDeliveringRetained {
                var steps = Backlog.turn
                _ = deliverRetained(to: session, &steps)
                resumeRetainedDeliveries(session)
            }
            flush()
            done()
        }
    }

    /// - Returns: false when only the steps are at an end.
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
                // Else its client can't take more.
                guard steps > 0 else { return false }
                break
            }
            session.interest.retainedDeliveries.removeFirst()
            end(delivery)
        }
        session.interest.isDeliveringRetained = false
        return true
    }

    /// - Returns: whether the walk is at its end.
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
            // Copying a large one takes as long as many small ones.
            steps -= message.cost / Self.bytesOfStep
            deliver(retained: message, of: delivery, to: session)
        }
        return true
    }

    /// Bytes that take as long to copy as a node takes to visit.
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

    /// The subscription is over, or begins anew.
    func forgetRetainedDelivery(for subscription: Subscription) {
        guard subscription.isOwedRetained else { return }
        let session = subscription.session
        guard let place = session.interest.retainedDeliveries.firstIndex(where: { $0.subscription === subscription })
        else {
            return
        }
        end(session.interest.retainedDeliveries.remove(at: place))
    }

    /// The session is over.
    func forgetRetainedDeliveries(_ session: Session) {
        for delivery in session.interest.retainedDeliveries {
            if delivery.isSystem { retained.system.end(delivery.walk) } else { retained.messages.end(delivery.walk) }
        }
        session.interest.retainedDeliveries = []
    }

    // MARK: The store

    /// What a stored session has not been sent at once is owed to it by the next process, too.
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

    /// Begins again, after a restart, what a former process had not sent.
    func restoreRetainedDeliveries(_ session: Session) {
        for subscription in session.interest.subscriptions.values where subscription.isOwedRetained {
            oweRetained(to: subscription, subscription.options, isStored: true)
        }
    }
}
