import CCoAPShim
import CLibcoap
import NIOCore
import Synchronization

/// libcoap as a message layer: the only file that calls C.
///
/// Confined to the thread that serves it, once that has begun. libcoap parses, retransmits and keeps an endpoint's
/// address; its own observe and block-wise mechanisms stay off.
final class CoAPContext: MessageLayer {
    /// What datagrams brought about during a pump, in order.
    enum Event {
        case received(CoAPRequest, EndpointID)
        case reset(UInt16, EndpointID)
        /// libcoap has done with a confirmable message; if it failed, `failed` came before.
        case finished(ConfirmableID)
        case failed(ConfirmableID, DeliveryFailure)
        case gone(EndpointID)
    }

    /// Options of one request beyond which it is refused.
    private static let options = 96
    /// Bytes of the socket's receive and send buffers: a burst of some thousand datagrams.
    private static let socketBuffer: Int32 = 4_194_304
    /// Datagrams read in one turn, at most.
    private static let largestDepth: Int32 = 32

    /// Contexts are made and freed one after the other: libcoap's own set-up is not for several threads.
    private static let lifecycle = Mutex(())
    /// Set up once in a process; whether the hooks work.
    private static let hooksWork: Bool = {
        coap_startup()
        coap_shim_silence()
        return coap_shim_hooks_work()
    }()

    private let context: OpaquePointer
    /// Empty for ever; see `coap_shim_pump`.
    private let idleContext: OpaquePointer
    private var socket: coap_shim_socket_t
    private let epoll: Int32
    /// Wakes the thread up.
    let wakeUp: WakeUp
    private let acknowledgeTimeout: UInt32
    private let maximumRetransmissions: UInt16

    let tellsAcknowledgements: Bool
    private var events: [Event] = []
    private var datagrams: Int32 = 0
    private var depth: Int32 = 2
    /// A message is on its way into libcoap; that it is done with at once means that it was not sent.
    private var isSending = false
    private var writer = OptionWriter()

    /// Binds.
    ///
    /// - Throws: `CoAPListener.ListenFailed` when the address can't be had.
    init(_ configuration: CoAPListener.Configuration) throws(CoAPListener.ListenFailed) {
        let failure = { (reason: String) in
            CoAPListener.ListenFailed(address: "\(configuration.host):\(configuration.port)", reason: reason)
        }
        let opened = Self.lifecycle.withLock { _ -> Result<Opened, CoAPListener.ListenFailed> in
            Self.open(configuration).mapError { failure($0.reason) }
        }
        let parts = try opened.get()
        tellsAcknowledgements = Self.hooksWork
        context = parts.context
        idleContext = parts.idleContext
        socket = parts.socket
        wakeUp = WakeUp(descriptor: parts.wake)
        epoll = parts.epoll
        acknowledgeTimeout = UInt32(clamping: max(configuration.acknowledgeTimeout, 1_000))
        maximumRetransmissions = UInt16(clamping: max(configuration.maximumRetransmissions, 1))
        coap_set_app_data(context, Unmanaged.passUnretained(self).toOpaque())
        coap_context_set_block_mode(context, 0)
        coap_context_set_max_idle_sessions(context, UInt32(clamping: configuration.idleEndpoints))
        coap_context_set_session_timeout(context, UInt32(clamping: configuration.idleTimeout))
        addHandlers()
    }

    /// The port that is listened on.
    var port: Int { Int(socket.port) }

    // MARK: The thread's turn

    /// Makes libcoap's hooks call this context; on the thread that serves it.
    func enter() {
        guard tellsAcknowledgements else { return }
        coap_shim_set_hooks(
            Unmanaged.passUnretained(self).toOpaque(),
            { app, session, isReset, messageID in CoAPContext.from(app)?.datagramCame(session, isReset, messageID) },
            { app, pdu in CoAPContext.from(app)?.finished(pdu) }
        )
    }

    /// Waits for datagrams or a wake-up, and takes in what has come.
    ///
    /// - Parameter timeout: milliseconds; nil waits for ever.
    func turn(timeout: Int?) -> [Event] {
        if coap_shim_wait(epoll, socket.descriptor, wakeUp.descriptor, timeout.map { Int32(clamping: $0) } ?? -1) {
            datagrams = 0
            coap_shim_pump(idleContext, &socket, depth)
            // As many as there were, twice: reads that find nothing cost a system call each.
            depth = tellsAcknowledgements ? min(max(datagrams * 2, 2), Self.largestDepth) : Self.largestDepth / 4
        }
        return takeEvents()
    }

    /// Lets libcoap send again what was not acknowledged and forget idle endpoints.
    ///
    /// Costs a look at each endpoint.
    func maintain() -> [Event] {
        var now: coap_tick_t = 0
        coap_ticks(&now)
        _ = coap_io_prepare_epoll(context, now)
        return takeEvents()
    }

    /// The event has been dealt with.
    func done(_ event: Event) {
        if case .received(_, let endpoint) = event { release(endpoint) }
    }

    private func takeEvents() -> [Event] {
        guard !events.isEmpty else { return [] }
        let taken = events
        events = []
        return taken
    }

