import CCoAPShim
import CLibcoap

extension CoAPContext {
    func allowance(to endpoint: EndpointID) -> Int? { nil }

    func echo(for endpoint: EndpointID) -> [UInt8] { [] }

    func ping(_ endpoint: EndpointID) throws(SendFailure) -> ConfirmableID { throw .impossible }

    func remoteAddress(of endpoint: EndpointID) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 80) { text in
            let length = coap_shim_peer(session(endpoint), text.baseAddress, text.count)
            return String(decoding: UnsafeRawBufferPointer(text).prefix(Int(max(length, 0))), as: UTF8.self)
        }
    }

    func identity(of endpoint: EndpointID) -> String? { identities[endpoint]?.name }

    func acknowledge(_ messageID: UInt16, token: Token, response: CoAPResponse?, to endpoint: EndpointID) {
        guard let response else {
            guard !isReliable else { return }
            _ = try? send(COAP_MESSAGE_ACK, nil, Token([]), messageID, endpoint)
            return
        }
        let isSent = (try? send(COAP_MESSAGE_ACK, response, token, messageID, endpoint)) != nil
        if isReliable, isSent { hasSent(response, to: endpoint) }
    }

    func sendNonConfirmable(_ response: CoAPResponse, token: Token, to endpoint: EndpointID) -> UInt16? {
        guard !isReliable else {
            guard (try? send(COAP_MESSAGE_NON, response, token, 0, endpoint)) != nil else { return nil }
            hasSent(response, to: endpoint)
            return 0
        }
        let messageID = coap_new_message_id(session(endpoint))
        return (try? send(COAP_MESSAGE_NON, response, token, messageID, endpoint)).map { _ in messageID }
    }

    func sendConfirmable(
        _ response: CoAPResponse,
        token: Token,
        to endpoint: EndpointID
    ) throws(SendFailure) -> ConfirmableID {
        guard isReliable else {
            let messageID = coap_new_message_id(session(endpoint))
            let id = try send(COAP_MESSAGE_CON, response, token, messageID, endpoint)
            began(id)
            return id
        }
        _ = try send(COAP_MESSAGE_NON, response, token, 0, endpoint)
        guard let id = ping(endpoint, isAwaited: true) else { throw .unreachable }
        began(id)
        return id
    }

    func hold(_ endpoint: EndpointID) { coap_session_reference(session(endpoint)) }

    func release(_ endpoint: EndpointID) { coap_session_release(session(endpoint)) }

    func largestMessage(to endpoint: EndpointID) -> Int {
        isReliable ? coap_session_max_pdu_size(session(endpoint)) : CoAPResponse.largestMessage
    }

    func disconnect(_ endpoint: EndpointID) {
        coap_session_disconnected(session(endpoint), COAP_NACK_NOT_DELIVERABLE)
    }

    func session(_ endpoint: EndpointID) -> OpaquePointer? { OpaquePointer(bitPattern: endpoint.rawValue) }

    private func send(
        _ type: coap_pdu_type_t,
        _ response: CoAPResponse?,
        _ token: Token,
        _ messageID: UInt16,
        _ endpoint: EndpointID
    ) throws(SendFailure) -> ConfirmableID {
        if isReliable, flows[endpoint]?.isGivenUp ?? false { throw .unreachable }
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
        switch result {
        case 0...: return ConfirmableID(rawValue: UInt(bitPattern: sent))
        case Int32(COAP_SHIM_BUSY): throw .busy
        case Int32(COAP_SHIM_UNREACHABLE): throw .unreachable
        default: throw .impossible
        }
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
