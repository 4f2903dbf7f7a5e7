import CCoAPShim
import CLibcoap

// What libcoap calls, on the thread that serves: it only takes notes, since libcoap is in the middle of something.
extension CoAPContext {
    static func from(_ app: UnsafeMutableRawPointer?) -> CoAPContext? {
        app.map { Unmanaged<CoAPContext>.fromOpaque($0).takeUnretainedValue() }
    }

    static func of(_ session: OpaquePointer?) -> CoAPContext? {
        guard let session, let context = coap_session_get_context(session) else { return nil }
        return from(coap_get_app_data(context))
    }

    func addHandlers(_ context: OpaquePointer) {
        let handler: coap_method_handler_t = { _, session, pdu, _, response in
            guard let session, let pdu, let response else { return }
            coap_shim_defer(response)
            // An acknowledgement carries a response or nothing (RFC 7252 §4.2); libcoap looks at the code only.
            guard coap_pdu_get_type(pdu) != COAP_MESSAGE_ACK else { return }
            CoAPContext.of(session)?.requestCame(pdu, session)
        }
        // libcoap copies the path while it makes the resource; until then the text must live.
        let wellKnownCore = ".well-known/core".withCString { coap_resource_init(coap_make_str_const($0), 0) }
        // One resource for all that is not known, which is everything, and one for the path libcoap answers by itself.
        for resource in [coap_resource_unknown_init(handler), wellKnownCore] {
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
        coap_register_pong_handler(context) { session, _, _ in
            if let session { CoAPContext.of(session)?.pongCame(EndpointID(session)) }
        }
        coap_register_event_handler(context) { session, event in
            if let session { CoAPContext.of(session)?.happened(event, session) }
            return 0
        }
    }

    private func happened(_ event: coap_event_t, _ session: OpaquePointer) {
        let endpoint = EndpointID(session)
        switch event {
        case COAP_EVENT_SERVER_SESSION_NEW:
            sessions += 1
            if isReliable { connected(endpoint) }
            door?.entered(session)
        case COAP_EVENT_SERVER_SESSION_DEL:
            sessions -= 1
            door?.left(session)
            if isReliable { forgetConnection(endpoint) }
            if openHandshakes[endpoint] != nil { handshakeFailed(endpoint, otherwise: "") }
            events.append(.gone(endpoint))
        case COAP_EVENT_DTLS_CLOSED, COAP_EVENT_SESSION_CLOSED, COAP_EVENT_TCP_CLOSED:
            if isReliable { forgetConnection(endpoint) }
            if openHandshakes[endpoint] != nil { handshakeFailed(endpoint, otherwise: "") }
            events.append(.lost(endpoint))
        case COAP_EVENT_DTLS_CONNECTED: openHandshakes[endpoint] = nil
        case COAP_EVENT_DTLS_ERROR where coap_session_get_state(session) != COAP_SESSION_STATE_ESTABLISHED:
            handshakeFailed(endpoint, otherwise: "no cipher suite in common, or no certificate that is accepted")
        default: break
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
            // The server keeps to NSTART. libcoap's own count is not to be relied on: what it forgets it goes on to count.
            coap_session_set_nstart(session, tellsAcknowledgements ? .max : nstart)
        }
        // Until `done`: the session must not go before the event has been dealt with.
        coap_session_reference(session)
        events.append(.received(request, EndpointID(session)))
    }

    func datagramCame(_ session: OpaquePointer?, _ isReset: Bool, _ messageID: UInt16) {
        datagrams += 1
        if isReset, let session { events.append(.reset(messageID, EndpointID(session))) }
    }

    func finished(_ pdu: OpaquePointer?, isForgotten: Bool) {
        guard !isSending, !isReliable, let pdu else { return }
        let id = ConfirmableID(rawValue: UInt(bitPattern: pdu))
        events.append(isForgotten ? .failed(id, .forgotten) : .finished(id))
    }

    private func failed(_ pdu: OpaquePointer, _ reason: coap_nack_reason_t) {
        guard !isSending, !isReliable else { return }
        events.append(
            .failed(
                ConfirmableID(rawValue: UInt(bitPattern: pdu)),
                reason == COAP_NACK_RST ? .reset : .unreachable
            )
        )
    }
}

extension EndpointID {
    init(_ session: OpaquePointer) { self.init(rawValue: UInt(bitPattern: session)) }
}

extension CoAPFailure {
    fileprivate static var tooManyOptions: CoAPFailure { CoAPFailure(.badRequest, "too many options") }
}