    /// Closes the socket.
    ///
    /// Nothing may be held any more.
    func close() {
        coap_shim_set_hooks(nil, nil, nil)
        Self.lifecycle.withLock { _ in
            coap_set_app_data(context, nil)
            coap_free_context(context)
            coap_free_context(idleContext)
        }
        coap_shim_close(epoll)
    }

    // MARK: MessageLayer

    func remoteAddress(of endpoint: EndpointID) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 80) { text in
            let length = coap_shim_peer(session(endpoint), text.baseAddress, text.count)
            return String(decoding: UnsafeRawBufferPointer(text).prefix(Int(max(length, 0))), as: UTF8.self)
        }
    }

    func acknowledge(_ messageID: UInt16, token: Token, response: CoAPResponse?, to endpoint: EndpointID) {
        guard let response else {
            _ = send(COAP_MESSAGE_ACK, nil, Token([]), messageID, endpoint)
            return
        }
        _ = send(COAP_MESSAGE_ACK, response, token, messageID, endpoint)
    }

    func sendNonConfirmable(_ response: CoAPResponse, token: Token, to endpoint: EndpointID) -> UInt16? {
        let messageID = coap_new_message_id(session(endpoint))
        return send(COAP_MESSAGE_NON, response, token, messageID, endpoint) == nil ? nil : messageID
    }

    func sendConfirmable(_ response: CoAPResponse, token: Token, to endpoint: EndpointID) -> ConfirmableID? {
        send(COAP_MESSAGE_CON, response, token, coap_new_message_id(session(endpoint)), endpoint)
    }

    func hold(_ endpoint: EndpointID) { coap_session_reference(session(endpoint)) }

    func release(_ endpoint: EndpointID) { coap_session_release(session(endpoint)) }

    private func session(_ endpoint: EndpointID) -> OpaquePointer? { OpaquePointer(bitPattern: endpoint.rawValue) }

    private func send(
        _ type: coap_pdu_type_t,
        _ response: CoAPResponse?,
        _ token: Token,
        _ messageID: UInt16,
        _ endpoint: EndpointID
    ) -> ConfirmableID? {
        writer.removeAll()
        response?.write(to: &writer)
        isSending = true
        defer { isSending = false }
        var sent: UnsafeRawPointer?
        let result = withOptions { options in
            token.withBytes { token in
                let payload = response?.withPayload { payload in
                    coap_shim_send(
                        session(endpoint),
                        UInt8(type.rawValue),
                        response?.code.rawValue ?? 0,
                        messageID,
                        token.baseAddress?.assumingMemoryBound(to: UInt8.self),
                        token.count,
                        options.baseAddress,
                        Int32(options.count),
                        payload.baseAddress?.assumingMemoryBound(to: UInt8.self),
                        payload.count,
                        &sent
                    )
                }
                if let payload { return payload }
                return coap_shim_send(
                    session(endpoint),
                    UInt8(type.rawValue),
                    0,
                    messageID,
                    nil,
                    0,
                    nil,
                    0,
                    nil,
                    0,
                    &sent
                )
            }
        }
        guard result >= 0, let sent else { return nil }
        return ConfirmableID(rawValue: UInt(bitPattern: sent))
    }

    private func withOptions(_ body: (UnsafeBufferPointer<coap_shim_option_t>) -> Int32) -> Int32 {
        writer.bytes.withUnsafeBufferPointer { bytes in
            withUnsafeTemporaryAllocation(of: coap_shim_option_t.self, capacity: writer.entries.count) { options in
                for (place, entry) in writer.entries.enumerated() {
                    options.initializeElement(
                        at: place,
                        to: coap_shim_option_t(
                            value: bytes.baseAddress.map { $0 + entry.range.lowerBound },
                            length: UInt16(entry.range.count),
                            number: entry.number
                        )
                    )
                }
                return body(UnsafeBufferPointer(options))
            }
        }
    }
}

// MARK: Callbacks, on the thread that serves

extension CoAPContext {
    fileprivate static func from(_ app: UnsafeMutableRawPointer?) -> CoAPContext? {
        app.map { Unmanaged<CoAPContext>.fromOpaque($0).takeUnretainedValue() }
    }

    private static func of(_ session: OpaquePointer?) -> CoAPContext? {
        guard let session, let context = coap_session_get_context(session) else { return nil }
        return from(coap_get_app_data(context))
    }

    private func addHandlers() {
        let handler: coap_method_handler_t = { _, session, pdu, _, response in
            guard let session, let pdu, let response else { return }
            coap_shim_defer(response)
            CoAPContext.of(session)?.requestCame(pdu, session)
        }
        // One resource for all that is not known, which is everything, and one for the path libcoap answers by itself.
        for resource in [
            coap_resource_unknown_init(handler), coap_resource_init(coap_make_str_const(".well-known/core"), 0),
        ] {
            for method in [
                COAP_REQUEST_GET, COAP_REQUEST_POST, COAP_REQUEST_PUT, COAP_REQUEST_DELETE, COAP_REQUEST_FETCH,
                COAP_REQUEST_PATCH, COAP_REQUEST_IPATCH,
            ] {
                coap_register_request_handler(resource, method, handler)
            }
            coap_add_resource(context, resource)
        }
        coap_register_nack_handler(context) { session, pdu, reason, _ in
            guard let pdu else { return }
            CoAPContext.of(session)?.failed(pdu, reason)
        }
        coap_register_event_handler(context) { session, event in
            if event == COAP_EVENT_SERVER_SESSION_DEL, let session {
                CoAPContext.of(session)?.events.append(.gone(EndpointID(session)))
            }
            return 0
        }
    }

