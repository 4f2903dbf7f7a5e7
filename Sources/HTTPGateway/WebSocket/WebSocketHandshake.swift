package import NIOHTTP1

/// Decides whether a request becomes an MQTT connection over WebSocket (RFC 6455 §4.2.1, MQTT 5.0 §6).
package struct WebSocketHandshake: Sendable {
    /// The subprotocols served [MQTT-6.0.0-3]; `mqttv3.1` is what old clients say and means the same bytes.
    static let subprotocols = ["mqtt", "mqttv3.1"]

    let path: String
    let origins: OriginPolicy

    package init(path: String, allowedOrigins: [String]) {
        self.path = path
        origins = OriginPolicy(allowed: allowedOrigins)
    }

    /// Whether a request target names the WebSocket, whatever its query.
    func isWebSocket(target: String) -> Bool {
        RequestTarget(target).path == path
    }

    /// The answer to a request for the WebSocket.
    ///
    /// - Returns: the subprotocol to name, or why there is none.
    package func decide(_ head: HTTPRequestHead) -> Result<String, Problem> {
        let headers = head.headers
        guard head.method == .GET else { return .failure(.methodNotAllowed(["GET"])) }
        guard headers[canonicalForm: "Upgrade"].contains(where: { $0.lowercased() == "websocket" }),
            headers[canonicalForm: "Connection"].contains(where: { $0.lowercased() == "upgrade" })
        else { return .failure(.upgradeRequired) }
        guard headers["Sec-WebSocket-Version"] == ["13"] else { return .failure(.webSocketVersion) }
        // 16 bytes in base64 (RFC 6455 §4.1).
        guard let key = headers["Sec-WebSocket-Key"].first, headers["Sec-WebSocket-Key"].count == 1,
            key.utf8.count == 24, key.hasSuffix("==")
        else { return .failure(.badRequest("Sec-WebSocket-Key is not 16 bytes in base64")) }
        guard !headers.contains(name: "Transfer-Encoding"), headers["Content-Length"].allSatisfy({ $0 == "0" }) else {
            return .failure(.badRequest("a request to upgrade can't have a body"))
        }
        guard origins.allows(headers["Origin"].first) else { return .failure(.originNotAllowed) }
        let offered = headers[canonicalForm: "Sec-WebSocket-Protocol"].map(String.init)
        guard let chosen = offered.first(where: Self.subprotocols.contains) else {
            return .failure(.badRequest("no subprotocol offered that is served: Sec-WebSocket-Protocol: mqtt"))
        }
        return .success(chosen)
    }
}
