import BrokerCore
import CoreRuntime
import DequeModule
import MQTTCodec

/// What all endpoints of a listener share, and each address and user has a part of.
struct CoAPShares {
    /// Requests the core has not answered yet.
    var requests: Quota
    /// Requests that wait for a message.
    var waiters: Quota
    var observations: Quota
    var sessions: Quota
    /// Bytes of unfinished uploads.
    var uploads: Quota
    /// Bytes of bodies that are kept while they are fetched.
    var snapshots: Quota
    /// Requests that are remembered beyond those that each endpoint has room for.
    var messages: Quota
    private let refusals: Refusals

    init(_ configuration: CoAPListener.Configuration, _ refusals: Refusals) {
        self.refusals = refusals
        requests = Quota(Quota.Limit(total: configuration.pendingRequests))
        waiters = Quota(Quota.Limit(total: configuration.pendingRequests))
        observations = Quota(Quota.Limit(total: configuration.observations))
        sessions = Quota(Quota.Limit(total: configuration.sessions))
        uploads = Quota(Quota.Limit(total: configuration.uploadBytes))
        snapshots = Quota(Quota.Limit(total: configuration.downloadBytes))
        messages = Quota(Quota.Limit(total: configuration.furtherMessages))
    }

    /// Whether something was refused, which is noted.
    func isRefused(_ refusal: Quota.Refusal?, _ endpoint: Endpoint) -> Bool {
        guard refusal != nil else { return false }
        refusals.note(.coap, endpoint.origin.remoteAddress)
        return true
    }

    /// 4.29 when the endpoint's address or user has its share of something, 5.03 when all have theirs.
    func failure(_ refusal: Quota.Refusal, _ endpoint: Endpoint, _ words: String) -> CoAPFailure {
        refusals.note(.coap, endpoint.origin.remoteAddress)
        return refusal.isOwnShare
            ? CoAPFailure(.quotaExceeded, "too many \(words) from this address or user")
            : CoAPFailure(.serverBusy, "too many \(words)")
    }
}

/// Clients that are connected for requests to come alone: the one that did something longest ago comes first, roughly.
///
/// Each stands there once. One that was used since it came goes to the end when its turn comes.
struct IdleClients {
    private var order: Deque<CoAPClient> = []

    mutating func append(_ client: CoAPClient) {
        guard !client.isListedIdle else { return }
        client.isListedIdle = true
        client.listedUse = client.lastUse
        order.append(client)
    }

    /// Takes the one that did something longest ago, if there are more than so many.
    mutating func popOldest(beyond maximum: Int) -> CoAPClient? {
        while order.count > maximum, let client = order.popFirst() {
            client.isListedIdle = false
            guard !client.isForgotten, client.isIdle else { continue }
            guard client.lastUse != client.listedUse else { return client }
            append(client)
        }
        return nil
    }
}
