import MQTTCodec

// The end of a session, done in slices where it has left much.
extension Broker {
    /// The session is over: its will is due whatever its delay, its subscriptions and messages go [MQTT-4.1.0-2], those of
    /// shared subscriptions to other members.
    ///
    /// From now on nothing is delivered to it, though its subscriptions may be in the index for a while.
    func endSession(_ session: Session) {
        session.life.hasEnded = true
        forgetCount(of: session)
        forgetTimers(of: session)
        let will = session.will
        session.life.will = nil
        registry.remove(session)
        removeSubscriptions(of: session)
        forgetRetainedDeliveries(session)
        let left = session.messagesOfShares
        let leftInStore = leftInStore(by: session)
        forgetStored(session, except: leftInStore.places.union(left.lazy.map(\.place)))
        // Remembered routes may hold the session itself for a while.
        session.queue = OutboundQueue()
        session.window = InflightWindow()
        passOn(left, of: session.interest.shares, andThen: leftInStore)
        if let will { publishWill(will, of: session) }
    }

    private func removeSubscriptions(of session: Session) {
        guard session.interest.subscriptions.count > 0 else { return }
        var subscriptions = Array(session.interest.subscriptions.values)
        session.interest.subscriptions = ByteKeyed()
        session.counted.subscriptionBytes = 0
        begin { broker, steps in
            while steps > 0, let subscription = subscriptions.popLast() {
                broker.router.remove(subscription)
                steps -= Backlog.effort(of: subscription.filter.filter) / Backlog.step
            }
            return subscriptions.isEmpty
        }
    }

    /// Passes on what a session has left, so much at a time, and then what is in the store alone.
    ///
    /// Each message leaves the store in the batch in which it is another member's, so that a crash neither loses nor doubles
    /// it: what is left after one goes on its way at the next start.
    private func passOn(_ left: [OutboundMessage], of numbers: SessionShares, andThen leftInStore: LeftInStore) {
        guard !left.isEmpty else { return passOn(leftInStore) }
        var rest = left[...]
        begin { broker, steps in
            let slice = rest.prefix(max(steps, 1))
            broker.passOn(Array(slice), of: numbers)
            for outbound in slice { broker.finish(outbound) }
            rest = rest.dropFirst(slice.count)
            steps -= slice.count
            if rest.isEmpty { broker.passOn(leftInStore) }
            return rest.isEmpty
        }
    }

    /// The session is over, and so is every delivery to it but those that go to somebody else.
    private func forgetStored(_ session: Session, except kept: Set<StoredPlace>) {
        guard session.isStored, let journal else { return }
        for delivery in session.storage.inflight where !kept.contains(delivery.place) { journal.finish(delivery.place) }
        session.window.forEach { _, entry in
            if !kept.contains(entry.outbound.place) { journal.finish(entry.outbound.place) }
        }
        session.storage.inflight = []
        session.storage.inflightBytes = 0
        session.storage.isStored = false
        journal.append(.removeSession(session.name, session.number))
        commits.noteEnd(of: session.name)
        // What is not finished when the broker stops is so at its next start: it belongs to no session.
        var queue = session.queue
        begin { broker, steps in
            while steps > 0, let first = queue.dropFirst() {
                if !kept.contains(first.place) { broker.journal?.finish(first.place) }
                steps -= 1
            }
            return queue.isEmpty
        }
    }
}
