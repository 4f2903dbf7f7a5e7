extension Event {
    /// The kind of an event: a name that does not change, for programs that read the log.
    package enum Kind: String, CaseIterable, Sendable {
        case clientConnected = "client.connected"
        case clientDisconnected = "client.disconnected"
        case clientRefused = "client.refused"
        case accessDenied = "access.denied"
        case requestRefused = "request.refused"
        case limitReached = "limit.reached"
        case queueOverflow = "queue.overflow"
        case sessionExpired = "session.expired"
        case brokerStarting = "broker.starting"
        case brokerStopped = "broker.stopped"
        case listenerBound = "listener.bound"
        case configWarning = "config.warning"
        case configReloaded = "config.reloaded"
        case configRefused = "config.refused"
        case configNeedsRestart = "config.needs_restart"
        case storeOpened = "store.opened"
        case storeFailed = "store.failed"
        case storeRecovered = "store.recovered"
        case storeRepaired = "store.repaired"
        case webhookDown = "webhook.down"
        case webhookUp = "webhook.up"
        case webhookFailed = "webhook.failed"
        case webhookRefused = "webhook.refused"
        case linesLeftOut = "log.left_out"
    }

    /// The name of a field.
    package enum Key: String, CaseIterable, Sendable {
        case clientID = "client_id"
        case userName = "user_name"
        case protocolName = "protocol"
        case address
        case port
        case action
        case topic
        case rule
        case method
        case path
        case origin
        case reason
        case reasonCode = "reason_code"
        case detail
        case limit
        case kind
        case count
        case webhook
        case keys

        /// The longest value in characters.
        var maximumLength: Int {
            switch self {
            case .clientID, .userName, .address: 64
            case .path, .keys: 1_024
            default: 256
            }
        }

        /// The description of its value, for docs/EVENTS.md.
        package var meaning: String {
            switch self {
            case .clientID: "the Client Identifier"
            case .userName: "the user name; of a client that is refused, the one it gave"
            case .protocolName:
                "`mqtt`, `websocket`, `http` or `coap`; of listeners `mqtts`, `coaps+tcp` and so on, too"
            case .address: "where the client is, `192.0.2.7:4711` or `[2001:db8::1]:4711`; what a listener listens on"
            case .port: "a listener's port"
            case .action: "`publish`, `subscribe`, `read`, `connect`, or `will` for a last will"
            case .topic: "the Topic Name or Topic Filter"
            case .rule: "the line of the access control file that forbids it, `acl:12`, or `no rule allows it`"
            case .method: "of an HTTP or CoAP request"
            case .path: "of an HTTP or CoAP request, without its query; of a store"
            case .origin: "of the web page that a request is from"
            case .reason: "why, in a few words, mostly the name of a Reason Code"
            case .reasonCode: "the number of the Reason Code, or an HTTP status"
            case .detail: "what exactly was wrong"
            case .limit: "the limit, most by its key in the configuration"
            case .kind: "the event that lines were left out of"
            case .count: "how many"
            case .webhook: "the webhook's name"
            case .keys: "keys of the configuration"
            }
        }
    }
}

extension Event.Kind {
    /// The default level.
    package var level: Event.Level {
        switch self {
        case .clientConnected, .clientDisconnected, .requestRefused, .sessionExpired, .webhookFailed: .debug
        case .brokerStarting, .brokerStopped, .clientRefused, .accessDenied, .listenerBound, .storeOpened,
            .storeRepaired:
            .info
        case .configReloaded, .storeRecovered, .webhookUp: .notice
        case .limitReached, .queueOverflow, .configWarning, .configNeedsRestart, .webhookDown,
            .webhookRefused,
            .linesLeftOut:
            .warning
        case .configRefused, .storeFailed: .error
        }
    }

    /// Whether clients can cause it as often as they like: these events are logged at a limited rate.
    package var isByClients: Bool {
        switch self {
        case .clientConnected, .clientDisconnected, .clientRefused, .accessDenied, .requestRefused, .limitReached,
            .queueOverflow:
            true
        default: false
        }
    }

    /// The message, which is the same in every event of the kind.
    package var words: String {
        switch self {
        case .clientConnected: "client connected"
        case .clientDisconnected: "client disconnected"
        case .clientRefused: "client refused"
        case .accessDenied: "access denied"
        case .requestRefused: "request refused"
        case .limitReached: "refused: a limit is reached"
        case .queueOverflow: "messages for a client are dropped: its queue is full"
        case .sessionExpired: "session expired"
        case .brokerStarting: "starting"
        case .brokerStopped: "stopped"
        case .listenerBound: "listening"
        case .configWarning: "about the configuration"
        case .configReloaded: "access files read again"
        case .configRefused: "access files stay as they were"
        case .configNeedsRestart: "the configuration file has changed: a restart is needed"
        case .storeOpened: "store opened"
        case .storeFailed: "the store can't write: what it would have to keep is refused until it can"
        case .storeRecovered: "the store can write again"
        case .storeRepaired: "removed from the store what belonged to no session"
        case .webhookDown: "the endpoint is down; messages wait"
        case .webhookUp: "the endpoint is back"
        case .webhookFailed: "an attempt of a webhook failed"
        case .webhookRefused: "a webhook was refused"
        case .linesLeftOut: "lines were left out"
        }
    }

    /// When it happens, for docs/EVENTS.md.
    package var meaning: String {
        switch self {
        case .clientConnected: "A client was let in."
        case .clientDisconnected:
            "A client has left, or the broker has ended its connection; for a mistake of the client at level `info`."
        case .clientRefused:
            "A client was not let in: by its credentials, by its TLS or DTLS handshake, by the origin of its page, for want "
                + "of a PROXY header, or since it does not speak the protocol."
        case .accessDenied: "The access control file forbids what a client wanted to do."
        case .requestRefused:
            "A request of a client that was let in could not be carried out; level `info` where its protocol can't tell it."
        case .limitReached: "Something was refused because a limit is reached; `count` since the last such line."
        case .queueOverflow:
            "A client's queue is full and messages for it are dropped: the first time, and then once a minute with their "
                + "`count`."
        case .sessionExpired: "A session was over after its Session Expiry Interval."
        case .brokerStarting: "The broker starts; `detail` has its version and name."
        case .brokerStopped: "The broker has stopped, and let go of its store."
        case .listenerBound: "A listener takes connections."
        case .configWarning: "At the start, and at SIGHUP: something in the configuration is odd, and does no harm yet."
        case .configReloaded: "At SIGHUP the access files and certificates were read; `detail` has what they hold."
        case .configRefused: "At SIGHUP something was wrong with a file, and nothing has changed."
        case .configNeedsRestart:
            "At SIGHUP the configuration file was different from the one in use: `keys` are those that a restart takes."
        case .storeOpened: "The store has been read at the start."
        case .storeFailed: "The store can't be written, or read; once a minute."
        case .storeRecovered: "The store can be written again."
        case .storeRepaired: "What belonged to no session was removed from the store."
        case .webhookDown: "A webhook's endpoint does not answer, or its session was ended; messages wait."
        case .webhookUp: "The endpoint answers again."
        case .webhookFailed: "An attempt to post a message has failed, and is made again; `count` is its number."
        case .webhookRefused: "An endpoint has refused a message, which is dropped, or a webhook may not subscribe."
        case .linesLeftOut:
            "So many lines of the `kind` were left out since there were too many of them at once; without `kind`: since "
                + "nobody read the log."
        }
    }
}