    private func requestCame(_ pdu: OpaquePointer, _ session: OpaquePointer) {
        let token = coap_pdu_get_token(pdu)
        var request = CoAPRequest(
            isConfirmable: coap_pdu_get_type(pdu) == COAP_MESSAGE_CON,
            code: CoAPCode(rawValue: UInt8(truncatingIfNeeded: coap_pdu_get_code(pdu).rawValue)),
            messageID: UInt16(truncatingIfNeeded: coap_pdu_get_mid(pdu)),
            token: Token(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: token.s, count: token.length)))
        )
        withUnsafeTemporaryAllocation(of: coap_shim_option_t.self, capacity: Self.options) { options in
            let count = coap_shim_options(pdu, options.baseAddress, Int32(Self.options))
            if count < 0 { request.refuse(.tooManyOptions) }
            for option in options.prefix(Int(max(count, 0))) {
                let value = UnsafeRawBufferPointer(start: option.value, count: Int(option.length))
                request.take(option.number, RawSpan(_unsafeBytes: value))
            }
        }
        var length = 0
        var bytes: UnsafePointer<UInt8>?
        if coap_get_data(pdu, &length, &bytes) != 0 {
            request.payload = [UInt8](UnsafeBufferPointer(start: bytes, count: length))
        }
        if coap_session_get_app_data(session) == nil {
            // Marks the session as one that has its parameters.
            coap_session_set_app_data(session, Unmanaged.passUnretained(self).toOpaque())
            coap_session_set_ack_timeout(session, coap_shim_milliseconds(acknowledgeTimeout))
            coap_session_set_max_retransmit(session, maximumRetransmissions)
        }
        // Until `done`: the session must not go before the event has been dealt with.
        coap_session_reference(session)
        events.append(.received(request, EndpointID(session)))
    }

    private func datagramCame(_ session: OpaquePointer?, _ isReset: Bool, _ messageID: UInt16) {
        datagrams += 1
        if isReset, let session { events.append(.reset(messageID, EndpointID(session))) }
    }

    private func finished(_ pdu: OpaquePointer?) {
        guard !isSending, let pdu else { return }
        events.append(.finished(ConfirmableID(rawValue: UInt(bitPattern: pdu))))
    }

    private func failed(_ pdu: OpaquePointer, _ reason: coap_nack_reason_t) {
        guard !isSending else { return }
        events.append(
            .failed(
                ConfirmableID(rawValue: UInt(bitPattern: pdu)),
                reason == COAP_NACK_RST ? .reset : .unreachable
            )
        )
    }
}

// MARK: Opening

extension CoAPContext {
    private struct Opened: @unchecked Sendable {
        // Sendable: made under the lock and handed out to the one who will own it.
        let context: OpaquePointer
        let idleContext: OpaquePointer
        let socket: coap_shim_socket_t
        let wake: Int32
        let epoll: Int32
    }

    private struct OpenFailed: Error {
        let reason: String
    }

    private static func open(_ configuration: CoAPListener.Configuration) -> Result<Opened, OpenFailed> {
        _ = hooksWork
        guard let port = UInt16(exactly: configuration.port) else {
            return .failure(OpenFailed(reason: "no such port"))
        }
        guard let context = coap_new_context(nil), let idleContext = coap_new_context(nil) else {
            return .failure(OpenFailed(reason: "libcoap is out of memory"))
        }
        var socket = coap_shim_socket_t()
        let failed = coap_shim_open(context, configuration.host, port, socketBuffer, &socket)
        guard failed == 0 else {
            coap_free_context(context)
            coap_free_context(idleContext)
            return .failure(OpenFailed(reason: String(cString: coap_shim_error_text(failed))))
        }
        let wake = coap_shim_eventfd()
        let epoll = coap_shim_epoll(socket.descriptor, wake)
        guard wake >= 0, epoll >= 0 else {
            coap_free_context(context)
            coap_free_context(idleContext)
            return .failure(OpenFailed(reason: "too many open files"))
        }
        return .success(
            Opened(context: context, idleContext: idleContext, socket: socket, wake: wake, epoll: epoll)
        )
    }
}

/// An event descriptor any thread may write to; open as long as anybody might.
final class WakeUp: Sendable {
    fileprivate let descriptor: Int32

    fileprivate init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { coap_shim_close(descriptor) }

    func callAsFunction() { coap_shim_wake(descriptor) }
}

extension EndpointID {
    fileprivate init(_ session: OpaquePointer) { self.init(rawValue: UInt(bitPattern: session)) }
}

extension CoAPFailure {
    fileprivate static var tooManyOptions: CoAPFailure { CoAPFailure(.badRequest, "too many options") }
}
